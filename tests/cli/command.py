"""Runs the command within the tests."""

import json
import re
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from skbgopt import write_image
from skbgopt.cli import command_line

# Options of a quick fit.
FAST = ["-N", "16", "--smoothing", "1e-4"]
REPORT = "skbgopt-report.jsonl"


def run(*arguments, code=0):
    """Run the command and check its exit code."""
    result = CliRunner().invoke(command_line, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


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
