"""What the commands say: on the screen and, if wanted, in a log file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

_LOGGER = logging.getLogger("skbgopt.cli")
# The screen is ours: nothing goes to the root's handlers, nor to Python's last resort.
_LOGGER.propagate = False
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.setLevel(logging.INFO)
_COLOURS = {logging.ERROR: "red", logging.WARNING: "yellow"}


def say(line: str = "", nl: bool = True) -> None:
    """Print a line of the report."""
    log(line)
    try:
        click.echo(line, nl=nl)
    except OSError as error:
        error.filename = "standard output"
        raise


def log(line: str = "", nl: bool = True) -> None:
    """Write a line to the log file only, if there is one: what ``--quiet`` leaves of `say`."""
    if line.strip():
        _LOGGER.info(line.strip())


def speaker(quiet: bool) -> Callable[..., None]:
    """Return `say`, or `log` for ``--quiet``."""
    return log if quiet else say


def complain(line: str, level: int = logging.ERROR) -> None:
    """Print an error or a warning to stderr, in colour if that is a terminal and NO_COLOR is not set."""
    # It stays one line, whatever the names of files in it hold.
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
    _LOGGER.log(level, line)
    _to_stderr(line, _COLOURS[level])


def _to_stderr(line: str, colour: str) -> None:
    in_colour = sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    # Where stderr takes nothing, there is nobody to tell.
    with suppress(OSError):
        click.echo(click.style(line, fg=colour) if in_colour else line, err=True)


class _LogFile(logging.FileHandler):
    """A log file that is given up with one warning when it can no longer be written to, as on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Stop; called by `logging` where an exception is handled."""
        _LOGGER.removeHandler(self)
        line = f"warning: The log file {self.baseFilename} ends here: {sys.exc_info()[1]}."
        _to_stderr(line, _COLOURS[logging.WARNING])


@contextmanager
def logged_to(path: Path | None, read: Iterable[Path] = (), made: Iterable[Path] = ()) -> Iterator[None]:
    """Append what is said in the block to a file, if one is given.

    Raises
    ------
    ValueError
        If the file is one of those that are read or made, has the name of an image, or is there and is no text.
    """
    if path is None:
        yield
        return
    _check_is_only_log(path, read, made)
    _check_is_text(path)
    _check_is_no_image(path)
    # What a pipe is called behind /dev/stderr is no path.
    place = path if path.exists() else os.path.realpath(path)
    handler = _LogFile(place, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _check_is_only_log(path: Path, read: Iterable[Path], made: Iterable[Path]) -> None:
    from skbgopt.cli._outputs import is_same

    for others, what in ((read, "an input itself and is not appended to"), (made, "an output as well")):
        if any(is_same(path, other) for other in others):
            raise ValueError(f"--log-file {path} is {what}: give another name.")


def _check_is_no_image(path: Path) -> None:
    """Results are named by their inputs, and pictures are PNG."""
    from skbgopt.cli._outputs import split_suffix

    behind = Path(os.path.realpath(path))
    if split_suffix(behind)[1] or behind.suffix.lower() == ".png":
        raise ValueError(f"--log-file {path} has the name of an image: give another name.")


def _check_is_text(path: Path) -> None:
    from skbgopt.io._formats import is_fits

    # Of "new/../name" there is nothing to look at until the directory "new" is made.
    behind = os.path.realpath(path)
    if os.path.isfile(behind):
        with open(behind, "rb") as file:
            head = file.read(4096)
        # FITS begins with text.
        if b"\0" in head or is_fits(head):
            raise ValueError(f"--log-file {path} is no text and is not appended to: give another name.")
