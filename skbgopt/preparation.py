"""From the image as given to what is fitted: statistics, stretch, reduced values and their weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ._threads import thread_map
from .borders import dark_border
from .crowding import is_crowded, reduce_without_stars
from .frame import ImageFrame
from .masks import PixelSelection
from .noise import sky_noise, value_steps
from .reduction import block_centres, block_fractions, reduce_blocks
from .stretch import LinearCurve, MidtonesCurve

# Stretch and noise are measured on all pixels of an image up to this many, else on tiles spread evenly over it.
_SAMPLE_PIXELS = 1 << 20
_TILE = 64
# The noise is measured on every third tile, which is 0.2 % exact; they lie along diagonals.
_NOISE_STRIDE = 3
# Debayered red and blue lie between their neighbours and differ from them by nothing: where the noise between pixels
# is less than this share of that between pixels so far apart, it is that one. (Stars lift the other to 1.5 times in
# the galactic centre. At even distances pixels of the same kind stand.)
_INTERPOLATED, _FAR = 0.2, 3
# The noise of a reduced pixel is taken from the calmer half of the differences between blocks: in crowded
# fields the others are stars.
_CALM_SHARE = 0.3
# Pixels reduced at once, to bound the memory of the copy.
_BAND_PIXELS = 1 << 18
# Reasons for which what the user gave is no sky.
_STARS, _BORDER = "stars", "dark border"
_NO_SKY = frozenset({_STARS, _BORDER})


class FitUnits(NamedTuple):
    """What a fit to values in units of the noise finds out about an image, and others of the same need not.

    Attributes
    ----------
    curve : LinearCurve
    eps : float
        Of the loss.
    calm : ndarray of shape (n_rows, n_columns), or None
        How much each reduced pixel counts where dust fills the frame (`skbgopt.texture`), None elsewhere.
    """

    curve: LinearCurve
    eps: float
    calm: np.ndarray | None


@dataclass(frozen=True)
class PreparedImage:
    """A reduced image with weights: all that a fit needs.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_columns, n_channels), float
        Linear block values in the image's units; the channel's median where there is none.
    weights : ndarray of the same shape
        Share of the block that is used; 0 = not at all.
    y, x : ndarray of shape (n_rows,), (n_columns,)
        Block centres in the frame's coordinates.
    frame : ImageFrame
    curve : MidtonesCurve
    noise : ndarray of shape (n_channels,)
        Standard deviation of a pixel of the sky.
    block_noise : ndarray of shape (n_channels,)
        Standard deviation of a block value of the sky.
    excluded : dict of str to int
        Pixels excluded by each reason.
    units : FitUnits or None
        Where they are known; None to find them.
    """

    values: np.ndarray
    weights: np.ndarray
    y: np.ndarray
    x: np.ndarray
    frame: ImageFrame
    curve: MidtonesCurve
    noise: np.ndarray
    block_noise: np.ndarray
    excluded: dict[str, int]
    units: FitUnits | None = None

    @cached_property
    def usable(self) -> np.ndarray:
        """Blocks that count in any channel, shape (n_rows, n_columns)."""
        return np.logical_or.reduce([self.weights[:, :, c] != 0 for c in range(self.weights.shape[2])])

    @property
    def crowded(self) -> bool:
        """Whether the stars of a crowded field were left out."""
        return _STARS in self.excluded

    @property
    def sky_only(self) -> bool:
        """Whether anything was left out that is no sky."""
        return not _NO_SKY.isdisjoint(self.excluded)

    @property
    def stretched(self) -> np.ndarray:
        """Stretched block values."""
        return self.curve.apply(self.values)

    def residual_sigmas(self, background: np.ndarray) -> np.ndarray:
        """Return the residuals of a background over the noise of a reduced pixel, 0 where a channel is not used."""
        return np.asarray(np.where(self.weights > 0, (self.values - background) / self.block_noise, 0))

    def sigmas(self, background: np.ndarray) -> np.ndarray:
        """Return the residuals of a background over the noise of each block, 0 where no pixel is used.

        That of a block of which less is used than of most, as at a border, is larger by the root.
        """
        usual = np.median(self.weights[self.usable], axis=0) if self.usable.any() else np.ones(len(self.block_noise))
        share = np.minimum(self.weights / np.where(usual > 0, usual, 1), 1)
        return self.residual_sigmas(background) * np.sqrt(share)

    def within_thresholds(self, low: float, high: float) -> PreparedImage:
        """Return the same without the blocks in which a channel's stretched value is outside [low, high].

        Raises
        ------
        ValueError
            If low is not below high.
        """
        if not low < high:
            raise ValueError(
                f"The 'threshold_min' parameter must be below 'threshold_max'. Got {low} and {high} instead."
            )
        stretched = self.stretched
        outside = np.asarray((((stretched < low) | (stretched > high)) & (self.weights > 0)).any(axis=2))
        return self._without(outside, "outside the thresholds")

    def without_border(self) -> PreparedImage:
        """Return the same without a dark border, or itself where there is none (`skbgopt.borders`)."""
        border = dark_border((self.values / self.block_noise).mean(axis=2), self.usable)
        return self._without(border, _BORDER) if border.any() else self

    def _without(self, blocks: np.ndarray, reason: str) -> PreparedImage:
        weights = np.where(blocks[:, :, None], 0, self.weights)
        block_pixels = self.frame.height * self.frame.width / blocks.size
        return replace(
            self, weights=weights, excluded={**self.excluded, reason: round(float(blocks.sum() * block_pixels))}
        )

    def every(self, rows: int, columns: int) -> PreparedImage:
        """Return the same with every so many-th row and column of blocks alone."""
        kept = slice(None, None, rows), slice(None, None, columns)
        return replace(self, values=self.values[kept], weights=self.weights[kept], y=self.y[kept[0]], x=self.x[kept[1]])

    def describe_excluded(self) -> str:
        """Return the reasons and pixel numbers as words for an error message."""
        total = self.frame.height * self.frame.width
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.excluded.items() if count)
        return f"of {total} pixels " + (f"excluded: {reasons}" if reasons else "none is excluded")


def prepare_image(
    selection: PixelSelection, *, quantile: float, downscale_factor: int, downscale_func: str, sky_only: bool
) -> PreparedImage:
    """Measure and reduce an image.

    Parameters
    ----------
    selection : PixelSelection
    quantile : float
        Of the stretch.
    downscale_factor : int
    downscale_func : {"median", "mean"}
    sky_only : bool
        Leave out the stars of a crowded field, and a dark border.
    """
    height, width = selection.shape
    # A block that holds the whole image is the largest there is.
    downscale_factor = min(downscale_factor, max(height, width))
    tiles = sample_tiles(selection)
    samples = tile_samples(tiles)
    curve = MidtonesCurve.from_samples(samples, quantile)
    steps = value_steps(samples)
    noise = _pixel_noise(tiles[::_NOISE_STRIDE], steps)
    # The mean of copies (a grey image stored in three channels) is no less noisy than one of them.
    copies = all(np.array_equal(samples[0], other) for other in samples[1:])
    apart = noise * np.sqrt(len(noise)) if copies else noise
    crowded = sky_only and is_crowded(tiles[::_NOISE_STRIDE], downscale_factor, downscale_func, apart)
    values, weights, excluded = _reduce(selection, downscale_factor, downscale_func, steps, apart if crowded else None)
    block_noise = sky_noise(values, share=_CALM_SHARE)
    frame = ImageFrame(height, width)
    y, x = frame.axes(block_centres(height, downscale_factor), block_centres(width, downscale_factor))
    usable = np.isfinite(values) & (weights > 0)
    prepared = PreparedImage(
        values=_filled(values, usable),
        weights=np.where(usable, weights, 0).astype(values.dtype, copy=False),
        y=y,
        x=x,
        frame=frame,
        curve=curve,
        noise=noise,
        block_noise=_positive(block_noise, np.where(usable, values, np.nan)),
        excluded=excluded,
    )
    return prepared.without_border() if sky_only else prepared


def _pixel_noise(tiles: list[np.ndarray], steps: np.ndarray) -> np.ndarray:
    """Return the standard deviation of a pixel: from its neighbours, if it is not interpolated between them."""
    near, far = (
        np.sqrt(np.median([sky_noise(tile, lag=lag, steps=steps) ** 2 for tile in tiles], axis=0)) for lag in (1, _FAR)
    )
    return np.where(near < _INTERPOLATED * far, far, near)


def _positive(noise: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Give an image without scatter (made, or strongly quantised) a noise of 1e-4 of its range.

    With a scale far below what any model leaves, the loss has a valley for each pixel that is met exactly. The
    range is that between the quartiles, which no few outliers move.
    """
    floor = np.zeros_like(noise)
    for c in range(len(noise)):
        channel = _finite(values[:, :, c])
        if len(channel):
            low, high = np.quantile(channel, [0.25, 0.75])
            floor[c] = max(high - low, np.finfo(values.dtype).eps * np.abs(channel).max())
    return np.where(noise > 1e-6 * floor, noise, np.maximum(1e-4 * floor, np.finfo(np.float32).tiny))


