"""From exceptions and warnings to one line on stderr and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from skbgopt.cli._config import file_that_sets
from skbgopt.cli._help import GroupedCommand, flags_of
from skbgopt.cli._log import complain, logged_to
from skbgopt.cli._options import files_beside, files_made

# The last one is what shells say of a program whose reader went away, as that of `skbgopt remove ... | head -1`.
BAD_INPUT, FAILURE, INTERRUPTED, BROKEN_PIPE = 2, 1, 130, 141

# What a user can put right by other arguments or files. ImageFormatError is a ValueError.
_USERS_ERRORS = (
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_USERS_NUMBERS = (errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS)


# Of a context's meta: what was typed after the program's name, and the warnings of the run so far.
ARGUMENTS, WARNINGS = f"{__name__}.arguments", f"{__name__}.warnings"


class Terminated(KeyboardInterrupt):
    """A signal that asks for the end; as with Ctrl-C, nothing half done is left."""

    def __init__(self, number: int):
        super().__init__(number)
        self.code = 128 + number


def interrupt_code(error: BaseException | None) -> int:
    """Return the exit code of an interruption."""
    return error.code if isinstance(error, Terminated) else INTERRUPTED


class SentenceGroup(click.Group):
    """A group that reports wrong usage as one sentence."""

    def make_context(self, info_name: str | None, args: list[str], *parents: Any, **extra: Any) -> click.Context:
        """Keep what was typed, then parse it as `click.Group.make_context` does."""
        typed = list(args)
        ctx = super().make_context(info_name, args, *parents, **extra)
        ctx.meta[ARGUMENTS] = typed
        return ctx

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run, then leave with the exit code (``standalone_mode``), as `click.Group.main` does."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except click.Abort as error:
            complain("skbgopt: interrupted, no output was written.")
            code = interrupt_code(error.__cause__)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            code = BAD_INPUT
        except click.ClickException as error:
            complain(f"skbgopt: {_usage_sentence(error)}")
            code = BAD_INPUT
        except OSError as error:
            # From --help and the like; the commands themselves let no error through.
            complain(f"skbgopt: {sentence(error)}")
            code = FAILURE
        sys.exit(code if isinstance(code, int) else 0)


class SentenceCommand(GroupedCommand):
    """A command whose errors and warnings become single lines; ``--debug`` adds the traceback."""

    def invoke(self, ctx: click.Context):
        """Run the command, as `click.Command.invoke` does."""
        try:
            _check_directory()
            ctx.with_resource(logged_to(ctx.params.get("log_file"), files_beside(ctx), files_made(ctx)))
            with _warnings_as_lines(ctx.meta.setdefault(WARNINGS, [])):
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            # Nobody reads on: no sentence, and nothing that Python would flush at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(BROKEN_PIPE)
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            text = sentence(error)
            complain(f"skbgopt: {_with_flags(text, ctx) if isinstance(error, ValueError) else text}")
            users = isinstance(error, _USERS_ERRORS) or getattr(error, "errno", None) in _USERS_NUMBERS
            ctx.exit(BAD_INPUT if users else FAILURE)


def _check_directory() -> None:
    """Raise ValueError where the current directory has been deleted, which libraries answer with the end of it all."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ValueError("The current directory has been deleted: change to another one.") from None


def _usage_sentence(error: click.ClickException) -> str:
    # Of the names that are like the wrong one, the nearest comes first.
    del (getattr(error, "possibilities", None) or [])[1:]
    text, ctx = one_line(error.format_message()), getattr(error, "ctx", None)
    name = getattr(getattr(error, "param", None), "name", None) or ""
    # One that has its value already is wrong elsewhere, as in the range of a search.
    if ctx is not None and name not in ctx.params and (path := file_that_sets(ctx, name)) is not None:
        return f"Invalid value for {name} in {path}: {one_line(error.message)}"
    return text if ctx is None else f"{text} See '{ctx.command_path} --help'."


def sentence(error: BaseException) -> str:
    """Return what an error says, as one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    text = one_line(str(error))
    if isinstance(error, _USERS_ERRORS) and text:
        return text
    return f"{type(error).__name__}: {text or 'no details given'} (--debug shows where)"


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())


def _with_flags(text: str, ctx: click.Context) -> str:
    """Return a sentence on parameters of the estimator as one on what sets them: flags, or settings in a file."""
    flags = flags_of(ctx.command)

    def what_sets(found: re.Match) -> str:
        name = found[1] or found[2]
        path = file_that_sets(ctx, name)
        return flags.get(name, found[0]) if path is None else f"{name} in {path}"

    told = re.sub(r"^The '(\w+)' parameter(?: of \w+)?|(?<= must be below )'(\w+)'", what_sets, text)
    # Others name a parameter somewhere, as one that should be lower.
    named = [name for name in flags if re.search(rf"\b{name}\b(?! in )", told)]
    files = [f"{name} is set in {path}" for name in named if (path := file_that_sets(ctx, name)) is not None]
    return told if not files else f"{told.removesuffix('.')}; {', '.join(files)}."


@contextmanager
def _warnings_as_lines(said: list[str]) -> Iterator[None]:
    # astropy puts a hook of its own in place when it is imported; ours has to come after it.
    import astropy  # noqa: F401

    def show(message, category, filename, lineno, file=None, line=None):
        text = one_line(str(message))
        if text not in said:
            said.append(text)
            complain(f"warning: {text}", logging.WARNING)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
