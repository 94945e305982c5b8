"""Crowded fields: where stars are in most blocks, their pixels are left out of the blocks' values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .reduction import reduce_split, split_blocks

# A pixel so many sigma above the value of its block shows a star, and so do the pixels around it in the block.
_SIGMAS = 3.0
# Values are found so many times: the first still hold the stars' light, and hide the fainter ones.
_ROUNDS = 2
# Blocks of which less than this share is left take no part. Others count in full: in proportion to what is left, the
# dark clouds of a Milky Way would count most.
_LEAST_LEFT = 0.05
# A field is crowded if stars show in this share of the pixels, beyond what noise shows on the dark side. Most skies
# stay below 0.09, a Milky Way has 0.18, the galactic centre 0.5 (docs/method.md: crowded fields).
_CROWDED = 0.125
# Rows of blocks that are looked at for it, one of so many.
_STRIDE = 3


def is_crowded(tiles: Sequence[np.ndarray], factor: int, func: str, noise: np.ndarray) -> bool:
    """Return whether a field is crowded.

    Parameters
    ----------
    tiles : sequence of ndarray of shape (height, width, n_channels)
        Parts of the image, NaN where not usable.
    factor : int
        Side of a block in pixels.
    func : {"median", "mean"}
    noise : ndarray of shape (n_channels,)
        Standard deviation of a pixel.
    """
    if not (noise > 0).all():
        return False
    n_stars = n_pixels = 0
    for tile in tiles:
        blocks = split_blocks(tile[np.arange(len(tile)) // factor % _STRIDE == 0], factor)
        residual = _combined_sigmas(blocks, reduce_split(blocks.copy(), func), noise)
        n_stars += int(_with_neighbours(residual > _SIGMAS).sum())
        n_stars -= int(_with_neighbours(residual < -_SIGMAS).sum())
        n_pixels += int(np.isfinite(blocks).any(axis=2).sum())
    return n_stars > _CROWDED * n_pixels


def reduce_without_stars(
    values: np.ndarray, factor: int, func: str, noise: np.ndarray, steps: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Reduce each block of an image, as `reduce_blocks` does, to what its stars leave.

    Parameters
    ----------
    values : ndarray of shape (height, width, n_channels), float
        NaN where a pixel is not usable.
    factor : int
    func : {"median", "mean"}
    noise : ndarray of shape (n_channels,)
        Standard deviation of a pixel.
    steps : ndarray of shape (n_channels,), optional
        As in `reduce_blocks`.

    Returns
    -------
    reduced : ndarray of shape (ceil(height / factor), ceil(width / factor), n_channels)
        NaN where a block has no usable pixel, or too few are left.
    n_stars : int
        Pixels left out.
    """
    blocks = split_blocks(values, factor)
    usable = np.isfinite(blocks).any(axis=2)
    reduced = reduce_split(blocks.copy(), func)
    stars = np.zeros(usable.shape, dtype=bool)
    for _ in range(_ROUNDS):
        stars |= _with_neighbours(_combined_sigmas(blocks, reduced, noise) > _SIGMAS)
        rest = np.where(stars[:, :, None], np.nan, blocks)
        reduced = reduce_split(rest, func, steps)
    sky = usable & ~stars
    full = sky.sum(axis=(2, 3)) < _LEAST_LEFT * usable.sum(axis=(2, 3))
    sky[full] = False
    return np.where(full[:, :, None], np.nan, reduced), int((usable & ~sky).sum())


def _combined_sigmas(blocks: np.ndarray, reduced: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return pixels less the value of their block, the mean of the channels in units of its noise."""
    sigmas = (blocks - reduced[..., None, None]) / noise[:, None, None]
    return np.asarray(np.nan_to_num(sigmas, copy=False).mean(axis=2) * np.sqrt(len(noise)))


def _with_neighbours(stars: np.ndarray) -> np.ndarray:
    """Return a map of shape (..., height, width) with the pixels beside and diagonal to those marked in each block."""
    for axis in (-2, -1):
        marked, grown = np.moveaxis(stars, axis, -1), stars.copy()
        beside = np.moveaxis(grown, axis, -1)
        beside[..., 1:] |= marked[..., :-1]
        beside[..., :-1] |= marked[..., 1:]
        stars = grown
    return stars
