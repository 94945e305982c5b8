"""What a fit sees of an image: `StretchDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._drawing import channel_colour, draw_picture, given_axes, new_axes, with_unit
from ._fitted import check_model, unit_of
from ._panels import channel_names, shown_channels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..preparation import PreparedImage

_UNUSED, _CLIPPED = ("#d92626", "not used"), ("#2f6fff", "clipped to 1")
_TINT = 0.6


class StretchDisplay:
    """Show the reduced image as it is stretched, what of it is not used, and its values before and after.

    The sky's median goes to a quarter of the range. The right end of the sky's values in the histograms must not
    be clipped to 1: if the brightest part of the gradient is, raise ``quantile``.

    Parameters
    ----------
    values, stretched : array-like of shape (n_rows, n_columns, n_channels)
        Linear and stretched values; NaN where there are none.
    used : array-like of shape (n_rows, n_columns), optional
        From 0 (not used) to 1; all by default.
    ends : array-like of shape (2, n_channels), optional
        Linear values that become 0 and 1.
    thresholds : (float, float), default=(0, 1)
        Stretched values between which pixels are used.
    unit : str, optional
        Of the linear values.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    axes_ : ndarray of matplotlib.axes.Axes, shape (3,)
        The picture, the histogram before and the one after.
    """

    def __init__(self, values, stretched, *, used=None, ends=None, thresholds=(0, 1), unit=None):
        self.values, self.stretched = np.asarray(values, dtype=float), np.asarray(stretched, dtype=float)
        self.used = np.ones(self.values.shape[:2]) if used is None else np.asarray(used, dtype=float)
        self.ends = None if ends is None else np.asarray(ends, dtype=float)
        self.thresholds = thresholds
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X, *, mask=None, sample_weight=None, unit=None, axes=None) -> StretchDisplay:
        """Draw what an estimator would fit, or has fitted.

        Parameters
        ----------
        estimator : BackgroundSplineRegressor
            Need not be fitted.
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image; NDData brings its unit.
        mask, sample_weight
            As in ``fit``.
        unit : str, optional
            Of the pixels.
        axes : array-like of three matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        StretchDisplay
        """
        check_model(estimator, "prepare", cls.__name__, fitted=False)
        prepared = estimator.prepare(X, mask=mask, sample_weight=sample_weight)
        thresholds = (estimator.threshold_min, estimator.threshold_max)
        return cls.from_prepared(prepared, thresholds, unit=unit_of(X, unit)).plot(axes)

    @classmethod
    def from_prepared(cls, prepared: PreparedImage, thresholds: tuple[float, float], *, unit=None) -> StretchDisplay:
        """Return the display of what `BackgroundSplineRegressor.prepare` returns, not drawn yet.

        Parameters
        ----------
        prepared : PreparedImage
        thresholds : (float, float)
            Those that it was prepared with.
        unit : str, optional
            Of the pixels.

        Returns
        -------
        StretchDisplay
        """
        curve, weights = prepared.curve, prepared.weights
        unknown = ((prepared.values == 0) & (weights == 0)).all(axis=2, keepdims=True)
        values = np.where(unknown, np.nan, prepared.values)
        used = weights.mean(axis=2) / _full_weights(weights)
        ends = np.stack([curve.pedestal, curve.pedestal + curve.scale])
        return cls(values, curve.apply(values), used=used, ends=ends, thresholds=thresholds, unit=unit)

    def plot(self, axes=None) -> StretchDisplay:
        """Draw the picture and the two histograms.

        Parameters
        ----------
        axes : array-like of three matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : StretchDisplay
        """
        height, width = self.stretched.shape[:2]
        if axes is None:
            figsize = (18, min(9.0, max(4.6, 7.2 * height / width + 1.0)))
            self.axes_ = new_axes(1, 3, figsize, width_ratios=(1.5, 1, 1))[0]
        else:
            self.axes_ = given_axes(axes, (1, 3), type(self).__name__)[0]
        self.figure_ = self.axes_[0].figure
        self._draw_picture(self.axes_[0])
        self._draw_before(self.axes_[1])
        self._draw_after(self.axes_[2])
        return self

    @property
    def _is_clipped(self) -> np.ndarray:
        """Whether values become 1 but for rounding, of each channel."""
        return self.stretched >= 1 - 1e-6

    def _draw_picture(self, axes: Axes) -> None:
        from matplotlib.patches import Patch

        shown = np.nan_to_num(self.stretched[:, :, shown_channels(self.stretched.shape[2], None)])
        draw_picture(axes, np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown)
        lost = np.clip(1 - self.used, 0, 1)
        clipped = self._is_clipped.any(axis=2) & (lost < 1)
        handles = []
        for share, (colour, label) in ((lost, _UNUSED), (clipped, _CLIPPED)):
            draw_picture(axes, _tint(share, colour))
            handles.append(Patch(color=colour, alpha=_TINT, label=label))
        axes.set_title(f"Stretched, reduced to {lost.shape[0]} x {lost.shape[1]}: {np.mean(lost < 1):.0%} used")
        axes.legend(handles=handles, loc="upper right", fontsize=9)

    def _draw_before(self, axes: Axes) -> None:
        known = self.values[np.isfinite(self.values)]
        ends = self.ends if self.ends is not None else np.quantile(known if known.size else [0.0], [0, 1])[:, None]
        low, high = float(ends[0].min()), float(ends[1].max())
        span = (high - low) or abs(high) or 1.0
        limits = (low - 0.05 * span, high + 0.3 * span)
        _draw_histogram(axes, self.values, limits, [None] * self.values.shape[2])
        for c in range(ends.shape[1]):
            for end in ends[:, c]:
                axes.axvline(end, color=channel_colour(c, ends.shape[1]), linestyle="--", linewidth=1)
        axes.set_xlabel(with_unit("value; lines: what becomes 0 and 1", self.unit))
        axes.set(ylabel="reduced pixels", title="Before: linear")

    def _draw_after(self, axes: Axes) -> None:
        known = np.isfinite(self.stretched).all(axis=2)
        shares = self._is_clipped[known].mean(axis=0) if known.any() else np.zeros(self.stretched.shape[2])
        labels = [
            f"{name} {share:.2%} clipped to 1".strip()
            for name, share in zip(channel_names(len(shares)), shares, strict=True)
        ]
        _draw_histogram(axes, self.stretched, (0, 1), labels)
        low, high = self.thresholds
        for threshold, label in ((low, f"thresholds {low:g} and {high:g}"), (high, None)):
            axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=label)
        axes.set_ylim(top=axes.get_ylim()[1] ** 1.3)  # room for the legend
        axes.set_xlim(min(-0.02, low - 0.02), max(1.02, high + 0.02))
        axes.set_xlabel("stretched value (the sky's median is at 0.25)")
        axes.set(ylabel="reduced pixels", title="After: stretched")
        axes.legend(loc="upper center", fontsize=9)


def _draw_histogram(axes: Axes, values: np.ndarray, limits: tuple[float, float], labels: Sequence[str | None]) -> None:
    """Draw a line for each channel; values beyond the limits are counted at the ends."""
    n_channels = values.shape[2]
    bins = min(200, max(30, values[:, :, 0].size // 25))
    for c in range(n_channels):
        channel = values[:, :, c][np.isfinite(values[:, :, c])]
        axes.hist(
            np.clip(channel, *limits), bins=bins, range=limits, histtype="step",
            color=channel_colour(c, n_channels), label=labels[c],
        )  # fmt: skip
        if channel.size:
            axes.set_yscale("log")


def _full_weights(weights: np.ndarray) -> np.ndarray:
    """Return what whole blocks weigh: blocks cut by the last row or column of the image weigh less."""
    full = np.ones(weights.shape[:2])
    full[-1] *= weights[-1].max() or 1.0
    full[:, -1] *= weights[:, -1].max() or 1.0
    return full


def _tint(share: np.ndarray, colour: str) -> np.ndarray:
    """Return a colour as thick as a share from 0 to 1."""
    tint = np.empty((*share.shape, 4))
    tint[:, :, :3] = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    tint[:, :, 3] = _TINT * share
    return tint
