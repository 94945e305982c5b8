"""Measures of a model of a sky that is known: how much of the gradient is left, and how much of the objects it ate.

The object's pixels and light are the same for every method, taken from the truth alone. A model of the sky can only
eat *extended* light, so that is what counts: the medians of the objects' light in blocks of 16 x 16 pixels, which
stars hardly move. A block belongs to an object where the median of the 3 x 3 blocks around it is above one sigma of
the pixel noise in the mean over the channels: that leaves out a bright star's halo and takes a small galaxy as well
as a nebula across the frame. (Half a sigma on the real skies, short exposures: above their own faint gradients, and
the outskirts of their objects are not above one.) All sums are in units of the channel's noise, so that every channel
has its say.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.stats import sigma_clipped_stats
from scipy.ndimage import median_filter

from skbgopt import gradient_left

OBJECT_BLOCK = 16
LOCAL_BLOCK = 64
_LEAST_USABLE = 0.5


@dataclass(frozen=True)
class KnownSky:
    """An image and the truth about it.

    `truth` is the background, `excluded` (True = not usable) is what a method gets as its mask, `noise` the sigma of
    each channel, `light` that of the objects in blocks of OBJECT_BLOCK, of shape (rows, columns, channels), NaN where
    too few pixels are usable. Where the level is not known, errors are less their median over the sky of each channel.
    An object is what lies `object_sigmas` of the noise above the sky.
    """

    image: np.ndarray
    truth: np.ndarray
    excluded: np.ndarray
    noise: np.ndarray
    light: np.ndarray
    level_known: bool = True
    object_sigmas: float = 1.0

    @classmethod
    def of_objects(cls, image, truth, excluded, noise, objects) -> KnownSky:
        """Return a sky with the true light of its objects, stars included, given pixel by pixel."""
        light = block_reduce(_holed(objects, excluded), OBJECT_BLOCK, np.nanmedian)
        return cls(image, truth, excluded, np.asarray(noise), light)

    @cached_property
    def object_blocks(self) -> np.ndarray:
        """Whether a block belongs to an extended object, of shape (rows, columns)."""
        sigmas = (self.light / self.noise).mean(axis=2)
        around = median_filter(np.nan_to_num(sigmas), size=3, mode="nearest")
        return (around > self.object_sigmas) & np.isfinite(sigmas)

    @cached_property
    def object_pixels(self) -> np.ndarray:
        """Whether a usable pixel belongs to an extended object, of shape (height, width)."""
        pixels = self.object_blocks.repeat(OBJECT_BLOCK, axis=0).repeat(OBJECT_BLOCK, axis=1)
        return pixels[: self.excluded.shape[0], : self.excluded.shape[1]] & ~self.excluded

    @cached_property
    def object_light(self) -> float:
        """Light of the extended objects, in sigma x pixels over all channels."""
        usable = block_reduce((~self.excluded)[:, :, None].astype(float), OBJECT_BLOCK, np.nansum)[:, :, 0]
        light = np.nan_to_num(self.light / self.noise).sum(axis=2)
        return float((light * usable)[self.object_blocks].sum())


def measure(model: np.ndarray, sky: KnownSky) -> dict[str, float | None]:
    """Return the measures of a model; None for those that the frame cannot tell.

    left : what is left of the gradient, 0 to 1 and more (`skbgopt.gradient_left` over the usable pixels).
    bias : mean of model - truth over the usable pixels in sigma, of the channel where it is largest.
    sky_bias : the same over the usable pixels that belong to no object.
    eaten : sum of model - truth over the objects' pixels over the objects' light; negative is light added.
    worst_local : largest mean of |model - truth| in a 64 x 64 block in sigma, of the worst channel.
    """
    if model.shape != sky.truth.shape or not np.isfinite(model).all():
        raise ValueError(f"no finite model of shape {sky.truth.shape}")
    error = _holed(model.astype(float) - sky.truth, sky.excluded) / sky.noise
    if not sky.level_known:
        error -= np.nanmedian(error[~sky.object_pixels], axis=0)
    bare = ~sky.excluded & ~sky.object_pixels
    light = sky.object_light
    return {
        "left": gradient_left(model, sky.truth, sky.excluded),
        "bias": _bias(error[~sky.excluded]) if sky.level_known else None,
        "sky_bias": _bias(error[bare]) if sky.level_known and bare.any() else None,
        "eaten": float(error[sky.object_pixels].sum() / light) if light > 0 else None,
        "worst_local": float(np.nanmax(block_reduce(np.abs(error), LOCAL_BLOCK, np.nanmean))),
    }


def _bias(error: np.ndarray) -> float:
    """Return the mean of the channel where it is largest."""
    of_channels = error.mean(axis=0)
    return float(of_channels[np.abs(of_channels).argmax()])


def real_light(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the light of the objects of a flat, real sky by blocks: block medians above the clipped median of all."""
    medians = block_reduce(image, OBJECT_BLOCK, np.nanmedian)
    level = [sigma_clipped_stats(medians[:, :, c], mask=~np.isfinite(medians[:, :, c]))[1] for c in range(len(noise))]
    return medians - level


def block_reduce(values: np.ndarray, side: int, function: Callable) -> np.ndarray:
    """Apply a function that ignores NaN to blocks of (height, width, channels).

    NaN where less than half of a block's pixels are usable: there is no telling what is left of it.
    """
    height, width, n_channels = values.shape
    pad = [(0, -height % side), (0, -width % side), (0, 0)]
    padded = np.pad(np.asarray(values, dtype=float), pad, constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side, n_channels)
    blocks = np.moveaxis(blocks, 2, 1).reshape(blocks.shape[0], blocks.shape[2], side * side, n_channels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks without a usable pixel
        reduced = function(blocks, axis=2)
    usable = np.isfinite(blocks).mean(axis=2)
    return np.where(usable >= _LEAST_USABLE, reduced, np.nan)


def _holed(values: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    return np.where(excluded[:, :, None], np.nan, np.atleast_3d(values))
