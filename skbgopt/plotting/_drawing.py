"""How displays draw: figures without pyplot, pictures, hatches and colour bars. All imports of matplotlib are here.

Without pyplot nothing global changes, no figure is kept alive and no screen is needed. Importing matplotlib
waits for the first drawing, so that displays can be made where it is not wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ._panels import AsinhStretch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

CHANNEL_COLOURS = ("tab:red", "tab:green", "tab:blue", "tab:purple", "tab:orange", "tab:brown")
# How masks look, the same in all displays. Objects are many and small: hatches would hide what is below them, so
# they are tinted.
MASKED, OBJECTS = ("////", "masked"), (None, "taken for objects")
_MASK_COLOUR = "#ffb000"
_TINT = 0.15
# Noise hardly compresses without loss: this takes a fifth of a PNG's bytes, and letters stay sharp.
_WEBP = {"quality": 90}
# Least distance between ticks, as a share of a colour bar.
_TICK_DISTANCE = 0.07


def new_axes(n_rows: int, n_columns: int, figsize: tuple[float, float], **attributes: Any) -> np.ndarray:
    """Return the axes of a new figure, shape (n_rows, n_columns)."""
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, layout="constrained").subplots(n_rows, n_columns, squeeze=False, **attributes)


def single_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return the axes given, or those of a new figure."""
    return new_axes(1, 1, figsize)[0, 0] if ax is None else ax


def channel_axes(n_channels: int, aspect: float) -> np.ndarray:
    """Return axes of a new figure, shape (2, n_channels): maps of this height over width above graphs."""
    width = max(5.0, 16 / max(2, n_channels))
    picture = min(9.0, width * aspect)
    return new_axes(2, n_channels, (width * n_channels + 1, picture + 4.0), height_ratios=(picture, 3.3))


def given_axes(axes: Any, shape: tuple[int, int], who: str) -> np.ndarray:
    """Return the axes that a user gave to be drawn on, in the shape needed.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    found = np.asarray(axes, dtype=object).ravel()
    if len(found) != np.prod(shape):
        raise ValueError(f"{who} draws on {np.prod(shape)} axes, got {len(found)}: give as many, or none for new ones.")
    return found.reshape(shape)


def channel_colour(c: int, n_channels: int) -> str:
    """Return the colour of a channel's lines."""
    return "0.3" if n_channels == 1 else CHANNEL_COLOURS[c % len(CHANNEL_COLOURS)]


def draw_picture(axes: Axes, values: np.ndarray, factor: int = 1, **attributes: Any):
    """Draw an array in the coordinates of the image of which it is reduced by a factor; return what is drawn."""
    rows, columns = values.shape[:2]
    extent = (-0.5, columns * factor - 0.5, rows * factor - 0.5, -0.5)
    drawn = axes.imshow(values, extent=extent, **attributes)
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn


def draw_masks(
    axes: Axes,
    masks: Sequence[tuple[np.ndarray | None, tuple[str | None, str]]],
    factor: int = 1,
    *,
    legend: bool = True,
) -> None:
    """Outline where masks are true, hatch or tint it, and say in a legend what that means.

    Parameters
    ----------
    axes : Axes
        Those of `draw_picture`.
    masks : sequence of (mask, (hatch or None, label))
        Masks of what is drawn, or None.
    factor : int
        As in `draw_picture`.
    legend : bool
    """
    from matplotlib import rc_context
    from matplotlib.patches import Patch

    handles = []
    limits = axes.get_xlim(), axes.get_ylim()
    for mask, (hatch, label) in masks:
        if mask is None or not mask.any():
            continue
        # One more pixel around, so that a mask at the edge is hatched up to it.
        wide = np.pad(mask.astype(float), 1, mode="edge")
        y, x = ((np.arange(length) - 0.5) * factor - 0.5 for length in wide.shape)
        if not mask.all():
            axes.contour(x, y, wide, levels=[0.5], colors=_MASK_COLOUR, linewidths=0.8)
        # Contours take the colour of their hatch from here when they are made.
        with rc_context({"hatch.color": _MASK_COLOUR, "hatch.linewidth": 0.7}):
            if hatch is None:
                axes.contourf(x, y, wide, levels=[0.5, 1.5], colors=_MASK_COLOUR, alpha=_TINT)
            else:
                axes.contourf(x, y, wide, levels=[0.5, 1.5], colors="none", hatches=[hatch])
            handles.append(Patch(facecolor="0.3", edgecolor=_MASK_COLOUR, hatch=hatch, label=label))
    axes.set(xlim=limits[0], ylim=limits[1])
    if handles and legend:
        axes.legend(handles=handles, loc="lower right", fontsize=9, framealpha=0.9)


def stretch_bar(axes: Axes | Sequence[Axes], stretch: AsinhStretch, label: str, **attributes: Any) -> Colorbar:
    """Draw the colour bar of a stretch beside the axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import AsinhNorm
    from matplotlib.ticker import NullLocator

    norm = AsinhNorm(stretch.width, vmin=stretch.low, vmax=stretch.high)
    first = np.ravel(np.asarray(axes, dtype=object))[0]
    bar = first.figure.colorbar(ScalarMappable(norm, cmap="gray"), ax=axes, **attributes)
    ticks = _ticks(stretch)
    bar.set_ticks(ticks, labels=[f"{tick:.7g}" for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(label)
    return bar


def _ticks(stretch: AsinhStretch) -> list[float]:
    """Return 0 and round numbers of both signs that lie far enough apart on a bar, decades before others."""
    top = np.floor(np.log10(max(-stretch.low, stretch.high)))
    sizes = [digit * 10.0 ** (top - k) for digit in (1, 3) for k in range(6)]
    ticks = [0.0]
    for tick in (sign * size for size in sizes for sign in (1, -1)):
        distance = np.abs(stretch.shades(np.array(ticks)) - stretch.shades(np.array(tick))).min()
        if stretch.low <= tick <= stretch.high and distance >= _TICK_DISTANCE:
            ticks.append(tick)
    return sorted(ticks)


def with_unit(label: str, unit: object) -> str:
    """Return a label with a unit in brackets, if there is one."""
    return label if unit is None or not str(unit) else f"{label} [{unit}]"


def encode_picture(colours: np.ndarray) -> bytes:
    """Return colours in [0, 1], shape (height, width, 3), as the bytes of a WebP file."""
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, colours, format="webp", pil_kwargs=_WEBP)
    return file.getvalue()


def encode_figure(figure, dpi: int) -> bytes:
    """Return a figure as the bytes of a WebP file."""
    file = BytesIO()
    figure.savefig(file, format="webp", dpi=dpi, pil_kwargs=_WEBP)
    return file.getvalue()
