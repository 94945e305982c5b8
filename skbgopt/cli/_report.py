"""The printed report, in the look of the published command."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from skbgopt import __version__
from skbgopt.metrics import channel_statistics

if TYPE_CHECKING:
    from skbgopt import BackgroundSplineRegressor
    from skbgopt.preparation import PreparedImage

Say = Callable[..., None]

_PACKAGES = ("torch", "scikit-learn", "numpy", "astropy", "xisf")
_STEPS_BETWEEN_LOSSES = {"adam": 100, "mm": 5}


def heading(title: str) -> str:
    """Return the line above a part of the report."""
    return f"\n__/ {title} \\__________"


def aligned(rows: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines of names and values, the colons one below the other."""
    width = max(map(len, rows))
    for name, value in rows.items():
        yield f"{name:{width}}: {value}"


def environment(device: object) -> dict[str, str]:
    """Return the versions that a bug report needs."""
    rows = {"python": platform.python_version(), "skbgopt": __version__}
    for package in _PACKAGES:
        try:
            rows[package] = version(package)
        except PackageNotFoundError:
            rows[package] = "unknown"
    return {**rows, "device": str(device)}


def number_format(statistics: np.ndarray) -> str:
    """Return a format that shows the median with 4 digits or more, at least 4 of them decimals below 10."""
    scale = np.abs(statistics[1]).max()
    if not 0 < scale < math.inf:
        scale = np.abs(statistics).max()
    if not 1e-5 <= scale < 1e7:
        return ".5g"
    return f".{max(1, min(8, 3 - math.floor(math.log10(scale))))}f"


def statistics_line(label: str, statistics: np.ndarray, number: str = ".4f") -> str:
    """Return minimum, median and maximum of each channel, and whether a minimum is negative."""
    parts = ("[" + " ".join(format(value, f"z{number}") for value in row) + "]" for row in statistics)
    warning = "  (negative)" if (statistics[0] < 0).any() else ""
    return f"[{label:<12}] Min / Median / Max = " + " / ".join(parts) + warning


def preprocessing(image: np.ndarray, prepared: PreparedImage) -> Iterator[str]:
    """Yield the part on what is fitted."""
    original = channel_statistics(image)
    usable = prepared.usable
    reduced = np.where(usable[:, :, None], prepared.stretched, np.nan)
    yield heading("Preprocessing")
    yield statistics_line("Original", original, number_format(original))
    yield statistics_line("Delinearized", prepared.curve.apply(original))
    yield statistics_line("Downscaled", channel_statistics(reduced))
    reasons = ", ".join(f"{count} {reason}" for reason, count in prepared.excluded.items() if count)
    yield f"Usable: {usable.sum()} of {usable.size} reduced pixels" + (
        f" (pixels excluded: {reasons})" if reasons else ""
    )


def modeling(estimator: BackgroundSplineRegressor, seconds: float, *, verbose: bool = False) -> Iterator[str]:
    """Yield the part on the fit, after it; verbose is for every step, and each smoothing that was tried."""
    curve = estimator.loss_curve_
    step_name = "Epoch" if estimator.solver == "adam" else "Step"
    stride = 1 if verbose else _STEPS_BETWEEN_LOSSES[estimator.solver]
    # The steps on wider scales, before those on the loss itself, have no comparable value.
    n_before = estimator.n_iter_ - len(curve)
    for step, loss in enumerate(curve, start=n_before + 1):
        if step % stride == 0:
            yield f"{step_name} {step:05d} - loss: {loss:.6f}"
    if estimator.solver == "mm":
        chosen, path = "", estimator.smoothing_path_
        if path is not None:
            chosen = f" (chosen among {len(path.smoothing)} on held-out sky)"
            below = path.score[path.best] - path.score
            for tried in zip(path.smoothing, path.score, below, path.standard_error, strict=True) if verbose else ():
                yield "Smoothing {:.3g} - score: {:.4f}, {:.4f} +- {:.4f} below the best".format(*tried)
        elif estimator.smoothing == "auto":
            chosen = " (as dust fills the frame)"
        yield f"Smoothing: {estimator.smoothing_:.3g}{chosen}"
        yield f"Steps: {estimator.n_iter_}"
    yield f"Done in {seconds:.2f} seconds"
    yield f"Min loss: {estimator.loss_:.6f}"
    chi2 = " ".join(f"{value:.2f}" for value in estimator.reduced_chi2_)
    yield f"Sky: reduced chi2 [{chi2}], {estimator.overshoot_fraction_:.2%} of the pixels well below the model"


def full_size(model: np.ndarray, result: np.ndarray, seconds: float) -> Iterator[str]:
    """Yield the part on the full-size results, of which the statistics are given."""
    number = number_format(model)
    yield f"Elapsed {seconds:.2f} seconds"
    yield statistics_line("Bg (linear)", model, number)
    yield statistics_line("Subtracted", result, number)


def image_line(record: Mapping[str, Any]) -> str:
    """Return how an image of many went, from its record."""
    line = f"{record['input']}: {record['status']}"
    if record["noise"] is None:
        return line
    gradient, noise = (" ".join(f"{value:.4g}" for value in record[name]) for name in ("gradient_removed", "noise"))
    return f"{line} in {record['seconds']:.2f} seconds, gradient removed: {gradient}, noise: {noise}"
