"""What a fitted background looks like to one who cannot see it: figures, and warnings where it looks wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter
from sklearn.exceptions import ConvergenceWarning

from .fitting import FitSettings, FittedBackground
from .preparation import PreparedImage
from .stretch import MidtonesCurve

# Reduced pixels that are looked at, at least.
_PIXELS = 32768
# Residuals beyond so many standard deviations of a reduced pixel are no noise.
_SIGNIFICANT = 3.0
# The fit looks wrong where less of what the user gave than this share is taken for sky,
_LEAST_SKY = 0.1
# where more than this share of the model meets an end of the stretch or of the thresholds (which end there),
_MOST_CLIPPED = 0.01
_END_OF_STRETCH = 0.98
# where more than this share of the control points have no usable pixel within half their distance,
_MOST_BLIND_POINTS = 0.25
# where all that was fitted lies within less than this share of what was given,
_LEAST_SPAN = 0.25
# where the model leaves the data's range by more standard deviations, and by more of its own range,
_MOST_BEYOND_SIGMAS, _MOST_BEYOND_RANGE = 10.0, 0.25
# and where the last tenth of the steps that were allowed still gained more than this share of it all.
_MOST_LAST_GAIN = 0.05

_silenced: ContextVar[bool] = ContextVar("_silenced", default=False)


class BackgroundWarning(UserWarning):
    """A fitted background looks wrong; the sentence says why, and the way out."""


@dataclass(frozen=True)
class Diagnosis:
    """Figures of a fit.

    Attributes
    ----------
    reduced_chi2 : ndarray of shape (n_channels,)
        Mean square of the sky's residuals in their noise, larger ones counted as 3.
    overshoot_fraction : float
        Share of the usable reduced pixels more than 3 standard deviations below the model in any channel.
    doubts : list of Warning
        What looks wrong.
    """

    reduced_chi2: np.ndarray
    overshoot_fraction: float
    doubts: list[Warning]

    def warn(self) -> None:
        """Warn of what looks wrong, unless `without_warnings`."""
        if not _silenced.get():
            for doubt in self.doubts:
                warnings.warn(doubt, stacklevel=5)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let fits in the block be silent: trials of a search, of which most are meant to be wrong."""
    token = _silenced.set(True)
    try:
        yield
    finally:
        _silenced.reset(token)


def diagnose(
    prepared: PreparedImage, fitted: FittedBackground, settings: FitSettings, thresholds: tuple[float, float]
) -> Diagnosis:
    """Look at a fitted background.

    Parameters
    ----------
    prepared : PreparedImage
    fitted : FittedBackground
    settings : FitSettings
    thresholds : (float, float)
        Stretched values outside were not used.
    """
    prepared, fitted = _thinned(prepared, fitted)
    usable = prepared.usable
    residual = prepared.sigmas(fitted.background)
    sky = np.clip(residual, -_SIGNIFICANT, _SIGNIFICANT)[usable & ~fitted.objects]
    n_sky = np.count_nonzero(prepared.weights[usable & ~fitted.objects], axis=0)
    doubts = (
        _too_little_sky(prepared, fitted),
        _clipped(prepared, fitted, thresholds),
        _blind_points(prepared, fitted),
        _extrapolated(prepared),
        _beyond_the_data(prepared, fitted),
        _not_converged(fitted, settings),
    )
    return Diagnosis(
        reduced_chi2=np.where(n_sky > 0, (sky**2).sum(axis=0) / np.maximum(n_sky, 1), np.nan),
        overshoot_fraction=float((residual[usable] < -_SIGNIFICANT).any(axis=1).mean()),
        doubts=[doubt for doubt in doubts if doubt is not None],
    )


