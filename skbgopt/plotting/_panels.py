"""What the panels of displays show: reduced images, and one stretch for all that are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._validation import as_channels
from ..reduction import reduce_blocks

# Longest side, in pixels, of what a panel draws: more would not be seen.
_PANEL_PIXELS = 1400
# Pixels reduced at once, to bound the memory of the copies.
_BAND_PIXELS = 1 << 20
# The common stretch runs between these percentiles of the sky-subtracted input; its inner part is linear over
# the scatter of the sky, gradient included.
_PERCENTILES = (0.5, 99.7)
MISSING_SHADE = 0.45


def panel_factor(shape: tuple[int, ...]) -> int:
    """Return the side of the blocks that become one pixel of a panel."""
    return max(1, -(-max(shape[:2]) // _PANEL_PIXELS))


def panel(image: np.ndarray, factor: int, hidden: np.ndarray | None = None) -> np.ndarray:
    """Return the block means of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, n_channels)
    factor : int
        Side of the blocks.
    hidden : ndarray of bool, shape (height, width), optional
        Left out of the means.

    Returns
    -------
    ndarray of shape (n_rows, n_columns, n_channels), float32
        NaN where a block has no value.
    """
    channels = as_channels(image)
    rows_at_once = max(1, _BAND_PIXELS // (factor * channels.shape[1])) * factor
    bands = []
    for start in range(0, len(channels), rows_at_once):
        rows = slice(start, start + rows_at_once)
        # In double precision: float32 sums of large integers lose the digits of the sky.
        band = channels[rows].astype(float)
        if hidden is not None:
            band[hidden[rows]] = np.nan
        bands.append(reduce_blocks(band, factor, "mean").astype(np.float32))
    return np.concatenate(bands)


def mask_panel(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return the blocks of which at least half is masked."""
    return panel(mask, factor)[:, :, 0] >= 0.5


def unreduced(blocks: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return a map of blocks as one of pixels; its blocks at the far edges may be cut."""
    return blocks.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def channel_names(n_channels: int) -> tuple[str, ...]:
    """Return what channels are called in titles and legends."""
    if n_channels == 3:
        return "red", "green", "blue"
    return ("",) if n_channels == 1 else tuple(f"channel {c}" for c in range(n_channels))


@dataclass(frozen=True)
class AsinhStretch:
    """Shades from 0 to 1 of values from `low` to `high`; linear over about `width` around 0, logarithmic beyond."""

    width: float
    low: float
    high: float

    @classmethod
    def of_sky(cls, difference: np.ndarray) -> AsinhStretch:
        """Measure the stretch on differences from the sky's median, all channels together; NaN is left out.

        One stretch for all channels keeps colours what they are, and one colour bar true for all.
        """
        known = difference[np.isfinite(difference)]
        if not known.size:
            known = np.zeros(1)
        low, high = np.percentile(known, _PERCENTILES)
        scatter = 1.4826 * float(np.median(np.abs(known))) or float(high - low) or 1.0
        return cls(scatter, min(float(low), -scatter), max(float(high), 3 * scatter))

    def shades(self, values: np.ndarray) -> np.ndarray:
        """Return the shades, NaN where there is no value."""
        low, high = (float(np.arcsinh(end / self.width)) for end in (self.low, self.high))
        return np.clip((np.arcsinh(values / self.width) - low) / (high - low), 0, 1)


def sky_difference(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return a panel less the medians of its channels over the pixels measured, where there are any."""
    known = np.where(measured[:, :, None], values, np.nan)
    medians = [np.median(channel) if len(channel) else 0.0 for channel in _finite_channels(known)]
    return values - np.array(medians, dtype=values.dtype)


def picture(difference: np.ndarray, stretch: AsinhStretch) -> np.ndarray:
    """Return a panel of one or three channels as colours in [0, 1], grey where a value is missing."""
    shades = stretch.shades(difference)
    colours = np.repeat(shades, 3, axis=2) if shades.shape[2] == 1 else shades
    return np.where(np.isfinite(colours).all(axis=2, keepdims=True), colours, colours.dtype.type(MISSING_SHADE))


def shown_channels(n_channels: int, channels: tuple[int, ...] | None) -> list[int]:
    """Return the channels to be shown: those wanted, else the first three as colours, else the first.

    Raises
    ------
    ValueError
        If other than one or three are wanted, or one that is not there.
    """
    if channels is None:
        return [0, 1, 2] if n_channels >= 3 else [0]
    wanted = [int(channel) for channel in channels]
    if len(wanted) not in (1, 3) or not all(0 <= channel < n_channels for channel in wanted):
        raise ValueError(
            f"A picture shows one channel or three as red, green and blue, of 0 to {n_channels - 1}. "
            f"Got channels={channels!r} instead."
        )
    return wanted


def _finite_channels(values: np.ndarray) -> list[np.ndarray]:
    return [values[:, :, c][np.isfinite(values[:, :, c])] for c in range(values.shape[2])]
