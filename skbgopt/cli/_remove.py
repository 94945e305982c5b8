"""``skbgopt remove``: one image in, the image without its background and the background out."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skbgopt.cli._errors import ARGUMENTS, WARNINGS, SentenceCommand
from skbgopt.cli._help import EXIT_CODES
from skbgopt.cli._hints import warn_of_idle_options
from skbgopt.cli._log import say, speaker
from skbgopt.cli._options import estimator_parameters, files_beside, removal_options

if TYPE_CHECKING:
    from skbgopt.cli._html import Page
    from skbgopt.cli._job import Job

_EPILOG = f"""Writes NAME_bgSubtracted and NAME_bgModel in the input's format, with its metadata. A flag given twice:
the last counts.

\b
Examples:
  skbgopt remove stack.xisf results
  skbgopt remove -p stack.xisf                    a picture of what would be fitted
  skbgopt remove --report look.html stack.xisf    a page to look at as well
  skbgopt remove -m mask.xisf landscape.xisf      white = use, black = ignore
  skbgopt remove --smoothing 1e-4 stack.fits      a price of bending of your own
  skbgopt remove --preset bgoptimizer stack.xisf  the published method

{EXIT_CODES}
"""


@click.command(cls=SentenceCommand, epilog=_EPILOG)
@click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output_dir", metavar="[OUTPUT_DIR]", default=".", type=click.Path(path_type=Path))
@removal_options
@click.pass_context
def remove(ctx: click.Context, preview: bool, page: Path | None, quiet: bool, as_json: bool, **_) -> None:
    """Remove the sky background of the image INPUT; results go to OUTPUT_DIR (default: here)."""
    from skbgopt.cli._frames import new_record, result_of
    from skbgopt.cli._run import run_removal

    warn_of_idle_options(ctx)
    job = job_of(ctx, shows_progress=sys.stderr is not None and sys.stderr.isatty() and not quiet)
    wanted = None if page is None else _page(ctx, page)
    if preview:
        from skbgopt.cli._preview import run_preview

        run_preview(job, speaker(quiet or as_json), wanted)
        return
    removal = run_removal(job, speaker(quiet or as_json), wanted)
    if as_json:
        say(json.dumps({**new_record(job), **result_of(removal), "warnings": ctx.meta[WARNINGS]}))


def _page(ctx: click.Context, path: Path) -> Page:
    from skbgopt.cli._html import Page

    return Page(path, shlex.join(["skbgopt", *ctx.meta[ARGUMENTS]]), ctx.meta[WARNINGS])


def job_of(ctx: click.Context, **changes: Any) -> Job:
    """Return what a command's options ask for, but for the changes."""
    from skbgopt.cli._job import Job

    given = {field.name: ctx.params[field.name] for field in fields(Job) if field.name in ctx.params}
    return Job(**{**given, "parameters": estimator_parameters(ctx), "beside": files_beside(ctx), **changes})
