"""Figures: what is fitted, and the image before and after.

Figures are made without pyplot, so nothing global changes and no display is needed; save them by ``savefig``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .._validation import as_channels, is_missing
from ..preparation import PreparedImage
from ..reduction import reduce_blocks

_EXCLUDED_COLOUR = (0.85, 0.15, 0.15)
_CHANNEL_COLOURS = ("tab:red", "tab:green", "tab:blue", "tab:purple", "tab:orange", "tab:brown")
# Longest side, in pixels, of what a panel draws: more would not be seen.
_PANEL_PIXELS = 900
# The common stretch runs between these percentiles of the sky-subtracted input; its inner part is linear over
# the scatter of the sky, gradient included.
_PERCENTILES = (0.5, 99.7)


def preview_figure(prepared: PreparedImage, threshold_min: float, threshold_max: float) -> Figure:
    """Draw the reduced, stretched image with its excluded parts, and the histogram of its values.

    Parameters
    ----------
    prepared : PreparedImage
        As `BackgroundSplineRegressor.prepare` returns it.
    threshold_min, threshold_max : float
        Marked in the histogram.

    Returns
    -------
    matplotlib.figure.Figure
    """
    stretched = prepared.stretched
    unknown = ((prepared.values == 0) & (prepared.weights == 0)).all(axis=2)
    height, width = stretched.shape[:2]
    figure = Figure(figsize=(13, min(9.0, max(4.2, 7.2 * height / width + 1.0))), layout="constrained")
    picture, histogram = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _draw_preview(picture, stretched, prepared)
    _draw_histogram(histogram, stretched[~unknown], (threshold_min, threshold_max))
    return figure


def before_after_figure(
    image: np.ndarray,
    background: np.ndarray,
    corrected: np.ndarray,
    *,
    titles: Sequence[str] = ("Before", "Background model", "After"),
    excluded: np.ndarray | None = None,
) -> Figure:
    """Draw an image, its background model and the image without it, side by side in one stretch.

    The stretch is measured on the image: asinh of the difference from the sky, in units of the sky's scatter,
    per channel. Each panel shows the difference from its own median, so that images whose sky is at another
    level (``level="zero"``) are seen with the same contrast.

    Parameters
    ----------
    image, background, corrected : ndarray of shape (height, width) or (height, width, n_channels)
        Linear. The first three channels are shown as colours, or the first one alone.
    titles : sequence of str
    excluded : ndarray of bool, shape (height, width), optional
        True = drawn grey and left out of the stretch, as missing pixels are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    factor = max(1, -(-max(image.shape[:2]) // _PANEL_PIXELS))
    hidden = is_missing(image, 0)
    if excluded is not None:
        hidden = hidden | np.asarray(excluded)
    differences = [_sky_difference(panel, hidden, factor) for panel in (image, background, corrected)]
    norms = [_sky_norm(differences[0][:, :, c]) for c in range(differences[0].shape[2])]
    height, width = image.shape[:2]
    figure = Figure(figsize=(16, min(9.0, 5.1 * height / width + 0.9)), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, difference, title in zip(panels, differences, titles, strict=True):
        drawn = _draw_panel(axes, difference, norms, title)
    if differences[0].shape[2] == 1:
        bar = figure.colorbar(drawn, ax=panels, shrink=0.85, pad=0.01)
        bar.set_label("difference from the median")
    return figure


def _draw_preview(axes: Axes, stretched: np.ndarray, prepared: PreparedImage) -> None:
    shown = np.clip(_colours_or_first(stretched), 0, 1)
    axes.imshow(shown[:, :, 0] if shown.shape[2] == 1 else shown, cmap="gray", vmin=0, vmax=1)
    lost = np.clip(1 - prepared.weights.mean(axis=2) / _full_weights(prepared.weights), 0, 1)
    tint = np.empty((*lost.shape, 4))
    tint[:, :, :3], tint[:, :, 3] = _EXCLUDED_COLOUR, 0.6 * lost
    axes.imshow(tint)
    axes.set_xticks([])
    axes.set_yticks([])
    usable = prepared.usable
    axes.set_title(f"Stretched, reduced to {lost.shape[0]} x {lost.shape[1]}: {usable.mean():.0%} used")
    axes.legend(handles=[Patch(color=_EXCLUDED_COLOUR, alpha=0.6, label="not used")], loc="upper right")


def _full_weights(weights: np.ndarray) -> np.ndarray:
    """Return what whole blocks weigh: blocks cut by the last row or column of the image weigh less."""
    full = np.ones(weights.shape[:2])
    full[-1] *= weights[-1].max() or 1.0
    full[:, -1] *= weights[:, -1].max() or 1.0
    return full


def _draw_histogram(axes: Axes, values: np.ndarray, thresholds: tuple[float, float]) -> None:
    n_pixels, n_channels = values.shape
    bins = min(200, max(30, n_pixels // 25))
    for c in range(n_channels):
        colour = "0.3" if n_channels == 1 else _CHANNEL_COLOURS[c % len(_CHANNEL_COLOURS)]
        label = None if n_channels == 1 else f"channel {c}"
        axes.hist(values[:, c], bins=bins, range=(0, 1), histtype="step", color=colour, label=label)
    for name, threshold in zip(("min", "max"), thresholds, strict=True):
        axes.axvline(threshold, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            f"threshold {name} {threshold:g}", (threshold, 0.98), xycoords=("data", "axes fraction"),
            xytext=(4 if name == "min" else -4, 0), textcoords="offset points", rotation=90, va="top",
            ha="left" if name == "min" else "right", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    if n_pixels:
        axes.set_yscale("log")
    axes.set_xlim(min(-0.02, thresholds[0] - 0.02), max(1.02, thresholds[1] + 0.02))
    axes.set_xlabel("stretched value (the sky's median is at 0.25)")
    axes.set_ylabel("reduced pixels")
    axes.set_title("Histogram")
    if n_channels > 1:
        axes.legend(loc="upper center")


def _sky_difference(image: np.ndarray, hidden: np.ndarray, factor: int) -> np.ndarray:
    """Return the reduced channels to be shown less their medians, NaN where hidden."""
    shown = _colours_or_first(as_channels(image))
    values = np.where(hidden[:, :, None], np.float32(np.nan), shown.astype(np.float32))
    reduced = reduce_blocks(values, factor, "mean")
    for c in range(reduced.shape[2]):
        known = reduced[:, :, c][np.isfinite(reduced[:, :, c])]
        reduced[:, :, c] -= np.median(known) if known.size else 0
    return reduced


def _sky_norm(difference: np.ndarray) -> FuncNorm:
    """Return the stretch: asinh(difference / scatter) between two percentiles."""
    known = difference[np.isfinite(difference)]
    if not known.size:
        known = np.zeros(1)
    low, high = np.percentile(known, _PERCENTILES)
    scatter = 1.4826 * np.median(np.abs(known)) or (high - low) or 1.0
    low, high = min(low, -scatter), max(high, 3 * scatter)
    return FuncNorm((lambda x: np.arcsinh(x / scatter), lambda y: scatter * np.sinh(y)), vmin=low, vmax=high, clip=True)


def _draw_panel(axes: Axes, difference: np.ndarray, norms: list[FuncNorm], title: str):
    missing = ~np.isfinite(difference).all(axis=2)
    if difference.shape[2] == 1:
        shown = np.ma.array(difference[:, :, 0], mask=missing)
        drawn = axes.imshow(shown, norm=norms[0], cmap="gray")
    else:
        filled = np.where(missing[:, :, None], 0, difference)
        colours = np.stack([norm(filled[:, :, c]).data for c, norm in enumerate(norms)], axis=2)
        colours = np.clip(colours, 0, 1)
        colours[missing] = 0.45
        drawn = axes.imshow(colours)
    axes.set_facecolor("0.45")
    axes.set_title(title, fontsize=14)
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn


def _colours_or_first(channels: np.ndarray) -> np.ndarray:
    return channels[:, :, :3] if channels.shape[2] >= 3 else channels[:, :, :1]
