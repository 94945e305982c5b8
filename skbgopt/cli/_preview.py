"""The work behind ``skbgopt remove --preview``: a picture of what would be fitted."""

from __future__ import annotations

from pathlib import Path

from skbgopt.cli import _report as report
from skbgopt.cli._hints import warn_if_little_is_used
from skbgopt.cli._html import Page
from skbgopt.cli._inputs import check_memory, make_frame, open_input
from skbgopt.cli._job import Job
from skbgopt.cli._outputs import all_or_none, check_targets
from skbgopt.cli._run import prepare_frame
from skbgopt.plotting import StretchDisplay


def run_preview(job: Job, say: report.Say, page: Page | None = None) -> Path:
    """Write a picture of what would be fitted, and the page that was asked for."""
    estimator = job.estimator()
    source = open_input(job.input_path, job.hdu)
    mask = None if job.mask is None else open_input(job.mask)
    target = job.output("preview", ".png")
    targets = [target] if page is None else [target, page.path]
    check_targets(targets, [*job.sources, *job.beside], overwrite=job.overwrite)
    check_memory(source, mask, job.max_memory, in_bands=False, compress=False, page=page is not None)
    frame = make_frame(*source.read(), mask)
    prepared = prepare_frame(job, frame, estimator, say)
    warn_if_little_is_used(prepared, masked=mask is not None)
    thresholds = (estimator.threshold_min, estimator.threshold_max)
    display = StretchDisplay.from_prepared(prepared, thresholds).plot()
    say(report.heading("Saving preview"))
    with all_or_none(targets, overwrite=job.overwrite) as staged:
        _write_figure(display.figure_, target, staged[target], say)
        if page is not None:
            say(f"Writing {page.path}... ", nl=False)
            page.write_preview(staged[page.path], job, source, frame, prepared, display)
            say("done.")
    return target


def save_figure(figure, target: Path, say: report.Say) -> None:
    """Write a figure as PNG, whole or not at all."""
    with all_or_none([target]) as staged:
        _write_figure(figure, target, staged[target], say)


def _write_figure(figure, target: Path, staged: Path, say: report.Say) -> None:
    say(f"Writing {target}... ", nl=False)
    figure.savefig(staged, dpi=110, bbox_inches="tight")
    say("done.")
