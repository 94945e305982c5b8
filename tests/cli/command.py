"""Runs the command within the tests."""

import re
from pathlib import Path

from click.testing import CliRunner

from skbgopt.cli import command_line

# Options of a quick fit.
FAST = ["-N", "16", "--smoothing", "1e-4"]


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