def _thinned(prepared: PreparedImage, fitted: FittedBackground) -> tuple[PreparedImage, FittedBackground]:
    """Return both on every so many-th row of a large image."""
    stride = max(1, prepared.usable.size // _PIXELS)
    rows = slice(None, None, stride)
    return prepared.every(stride, 1), replace(fitted, objects=fitted.objects[rows], background=fitted.background[rows])


def _too_little_sky(prepared: PreparedImage, fitted: FittedBackground) -> Warning | None:
    n_usable, n_objects = int(prepared.usable.sum()), int(fitted.objects.sum())
    outside = prepared.excluded.get("outside the thresholds", 0) * prepared.usable.size
    n_given = n_usable + outside / (prepared.frame.height * prepared.frame.width)
    if n_usable - n_objects >= _LEAST_SKY * n_given:
        return None
    return BackgroundWarning(
        f"Only {_percent((n_usable - n_objects) / n_given)} of the image was taken for sky "
        f"({_percent(n_objects / n_given)} for objects, {_percent(1 - n_usable / n_given)} is outside the thresholds): "
        "set mask_objects=False, or threshold_min lower and threshold_max higher."
    )


def _clipped(prepared: PreparedImage, fitted: FittedBackground, thresholds: tuple[float, float]) -> Warning | None:
    stretched = prepared.curve.apply(fitted.background)
    if isinstance(fitted.curve, MidtonesCurve):
        share = (stretched[prepared.usable] >= _END_OF_STRETCH).any(axis=1).mean()
        if share > _MOST_CLIPPED:
            return BackgroundWarning(
                f"The stretch clips the background itself in {_percent(share)} of the image: "
                "set quantile higher, or loss_scale='noise', which fits linear values."
            )
    low, high = thresholds
    share = ((stretched < low) | (stretched > high)).any(axis=2).mean()
    cut_off = prepared.excluded.get("outside the thresholds", 0) / (prepared.frame.height * prepared.frame.width)
    if min(share, cut_off) > _MOST_CLIPPED:
        return BackgroundWarning(
            f"The background itself is outside the thresholds in {_percent(min(share, cut_off))} of the image: "
            "set threshold_min lower, or threshold_max higher."
        )
    return None


def _blind_points(prepared: PreparedImage, fitted: FittedBackground) -> Warning | None:
    usable = prepared.usable
    if usable.all():
        return None
    y, x = fitted.spline.centres.numpy().T
    rows, columns = (np.abs(axis[:, None] - at).argmin(axis=0) for axis, at in ((prepared.y, y), (prepared.x, x)))
    # Windows as large as the points lie apart; rows may be fewer than columns.
    sides = [max(1, round(length / len(y) ** 0.5)) for length in usable.shape]
    seen = uniform_filter(usable.astype(np.float32), sides, mode="nearest")[rows, columns]
    n_blind = int((seen < 0.5 / np.prod(sides)).sum())
    if n_blind <= _MOST_BLIND_POINTS * len(y):
        return None
    return BackgroundWarning(
        f"{n_blind} of {len(y)} control points lie where all pixels are excluded, and the background is a guess there: "
        "exclude less, or crop the image."
    )


def _extrapolated(prepared: PreparedImage) -> Warning | None:
    usable = prepared.usable
    rows, columns = (np.flatnonzero(usable.any(axis=axis)) for axis in (1, 0))
    # Where an image is empty no background is asked for.
    given = 1 - prepared.excluded["missing"] / (prepared.frame.height * prepared.frame.width)
    span = float(np.ptp(rows) + 1) * float(np.ptp(columns) + 1) / usable.size / given
    if span >= _LEAST_SPAN:
        return None
    return BackgroundWarning(
        f"All that was fitted lies within {_percent(span)} of the image, and the background is a guess elsewhere: "
        "exclude less, or crop the image."
    )


def _beyond_the_data(prepared: PreparedImage, fitted: FittedBackground) -> Warning | None:
    values, model = prepared.values[prepared.usable], fitted.background
    inside = np.ptp(model[prepared.usable], axis=0)
    beyond = np.maximum(values.min(axis=0) - model.min(axis=(0, 1)), model.max(axis=(0, 1)) - values.max(axis=0))
    allowed = np.maximum(_MOST_BEYOND_SIGMAS * prepared.block_noise, _MOST_BEYOND_RANGE * inside)
    if not (beyond > allowed).any():
        return None
    return BackgroundWarning(
        f"The background leaves the range of the image by {np.max(beyond / prepared.noise):.3g} sigma of a pixel's "
        "noise: exclude less, or set smoothing higher."
    )


def _not_converged(fitted: FittedBackground, settings: FitSettings) -> Warning | None:
    curve = np.minimum.accumulate(fitted.loss_curve)
    last_gain = curve[9 * (len(curve) - 1) // 10] - curve[-1]
    if len(curve) < settings.max_iter or last_gain < _MOST_LAST_GAIN * (curve[0] - curve[-1]):
        return None
    return ConvergenceWarning(
        f"The fit ended at max_iter={settings.max_iter} steps with a loss that still fell: set max_iter higher."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
