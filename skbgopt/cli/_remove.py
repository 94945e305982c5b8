"""``skbgopt remove``: one image in, the image without its background and the background out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from skbgopt.cli._errors import SentenceCommand
from skbgopt.cli._options import estimator_parameters, removal_options

_EPILOG = (
    "Writes NAME_bgSubtracted and NAME_bgModel in the input's format, with its metadata. A flag given twice: "
    "the last counts. Exit codes: 0 done, 2 wrong input or options, 1 failure, 130 interrupted."
)


@click.command(cls=SentenceCommand, epilog=_EPILOG)
@click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output_dir", metavar="[OUTPUT_DIR]", default=".", type=click.Path(path_type=Path))
@removal_options
@click.pass_context
def remove(ctx: click.Context, input_path: Path, output_dir: Path, preview: bool, quiet: bool, **_) -> None:
    """Remove the sky background of the image INPUT; results go to OUTPUT_DIR (default: here)."""
    from skbgopt.cli._run import Job, run_preview, run_removal

    given = ctx.params
    job = Job(
        input_path=input_path,
        output_dir=output_dir,
        parameters=estimator_parameters(ctx),
        mask=given["mask"],
        hdu=given["hdu"],
        file_format=given["file_format"],
        compress=given["compress"],
        overwrite=given["overwrite"],
        save_model=given["save_model"],
        batch_size=given["batch_size"],
        max_memory=given["max_memory"],
        output_dtype=given["output_dtype"],
        output_scale=given["output_scale"],
        pedestal=given["pedestal"],
        shows_progress=sys.stderr is not None and sys.stderr.isatty() and not quiet,
    )
    say = _say_nothing if quiet else click.echo
    if preview:
        run_preview(job, say)
    else:
        run_removal(job, say)


def _say_nothing(line: str = "", **_) -> None:
    """Stand where `click.echo` may stand."""
