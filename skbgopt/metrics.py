"""Measures of a background: against a known truth, against the sky it should follow, and plain statistics."""

from __future__ import annotations

import numpy as np

from ._validation import as_channels
from .masks import PixelSelection
from .noise import sky_noise, value_steps
from .reduction import block_fractions, reduce_blocks

# Block side of `sky_loss`; residuals, in sigma of such a block, that still count as sky half and half; and what the
# light of an object costs. Fixed, so that any two settings can be compared.
_FACTOR = 8
_SKY_SIGMAS = 4.5
_OBJECT_COST = 0.1


def gradient_left(background, truth, mask=None) -> float:
    """Return what is left of a known gradient after the background is subtracted.

    The root mean square of background - truth less a constant per channel, over that of the truth less its own
    mean: 0 is perfect, 1 is as if nothing had been removed.

    Parameters
    ----------
    background, truth : array-like of shape (height, width) or (height, width, n_channels)
    mask : array-like of bool, shape (height, width), optional
        True = left out.

    Returns
    -------
    float
        Not negative; infinity where the truth is constant.
    """
    used = slice(None) if mask is None else ~np.asarray(mask)
    error = as_channels(np.asarray(background, dtype=float) - np.asarray(truth, dtype=float))[used]
    true = as_channels(np.asarray(truth, dtype=float))[used]
    axes = tuple(range(error.ndim - 1))
    rms = [np.sqrt(np.mean((part - part.mean(axis=axes)) ** 2)) for part in (error, true)]
    return float(rms[0] / rms[1]) if rms[1] > 0 else float("inf")


def background_r2(selection: PixelSelection, background: np.ndarray, truth: np.ndarray) -> float:
    """Return R^2 of a background against a known one over the usable pixels, all channels together.

    Raises
    ------
    ValueError
        If the shapes differ or no pixel is usable.
    """
    if truth.shape != background.shape:
        raise ValueError(f"The background y must have the shape of the image {background.shape}, got {truth.shape}.")
    values, weights, _ = selection.window(slice(None))
    known = as_channels(truth.astype(float))
    weights = np.where(np.isfinite(values) & np.isfinite(known), weights, 0)
    if not weights.any():
        raise ValueError("No pixel is usable to score the background on: exclude less.")
    known = np.where(weights > 0, known, 0)
    mean = (weights * known).sum(axis=(0, 1)) / np.maximum(weights.sum(axis=(0, 1)), np.finfo(float).tiny)
    total = (weights * (known - mean) ** 2).sum()
    rest = (weights * (known - as_channels(background)) ** 2).sum()
    return float(1 - rest / total) if total > 0 else float(rest == 0)


def sky_cost(sigmas: np.ndarray) -> np.ndarray:
    """Return what residuals cost in a model of the sky, in units of the noise: from 0 (sky) to 1.

    1 - exp(-(r / 4.5)**2 / 2) where the model lies above the value, which nothing in the sky explains, and a tenth of
    it where it lies below: there may be an object, and that costs the same however bright it is, so that a model gains
    nothing by following it half the way.
    """
    cost = -np.expm1(-0.5 * (sigmas / _SKY_SIGMAS) ** 2)
    return np.where(sigmas < 0, cost, _OBJECT_COST * cost)


def sky_loss(selection: PixelSelection, background: np.ndarray) -> float:
    """Return the mean of `sky_cost` of the residuals of 8 x 8 block medians over their noise.

    In linear units over the sky noise with a fixed scale: comparable between any two settings of the model.
    """
    values, weights, _ = selection.window(slice(None))
    seen = np.isfinite(values)
    steps = value_steps([values[:, :, c][seen[:, :, c]] for c in range(values.shape[2])])
    medians = reduce_blocks(values, _FACTOR, "median", steps)
    noise = sky_noise(medians, share=0.3)
    residual = medians - reduce_blocks(np.where(seen, as_channels(background), np.nan), _FACTOR, "median")
    share = np.broadcast_to(block_fractions(weights, _FACTOR), residual.shape)
    usable = np.isfinite(residual) & (share > 0)
    if not usable.any():
        raise ValueError("No pixel is usable to score the background on: exclude less.")
    floor = np.maximum(noise, 1e-6 * np.nanmax(np.abs(residual), axis=(0, 1), initial=1e-300, where=usable))
    sigmas = np.where(usable, residual, 0) / floor
    loss = sky_cost(sigmas)
    return float((loss * share)[usable].sum() / share[usable].sum())


def channel_statistics(image: np.ndarray) -> np.ndarray:
    """Return minimum, median and maximum of the finite values of each channel, shape (3, n_channels)."""
    channels = as_channels(np.asarray(image))
    columns = []
    for c in range(channels.shape[2]):
        channel = channels[:, :, c]
        finite = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel.ravel()
        if not len(finite):
            columns.append([np.nan] * 3)
            continue
        middle = np.partition(finite, len(finite) // 2)[len(finite) // 2]
        columns.append([finite.min(), middle, finite.max()])
    return np.array(columns, dtype=float).T
