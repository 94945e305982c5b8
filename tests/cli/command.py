"""Runs the command within the tests."""

import json
import os
import re
import sys
import threading
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from tqdm import tqdm

from skbgopt import write_image
from skbgopt.cli import command_line, main

# Options of a quick fit.
FAST = ["-N", "16", "--smoothing", "1e-4"]
REPORT = "skbgopt-report.jsonl"


def run(*arguments, code=0):
    """Run the command and check its exit code."""
    result = CliRunner().invoke(command_line, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def forked(arguments, stdin=os.devnull, stdout=os.devnull, stderr=os.devnull):
    """Start the command in a copy of this process, which spares the imports; see `tests.faults.killing.Start`.

    The streams are files. Not with ``--jobs``: the copy would wait for processes that are not its own.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.setsid()
        for number, name in enumerate((stdin, stdout, stderr)):
            flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY | os.O_NOCTTY
            os.dup2(os.open(name, flags, 0o600), number)
        # Not closed: the process ends with them.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        # All copies share tqdm's own, and one that was killed with it would hold it for ever.
        tqdm.set_lock(threading.RLock())
        sys.argv = ["skbgopt", *map(str, arguments)]
        main()
    except SystemExit as error:
        code = error.code or 0
    finally:
        os._exit(code)


def names(folder):
    """Names of the visible and hidden files."""
    return sorted(path.name for path in Path(folder).iterdir())


def argument(result, name):
    """Value that the report lists for an argument."""
    return re.search(rf"^{name} *: (.*)$", result.stdout, re.MULTILINE).group(1)


def make_lights(folder, pixels, number):
    """Write so many frames."""
    directory = folder / "lights"
    directory.mkdir()
    for n in range(number):
        write_image(directory / f"light{n}.fits", pixels * np.float32(1 + n / 10))
    return directory


def report_of(directory):
    """The records of a report, by the names of their inputs; every line is one."""
    lines = Path(directory, REPORT).read_text().splitlines()
    records = {Path(record["input"]).name: record for record in map(json.loads, lines)}
    assert len(records) == len(lines)
    return records


def results_of(*inputs):
    """The files that a finished batch leaves."""
    return sorted([f"{name}_{role}.fits" for name in inputs for role in ("bgModel", "bgSubtracted")] + [REPORT])
