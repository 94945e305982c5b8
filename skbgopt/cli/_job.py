"""A job of ``skbgopt remove``: what a call asks for, and what its results say of it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skbgopt import __version__
from skbgopt._device import resolve_device
from skbgopt.background import BackgroundSplineRegressor
from skbgopt.cli._inputs import size_text
from skbgopt.cli._options import DEFAULTS
from skbgopt.cli._outputs import output_suffix, split_suffix
from skbgopt.io import StoredImage

RESULT_NAMES = ("bgSubtracted", "bgModel")
# The card that holds a job's key.
KEY_CARD = "BGKEY"


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
    max_memory: int | None = None
    output_dtype: str = "float"
    output_scale: float = 1.0
    pedestal: float = 0.0
    shows_progress: bool = False
    verbose: bool = False
    # Applied instead of a fit; `parameters` are then its own.
    model: BackgroundSplineRegressor | None = None
    # Fitted again, with what it may keep of the image before.
    start: BackgroundSplineRegressor | None = None
    # Says of the outputs what they are made of.
    key: str | None = None
    # Of files that have been looked at before the work on them begins.
    stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)
    # Read as well: settings, lists, a model, a storage.
    beside: list[Path] = field(default_factory=list)
    # Of the directories in which outputs are made.
    prefix: str = ".skbgopt-"

    @property
    def sources(self) -> list[Path]:
        """The files read."""
        return [self.input_path] if self.mask is None else [self.input_path, self.mask]

    @property
    def block(self) -> int | None:
        """Side of the blocks that are fitted; None where a model is applied."""
        return None if self.model else self.parameters["downscale_factor"]

    def arguments(self) -> dict[str, Any]:
        """Return what the report lists."""
        return {
            "input_file": self.input_path,
            "output_path": self.output_dir,
            "format": self.file_format or "the input's",
            "compress": self.compress,
            "mask": self.mask,
            "output_dtype": self.output_dtype,
            "max_memory": "none" if self.max_memory is None else size_text(self.max_memory),
            **self.parameters,
            "batch_size": f"{self.batch_size} (no effect)",
        }

    def targets(self, source: StoredImage) -> list[Path]:
        """Return the paths of the results: subtracted image, model."""
        suffix = output_suffix(self.input_path, source.metadata.format, self.file_format)
        return [self.output(name, suffix) for name in RESULT_NAMES]

    def estimator(self) -> BackgroundSplineRegressor:
        """Return the model to be applied, or one to be fitted.

        Raises
        ------
        ValueError
            If a parameter is out of range; before anything is read.
        """
        ready = self.model or self.start
        if ready is not None:
            return copy(ready)
        estimator = BackgroundSplineRegressor(**self.parameters, verbose=int(self.shows_progress))
        estimator._validate_params()
        low, high = estimator.threshold_min, estimator.threshold_max
        if not low < high:
            raise ValueError(
                f"The 'threshold_min' parameter of {type(estimator).__name__} must be below 'threshold_max'. "
                f"Got {low} and {high} instead."
            )
        resolve_device(estimator.device)
        return estimator

    def output(self, role: str, suffix: str) -> Path:
        """Return the path of an output."""
        return self.output_dir / f"{split_suffix(self.input_path)[0]}_{role}{suffix}"


def result_history(job: Job, role: str) -> list[str]:
    """Return the lines of a result's history."""
    settings = ", ".join(f"{name}={value}" for name, value in job.parameters.items())
    mask = "none" if job.mask is None else job.mask.name
    return [
        f"skbgopt {__version__}: {role}",
        f"skbgopt input: {job.input_path.name}, mask: {mask}",
        f"skbgopt parameters: {settings}",
    ]


def result_cards(job: Job, estimator: BackgroundSplineRegressor, role: str) -> dict[str, tuple[Any, str]]:
    """Return the cards of a result; before the fit those that it finds are empty."""
    found = {name: getattr(estimator, name, None) for name in ("order_", "degree_", "smoothing_", "loss_")}
    return {
        "BGSOFT": (f"skbgopt {__version__}", "sky background by"),
        "BGROLE": (role, "what this file holds"),
        "BGN": (estimator.n_control_points, "control points of the spline"),
        "BGORDER": (found["order_"], "order of the kernel"),
        "BGDEGREE": (found["degree_"], "degree of the polynomial"),
        "BGSMOOTH": (found["smoothing_"], "smoothing used"),
        "BGALPHA": (estimator.alpha, "price of overshoot"),
        "BGQUANT": (estimator.quantile, "quantile of the stretch"),
        "BGEPS": (estimator.loss_scale, "loss scale"),
        "BGSOLVER": (estimator.solver, "solver"),
        "BGLOSS": (found["loss_"], "loss reached"),
        "BGCORR": (estimator.correction, "subtract or divide"),
        "BGLEVEL": (estimator.level, "what the sky level became"),
        **({} if job.key is None else {KEY_CARD: (job.key, "hash of input and settings")}),
    }
