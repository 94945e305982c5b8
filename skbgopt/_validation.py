"""What every image estimator checks about its input, and the shapes it then works on."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

MISSING_CONSTRAINT = [Interval(Real, None, None, closed="neither"), None]


def as_channels(image: np.ndarray) -> np.ndarray:
    """Return a view of shape (height, width, n_channels)."""
    return image[:, :, None] if image.ndim == 2 else image


def unwrap_image(X) -> tuple[object, np.ndarray | None]:
    """Split what carries its own mask (np.ma.MaskedArray, astropy NDData) into array and mask.

    Known by their attributes and not by their type, so that astropy is not imported here.
    """
    if isinstance(X, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(X)
        return X.data, mask if mask.any() else None
    if hasattr(X, "data") and hasattr(X, "mask") and hasattr(X, "uncertainty"):
        return np.asarray(X.data), None if X.mask is None else np.asarray(X.mask)
    return X, None


def masked_as_nan(X):
    """Return X; of a masked array a float copy with NaN where it is masked."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    return np.where(np.ma.getmaskarray(X), np.nan, np.ma.getdata(X).astype(work_dtype(X.dtype)))


def check_image(X, who: str) -> np.ndarray:
    """Return X as a real array of shape (height, width) or (height, width, n_channels), not copied.

    Raises
    ------
    TypeError
        If X is complex, an object array or text.
    ValueError
        If X has another number of axes, or no pixel.
    """
    array = np.asarray(X)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{who} takes images of real numbers, got dtype {array.dtype}: convert it to float32.")
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{who} takes one image of shape (height, width) or (height, width, n_channels), "
            f"got shape {array.shape}: use EachImage or a loop for several."
        )
    if array.ndim == 3 and array.shape[0] <= 4 and min(array.shape[1:]) > 16:
        raise ValueError(
            f"{who} takes images with the channels last, got shape {array.shape}: use numpy.moveaxis(image, 0, -1)."
        )
    if array.size == 0:
        raise ValueError(f"{who} needs at least one pixel, got shape {array.shape}.")
    return array


def work_dtype(dtype: np.dtype) -> type:
    """Return the float type of the results: float64 for float64, float32 for all else."""
    return np.float64 if dtype.kind == "f" and dtype.itemsize == 8 else np.float32


def check_mask(mask, shape: tuple[int, ...], who: str) -> np.ndarray:
    """Return a boolean mask (True = excluded) of shape (height, width); one a channel are merged by "or".

    Raises
    ------
    TypeError
        If it is not boolean (a float mask would leave open which way its values count).
    ValueError
        If its shape is not the image's.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"The mask of {who} must be boolean (True = excluded), got dtype {mask.dtype}: "
            "pass weights (1 = use) as sample_weight."
        )
    if mask.ndim == 3 and mask.shape == shape:
        mask = mask.any(axis=2)
    if mask.shape != shape[:2]:
        raise ValueError(f"The mask of {who} must have the image's shape {shape[:2]}, got {mask.shape}.")
    return mask


def check_weights(sample_weight, shape: tuple[int, ...], who: str) -> np.ndarray:
    """Return weights in [0, 1] of shape (height, width) or the image's.

    Raises
    ------
    ValueError
        If the shape does not fit or a weight is outside [0, 1] or not finite.
    """
    weight = np.asarray(sample_weight)
    if weight.dtype.kind not in "fiub":
        raise TypeError(f"The sample_weight of {who} must hold real numbers, got dtype {weight.dtype}.")
    weight = weight.astype(work_dtype(weight.dtype), copy=False)
    if weight.shape not in (shape[:2], shape, (*shape[:2], 1)):
        raise ValueError(f"The sample_weight of {who} must have the shape {shape[:2]} or {shape}, got {weight.shape}.")
    low, high = weight.min(), weight.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"The sample_weight of {who} must lie in [0, 1] (1 = use fully), got values from {low} to {high}."
        )
    return weight


def is_missing(image: np.ndarray, missing_values: float | None) -> np.ndarray:
    """Return where any channel of a pixel is not finite or equals missing_values, shape (height, width)."""
    # On all channels at once: next to each other in memory, they take a fraction of the time.
    bad = np.zeros(image.shape, dtype=bool) if missing_values is None else image == missing_values
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        bad |= ~finite
    channels = as_channels(bad)
    if not bad.any():
        return np.zeros(channels.shape[:2], dtype=bool)
    return np.logical_or.reduce([channels[:, :, c] for c in range(channels.shape[2])])


def missing_values_of(band: np.ndarray, missing_values: float | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return where a band's values are missing (each channel for itself) and what they are there."""
    found = [] if missing_values is None else [band == missing_values]
    if band.dtype.kind == "f":
        finite = np.isfinite(band)
        found += [] if finite.all() else [~finite]
    return [(where, band[where]) for where in found if where.any()]


def channel_samples(image: np.ndarray, excluded: np.ndarray) -> list[np.ndarray]:
    """Return the usable values of each channel, flat."""
    channels = as_channels(image)
    usable = ~excluded
    return [channels[:, :, c][usable] for c in range(channels.shape[2])]
