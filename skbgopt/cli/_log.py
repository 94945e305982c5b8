"""What the commands say: on the screen and, if wanted, in a log file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

_LOGGER = logging.getLogger("skbgopt.cli")
# The screen is ours: nothing goes to the root's handlers, nor to Python's last resort.
_LOGGER.propagate = False
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.setLevel(logging.INFO)


def say(line: str = "", nl: bool = True) -> None:
    """Print a line of the report."""
    log(line)
    click.echo(line, nl=nl)


def log(line: str = "", nl: bool = True) -> None:
    """Write a line to the log file only, if there is one: what ``--quiet`` leaves of `say`."""
    if line.strip():
        _LOGGER.info(line.strip())


def speaker(quiet: bool) -> Callable[..., None]:
    """Return `say`, or `log` for ``--quiet``."""
    return log if quiet else say


def complain(line: str, level: int = logging.ERROR, echo: Callable[..., object] | None = None) -> None:
    """Print an error or a warning to stderr."""
    _LOGGER.log(level, line)
    (echo or _to_stderr)(line)


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def logged_to(path: Path | None) -> Iterator[None]:
    """Append what is said in the block to a file, if one is given."""
    if path is None:
        yield
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()
