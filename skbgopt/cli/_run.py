"""The work behind ``skbgopt remove``: read, prepare, fit, predict, write, and report each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from skbgopt import __version__
from skbgopt._device import resolve_device
from skbgopt._validation import work_dtype
from skbgopt.background import BackgroundSplineRegressor
from skbgopt.cli import _report as report
from skbgopt.cli._inputs import InputFrame, read_frame
from skbgopt.cli._options import DEFAULTS
from skbgopt.cli._outputs import all_or_none, check_is_no_file_name, check_targets, output_suffix, split_suffix
from skbgopt.io import write_image
from skbgopt.io._layout import writable_pixels

if TYPE_CHECKING:
    from skbgopt.preparation import PreparedImage


@dataclass(frozen=True)
class Job:
    """What a call of ``skbgopt remove`` asks for; the fields are its options."""

    input_path: Path
    output_dir: Path
    parameters: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))
    mask: Path | None = None
    hdu: int | str | None = None
    file_format: str | None = None
    compress: bool = False
    overwrite: bool = False
    save_model: Path | None = None
    batch_size: int = 1
    shows_progress: bool = False

    @property
    def sources(self) -> list[Path]:
        """The files read."""
        return [self.input_path] if self.mask is None else [self.input_path, self.mask]

    def arguments(self) -> dict[str, Any]:
        """Return what the report lists."""
        return {
            "input_file": self.input_path,
            "output_path": self.output_dir,
            "format": self.file_format or "the input's",
            "compress": self.compress,
            "mask": self.mask,
            **self.parameters,
            "batch_size": f"{self.batch_size} (no effect)",
        }

    def output(self, role: str, suffix: str) -> Path:
        """Return the path of an output."""
        return self.output_dir / f"{split_suffix(self.input_path)[0]}_{role}{suffix}"


@dataclass(frozen=True)
class Removal:
    """The arrays of a finished job, arranged as in the file, and what it took."""

    image: np.ndarray
    background: np.ndarray
    corrected: np.ndarray
    files: list[Path]
    seconds: float


def run_removal(job: Job, say: report.Say) -> Removal:
    """Remove a background and write the results."""
    start = perf_counter()
    check_is_no_file_name(job.output_dir)
    frame = read_frame(job.input_path, job.mask, job.hdu)
    suffix = output_suffix(job.input_path, frame.metadata.format, job.file_format)
    targets = [job.output("bgSubtracted", suffix), job.output("bgModel", suffix)]
    _check_outputs(job, frame, targets)
    estimator = BackgroundSplineRegressor(**job.parameters, verbose=int(job.shows_progress))
    prepared = _prepare(job, frame, estimator, say)
    _fit(estimator, prepared, say)
    background, corrected = _evaluate(estimator, frame, say)
    _write(job, frame, estimator, dict(zip(targets, (corrected, background), strict=True)), say)
    image = frame.as_in_file(frame.pixels)
    return Removal(image, background, corrected, targets, perf_counter() - start)


def run_preview(job: Job, say: report.Say) -> Path:
    """Write a picture of what would be fitted."""
    from skbgopt.plotting import preview_figure

    frame = read_frame(job.input_path, job.mask, job.hdu)
    target = job.output("preview", ".png")
    check_targets([target], job.sources, overwrite=job.overwrite)
    estimator = BackgroundSplineRegressor(**job.parameters)
    prepared = _prepare(job, frame, estimator, say)
    figure = preview_figure(prepared, estimator.threshold_min, estimator.threshold_max)
    say(report.heading("Saving preview"))
    save_figure(figure, target, say)
    return target


def save_figure(figure, target: Path, say: report.Say) -> None:
    """Write a figure as PNG, whole or not at all."""
    say(f"Writing {target}... ", nl=False)
    with all_or_none([target]) as staged:
        figure.savefig(staged[target], dpi=110, bbox_inches="tight")
    say("done.")


def _check_outputs(job: Job, frame: InputFrame, targets: list[Path]) -> None:
    models = [] if job.save_model is None else [job.save_model]
    check_targets([*targets, *models], job.sources, overwrite=job.overwrite)
    # An array of the results' shape and type that takes no memory: can the format hold it at all?
    likeness = np.broadcast_to(work_dtype(frame.pixels.dtype)(0), frame.shape)
    writable_pixels(likeness, targets[0], job.file_format or frame.metadata.format)


def _prepare(job: Job, frame: InputFrame, estimator: BackgroundSplineRegressor, say: report.Say) -> PreparedImage:
    say("__/ Arguments \\__________")
    for line in report.aligned(job.arguments()):
        say(line)
    say(report.heading("Environment"))
    for line in report.aligned(report.environment(resolve_device(estimator.device))):
        say(line)
    prepared = estimator.prepare(frame.pixels, sample_weight=frame.weights)
    for line in report.preprocessing(frame.pixels, prepared):
        say(line)
    if frame.is_mosaic:
        say(
            f"The image is a raw {frame.metadata.bayer_pattern} mosaic: "
            "its four colour planes are fitted as four channels and put together again."
        )
    return prepared


def _fit(estimator: BackgroundSplineRegressor, prepared: PreparedImage, say: report.Say) -> None:
    say(report.heading("Background modeling"))
    say("Fitting spline...")
    start = perf_counter()
    estimator.fit_prepared(prepared)
    for line in report.modeling(estimator, perf_counter() - start):
        say(line)


def _evaluate(
    estimator: BackgroundSplineRegressor, frame: InputFrame, say: report.Say
) -> tuple[np.ndarray, np.ndarray]:
    say(report.heading("Full-size background model & subtracted image"))
    start = perf_counter()
    background, corrected = estimator.predict(frame.pixels), estimator.transform(frame.pixels)
    for line in report.full_size(background, corrected, perf_counter() - start):
        say(line)
    return frame.as_in_file(background), frame.as_in_file(corrected)


def _write(
    job: Job,
    frame: InputFrame,
    estimator: BackgroundSplineRegressor,
    results: dict[Path, np.ndarray],
    say: report.Say,
) -> None:
    say(report.heading("Saving output files"))
    roles = (f"background removed ({estimator.correction})", "background model")
    models = [] if job.save_model is None else [job.save_model]
    with all_or_none([*results, *models]) as staged:
        for (target, image), role in zip(results.items(), roles, strict=True):
            say(f"Writing {target}... ", nl=False)
            write_image(
                staged[target],
                image,
                frame.metadata,
                compress=job.compress,
                history=_history(job, role),
                cards=_cards(estimator, role),
            )
            say("done.")
        for target in models:
            say(f"Writing {target}... ", nl=False)
            estimator.save(staged[target])
            say("done.")


def _history(job: Job, role: str) -> list[str]:
    settings = ", ".join(f"{name}={value}" for name, value in job.parameters.items())
    mask = "none" if job.mask is None else job.mask.name
    return [
        f"skbgopt {__version__}: {role}",
        f"skbgopt input: {job.input_path.name}, mask: {mask}",
        f"skbgopt parameters: {settings}",
    ]


def _cards(estimator: BackgroundSplineRegressor, role: str) -> dict[str, tuple[Any, str]]:
    return {
        "BGSOFT": (f"skbgopt {__version__}", "sky background by"),
        "BGROLE": ("model" if role == "background model" else "subtracted", "what this file holds"),
        "BGN": (estimator.n_control_points, "control points of the spline"),
        "BGORDER": (estimator.order_, "order of the kernel"),
        "BGDEGREE": (estimator.degree_, "degree of the polynomial"),
        "BGSMOOTH": (estimator.smoothing_, "smoothing used"),
        "BGALPHA": (estimator.alpha, "price of overshoot"),
        "BGQUANT": (estimator.quantile, "quantile of the stretch"),
        "BGEPS": (estimator.loss_scale, "loss scale"),
        "BGSOLVER": (estimator.solver, "solver"),
        "BGLOSS": (estimator.loss_, "loss reached"),
        "BGCORR": (estimator.correction, "subtract or divide"),
        "BGLEVEL": (estimator.level, "what the sky level became"),
    }