def _filled(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return the values with each channel's median, which stands out nowhere, where they are not usable."""
    values = values.copy()
    for c, known in enumerate(np.moveaxis(usable, 2, 0)):
        values[~known, c] = np.median(values[known, c]) if known.any() else 0
    return values


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def tile_samples(tiles: list[np.ndarray]) -> list[np.ndarray]:
    """Return the finite values of all tiles, flat, for each channel."""
    return [np.concatenate([_finite(tile[:, :, c]) for tile in tiles]) for c in range(tiles[0].shape[2])]


def sample_tiles(selection: PixelSelection) -> list[np.ndarray]:
    """Return the image, or square tiles spread evenly over a large one, NaN where not usable."""
    height, width = selection.shape
    if height * width <= _SAMPLE_PIXELS:
        return [selection.window(slice(None))[0]]
    per_axis = int((_SAMPLE_PIXELS / _TILE**2) ** 0.5)
    starts = [
        np.unique(np.linspace(0, max(length - _TILE, 0), per_axis).round().astype(int)) for length in (height, width)
    ]
    windows = [
        selection.window(slice(row, row + _TILE), slice(column, column + _TILE))[0]
        for row in starts[0]
        for column in starts[1]
    ]
    return [window for window in windows if np.isfinite(window).any()] or windows[:1]


def _reduce(
    selection: PixelSelection, factor: int, func: str, steps: np.ndarray, noise: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Return the values of the blocks, their weights, and the pixels excluded; without stars if given the noise."""
    height, width = selection.shape
    rows_at_once = max(1, _BAND_PIXELS // (factor * width)) * factor

    def reduce_band(start: int) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        values, weights, excluded = selection.window(slice(start, start + rows_at_once))
        fractions = block_fractions(weights, factor)
        if noise is None:
            return reduce_blocks(values, factor, func, steps), fractions, excluded
        reduced, n_stars = reduce_without_stars(values, factor, func, noise, steps)
        return reduced, fractions, {**excluded, _STARS: n_stars}

    bands = thread_map(reduce_band, range(0, height, rows_at_once))
    values = np.concatenate([band[0] for band in bands])
    weights = np.broadcast_to(np.concatenate([band[1] for band in bands]), values.shape)
    excluded = Counter[str]()
    for band in bands:
        excluded.update(band[2])
    return values, weights, dict(excluded)
