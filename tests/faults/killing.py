"""Kill the command at random moments and look at what is left; the test runs a few, `make faults` 50 of each.

python -m tests.faults.killing --kills 50
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from skbgopt import write_image

FAST = ["-N", "16", "--smoothing", "1e-4"]
REPORT = "skbgopt-report.jsonl"
ROLES = ("bgModel", "bgSubtracted")
# Starts the command with some arguments in a session of its own and returns the process' number.
Start = Callable[[list[str]], int]


def spawned(arguments: list[str], stderr: str | None = None) -> int:
    """Start the command as a user does; its complaints may go to a file."""
    to_file = [] if stderr is None else [(os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_CREAT, 0o600)]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "from skbgopt.cli import main; main()", *arguments],
        {**os.environ, "OMP_NUM_THREADS": "1"},
        file_actions=to_file,
        setsid=True,
    )


def make_inputs(directory: Path, number: int) -> list[Path]:
    """Write so many small frames."""
    directory.mkdir()
    paths = [directory / f"light{n}.fits" for n in range(number)]
    y, x = np.mgrid[:80, :120] / 100
    for n, path in enumerate(paths):
        pixels = 100 + n + 5 * x + y**2 + np.random.default_rng(n).normal(0, 1, y.shape)
        write_image(path, pixels.astype(np.float32))
    return paths


def contents(directory: Path) -> dict[str, bytes]:
    """Return what the visible files of a directory hold, but the report."""
    return {
        path.name: path.read_bytes()
        for path in directory.glob("*")
        if not path.name.startswith(".") and path.name != REPORT
    }


def end(pid: int) -> int:
    """Wait until a process has ended and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def processes_of(session: int) -> list[int]:
    """Return those that are left of a session, which bears the number of its first process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.name))
    return found


def killed(pid: int, seconds: float) -> bool:
    """Kill a process with all its children after so long; tell whether it had not ended by itself."""
    time.sleep(seconds)
    if os.waitpid(pid, os.WNOHANG) != (0, 0):
        return False
    os.killpg(pid, signal.SIGKILL)
    return end(pid) == -signal.SIGKILL


def seconds_of(start: Start, arguments: list[str]) -> float:
    """Return how long a command takes that nobody disturbs."""
    begin = time.monotonic()
    assert end(start(arguments)) == 0
    return time.monotonic() - begin


def kill_batch(folder: Path, n_kills: int, start: Start, n_frames: int = 6, jobs: int = 1, seed: int = 0) -> None:
    """Kill a batch so many times, each time going on with ``--resume``, and check what is there.

    After each kill: every result there is complete, byte by byte what an undisturbed batch writes; the inputs are
    untouched; pairs that were complete are not made again. In the end nothing is missing and no temporary file left.
    """
    inputs = make_inputs(folder / "lights", n_frames)
    given = contents(folder / "lights")
    options = [str(folder / "lights"), *FAST, "--quiet", "--jobs", str(jobs)]
    seconds = seconds_of(start, ["batch", *options, "-o", str(folder / "reference")])
    expected = contents(folder / "reference")
    assert len(expected) == 2 * n_frames
    draw, n_killed, n_rounds = random.Random(seed), 0, 0
    while n_killed < n_kills:
        n_rounds += 1
        out, whole, complete = folder / f"flat{n_rounds}", {}, False
        arguments = ["batch", *options, "-o", str(out), "--resume"]
        while n_killed < n_kills and not complete:
            complete = not killed(start(arguments), draw.uniform(0, seconds))
            n_killed += not complete
            there = contents(out) if out.exists() else {}
            assert there.items() <= expected.items(), "a result is not complete"
            assert contents(folder / "lights") == given, "an input was touched"
            whole = still_there(out, whole)
        assert end(start(arguments)) == 0
        assert contents(out) == expected
        still_there(out, whole)
        assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
        assert len([json.loads(line) for line in (out / REPORT).read_text().splitlines()]) == len(inputs)
    print(
        f"batch --jobs {jobs}: {n_killed} kills in {n_rounds} rounds of {n_frames} frames, nothing lost or made twice"
    )


def still_there(out: Path, before: dict[str, int]) -> dict[str, int]:
    """Return the times of the files of complete pairs; those of before are unchanged."""
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.fits")}
    stems = {name.split("_")[0] for name in times}
    pairs = [[f"{stem}_{role}.fits" for role in ROLES] for stem in stems]
    whole = {name: times[name] for pair in pairs if set(pair) <= times.keys() for name in pair}
    assert before.items() <= whole.items(), "a result was made twice"
    return whole


def kill_remove(folder: Path, n_kills: int, start: Start, seed: int = 0) -> None:
    """Kill ``remove --overwrite`` so many times: each result is the older or the newer one, and whole."""
    (path,) = make_inputs(folder / "lights", 1)
    given, out = path.read_bytes(), folder / "flat"
    older = [str(path), str(out), *FAST, "--overwrite", "--quiet"]
    newer = [*older, "--level", "zero"]
    versions = []
    for options in (older, newer):
        seconds = seconds_of(start, ["remove", *options])
        versions.append(contents(out))
    draw, n_killed = random.Random(seed), 0
    while n_killed < n_kills:
        options = draw.choice([older, newer])
        n_killed += killed(start(["remove", *options]), draw.uniform(0, seconds))
        there = contents(out)
        assert there.keys() == versions[0].keys()
        assert all(there[name] in (versions[0][name], versions[1][name]) for name in there), "a result is not complete"
        assert path.read_bytes() == given, "the input was touched"
    print(f"remove --overwrite: {n_killed} kills, every result whole")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            kill_batch(Path(folder), given.kills, spawned, jobs=jobs, seed=given.seed)
    with tempfile.TemporaryDirectory() as folder:
        kill_remove(Path(folder), given.kills, spawned, seed=given.seed)


if __name__ == "__main__":
    main()
