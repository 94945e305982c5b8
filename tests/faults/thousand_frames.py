"""A batch of a thousand frames: how its memory goes, and what is made once where it is killed in the middle.

    python -m tests.faults.thousand_frames --frames 1000 --options "--smoothing 1e-4"

takes 8 GB in the temporary directory (``--directory``) for 1000 frames.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

from skbgopt import make_sky_image, write_image
from tests.faults.killing import REPORT, end, processes_of, spawned, still_there

# 0.5 megapixels.
SHAPE = (600, 840)
N_DISTINCT = 5
# The frames at the beginning and at the end whose memory is compared.
N_COMPARED = 100
_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_frames(directory: Path, number: int) -> None:
    """Write a handful of distinct frames, and link them under so many names."""
    directory.mkdir()
    for n in range(number):
        path = directory / f"light{n:04d}.fits"
        if n < N_DISTINCT:
            write_image(path, make_sky_image("ha", shape=SHAPE, random_state=n).image)
        else:
            path.hardlink_to(directory / f"light{n % N_DISTINCT:04d}.fits")


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def n_lines(path: Path) -> int:
    """Return the lines of a report."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


class Watch:
    """Writes down again and again how many images are done and what each process of a batch holds."""

    def __init__(self, pid: int, report: Path, seconds: float = 0.5):
        self.pid, self.report, self.seconds = pid, report, seconds
        self.samples: list[tuple[int, int, list[int]]] = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.wait(self.seconds):
            others = sorted((resident(pid) for pid in processes_of(self.pid) if pid != self.pid), reverse=True)
            self.samples.append((n_lines(self.report), resident(self.pid), others))

    def stop(self) -> None:
        """End; the samples stay."""
        self.done.set()
        self.thread.join()

    def compare(self, total: int, jobs: int) -> None:
        """Print the medians of the first and of the last frames."""
        first = [sample for sample in self.samples if 0 < sample[0] <= N_COMPARED]
        last = [sample for sample in self.samples if total - N_COMPARED <= sample[0] < total]
        for name, pick in (
            ("parent", lambda sample: sample[1]),
            *((f"worker {k + 1}", lambda sample, k=k: [*sample[2], 0, 0][k]) for k in range(jobs)),
            ("all", lambda sample: sample[1] + sum(sample[2])),
        ):
            begin, finish = (statistics.median(map(pick, part)) for part in (first, last))
            peak = max(map(pick, self.samples))
            print(
                f"  {name}: first {N_COMPARED} {begin / 1e6:.1f} MB, last {N_COMPARED} {finish / 1e6:.1f} MB "
                f"({100 * (finish / begin - 1):+.1f} %), most {peak / 1e6:.1f} MB"
            )


def undisturbed(arguments: list[str], out: Path, number: int, jobs: int) -> None:
    """Run all of it, and print how long it took and what memory it held."""
    begin = time.monotonic()
    pid = spawned(arguments)
    watch = Watch(pid, out / REPORT)
    code = end(pid)
    watch.stop()
    print(f"undisturbed: exit code {code}, {time.monotonic() - begin:.0f} s, {len(watch.samples)} samples", flush=True)
    check(out, number)
    watch.compare(number, jobs)


def disturbed(arguments: list[str], out: Path, number: int) -> None:
    """Kill all of it in the middle, resume, and see what was made again."""
    pid = spawned(arguments)
    while n_lines(out / REPORT) < number // 2:
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    end(pid)
    reported, whole = n_lines(out / REPORT), still_there(out, {})
    print(f"killed after {reported} lines of the report and {len(whole) // 2} complete pairs", flush=True)
    code = end(spawned([*arguments, "--resume"]))
    print(f"resumed: exit code {code}; the {len(whole) // 2} pairs from before are untouched", flush=True)
    still_there(out, whole)
    check(out, number)


def check(out: Path, number: int) -> None:
    """See that every frame has its two results and its line, and that nothing else is there."""
    records = [json.loads(line) for line in (out / REPORT).read_text().splitlines()]
    assert len({record["input"] for record in records}) == len(records) == number
    assert {record["status"] for record in records} <= {"done", "skipped"}
    assert len(list(out.iterdir())) == 2 * number + 1
    assert len(still_there(out, {})) == 2 * number
    print(f"  {number} pairs of results, {len(records)} lines in the report, no other file", flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--options", default="--smoothing 1e-4", help="of skbgopt batch")
    parser.add_argument("--directory", default=None)
    parser.add_argument("--only", choices=["undisturbed", "disturbed"], default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        lights, out = Path(folder, "lights"), Path(folder, "flat")
        make_frames(lights, given.frames)
        options = [*shlex.split(given.options), "--quiet", "--jobs", str(given.jobs)]
        arguments = ["batch", str(lights), "-o", str(out), *options]
        print(f"skbgopt batch, {given.frames} frames of {SHAPE[0]} x {SHAPE[1]}: {shlex.join(options)}", flush=True)
        if given.only != "disturbed":
            undisturbed(arguments, out, given.frames, given.jobs)
            shutil.rmtree(out)
        if given.only != "undisturbed":
            disturbed(arguments, out, given.frames)


if __name__ == "__main__":
    main()
