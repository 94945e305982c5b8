"""What every image estimator checks about its input, and the shapes it then works on."""

from __future__ import annotations

import sys
from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.utils._param_validation import Interval

# A Python integer may be larger than any float.
MISSING_CONSTRAINT = [Interval(Real, -sys.float_info.max, sys.float_info.max, closed="both"), None]


# All weights below are as good as none in single precision.
_SMALL_WEIGHT = 1e-30


# So many channels are taken of an image of any height, and no more of any: a stack of images is soon wider. Cubes of
# spectra have more rows than channels in between.
_FEW_CHANNELS, _MANY_CHANNELS = 16, 500


class TakesImages:
    """What the estimators of one image tell scikit-learn: two or three axes, NaN allowed, no target."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        return tags


def as_channels(image: np.ndarray) -> np.ndarray:
    """Return a view of shape (height, width, n_channels)."""
    return image[:, :, None] if image.ndim == 2 else image


def unwrap_image(X) -> tuple[object, np.ndarray | None]:
    """Split what carries its own mask (np.ma.MaskedArray, astropy's NDData and Masked) into array and mask.

    Known by their attributes and not by their type, so that astropy is not imported here.
    """
    if isinstance(X, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(X)
        return X.data, mask if mask.any() else None
    if isinstance(X, np.ndarray) and hasattr(X, "unmasked") and hasattr(X, "mask"):
        return np.asarray(X.unmasked), np.asarray(X.mask)
    # The data of an array of dates cannot even be looked at.
    if not isinstance(X, np.ndarray) and hasattr(X, "data") and hasattr(X, "mask") and hasattr(X, "uncertainty"):
        data = np.asarray(X.data)
        # One answer may stand for all pixels.
        return data, None if X.mask is None else np.broadcast_to(X.mask, np.shape(X.mask) or data.shape)
    return X, None


def check_image(X, who: str) -> np.ndarray:
    """Return X as a real array of shape (height, width) or (height, width, n_channels), not copied.

    The sentences hold the phrases that scikit-learn's estimator checks look for.

    Raises
    ------
    TypeError
        If X is sparse, text, no array, or holds objects that are no numbers.
    ValueError
        If X is complex, has another number of axes, or no pixel.
    """
    if issparse(X):
        raise TypeError(
            f"{who} takes dense images, sparse ones are not supported, got {type(X).__name__}: call its toarray()."
        )
    try:
        array = _as_real(np.asarray(X), who)
    except RuntimeError as error:
        # A tensor of torch that belongs to a graph.
        raise TypeError(f"{who} takes images as arrays, got a {type(X).__name__} that is none: {error}") from error
    if array.ndim not in (2, 3):
        way_out = "Reshape your data to one image" if array.ndim < 2 else "use EachImage or a loop for several"
        raise ValueError(
            f"{who} takes one image of shape (height, width) or (height, width, n_channels), "
            f"got shape {array.shape}: {way_out}."
        )
    if array.size == 0:
        empty = "sample(s)" if array.shape[0] == 0 else "feature(s)"
        raise ValueError(
            f"{who} needs at least one pixel, got 0 {empty} (shape={array.shape}) while a minimum of 1 is required."
        )
    if array.ndim == 3 and array.shape[0] <= 4 and min(array.shape[1:]) > 16:
        raise ValueError(
            f"{who} takes images with the channels last, got shape {array.shape}: use numpy.moveaxis(image, 0, -1)."
        )
    return array


def refuse_stack(image: np.ndarray, who: str) -> None:
    """Raise ValueError if what is to be fitted is rather a stack of images than one of many channels."""
    n_rows, *_, n_channels = image.shape
    if image.ndim == 3 and n_channels > min(max(_FEW_CHANNELS, n_rows), _MANY_CHANNELS):
        raise ValueError(
            f"{who} takes no more than {_MANY_CHANNELS} channels, and no more than rows, got shape {image.shape}: take "
            "EachImage for a stack of images, give a search their list, or fit the channels of a cube in parts."
        )


def _as_real(array: np.ndarray, who: str) -> np.ndarray:
    """Return an array of real numbers: the same one, or float64 of objects that are numbers."""
    got = f"{who} takes images of real numbers, got dtype {array.dtype}"
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{got} with what is no number: {error}.") from error
    if array.dtype.kind == "c":
        raise ValueError(f"{got} (Complex data not supported): pass its real part or its absolute value.")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{got}: convert it to float32.")
    return array


def work_dtype(dtype: np.dtype) -> type:
    """Return the float type of the results: float64 for numbers that have more digits than float32, else that.

    Those are float64, and integers of more than 16 bits: on a high level the steps of float32 exceed their noise.
    """
    return np.float64 if dtype.itemsize > (4 if dtype.kind == "f" else 2) else np.float32


def check_mask(mask, shape: tuple[int, ...], who: str) -> np.ndarray:
    """Return a boolean mask (True = excluded) of shape (height, width); one a channel are merged by "or".

    Raises
    ------
    TypeError
        If it is not boolean (a float mask would leave open which way its values count).
    ValueError
        If its shape is not the image's.
    """
    mask, unknown = unwrap_image(mask)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"The mask of {who} must be boolean (True = excluded), got dtype {mask.dtype}: "
            "pass weights (1 = use) as sample_weight."
        )
    if unknown is not None:
        mask = mask | unknown
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
    weight, unknown = unwrap_image(sample_weight)
    weight = np.asarray(weight)
    if weight.dtype.kind not in "fiub":
        raise TypeError(f"The sample_weight of {who} must hold real numbers, got dtype {weight.dtype}.")
    weight = weight.astype(work_dtype(weight.dtype), copy=False)
    if unknown is not None:
        weight = np.where(unknown, 0, weight)
    if weight.shape not in (shape[:2], shape, (*shape[:2], 1)):
        raise ValueError(f"The sample_weight of {who} must have the shape {shape[:2]} or {shape}, got {weight.shape}.")
    low, high = weight.min(), weight.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"The sample_weight of {who} must lie in [0, 1] (1 = use fully), got values from {low} to {high}."
        )
    # Only their ratios matter, and single precision knows none so small.
    return weight / high if 0 < high < _SMALL_WEIGHT else weight


def is_missing(image: np.ndarray, missing_values: float | None) -> np.ndarray:
    """Return where any channel of a pixel is not finite or equals missing_values, shape (height, width)."""
    # On all channels at once: next to each other in memory, they take a fraction of the time.
    bad = np.zeros(image.shape, dtype=bool) if missing_values is None else _equals(image, missing_values)
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        bad |= ~finite
    channels = as_channels(bad)
    if not bad.any():
        return np.zeros(channels.shape[:2], dtype=bool)
    return np.logical_or.reduce([channels[:, :, c] for c in range(channels.shape[2])])


def _equals(image: np.ndarray, value: float) -> np.ndarray:
    # In the image's own precision: a number of numpy would be compared in the wider of both, where 0.1 is not 0.1.
    return image == (value.item() if isinstance(value, np.generic) else value)


def missing_values_of(band: np.ndarray, missing_values: float | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return where a band's values are missing (each channel for itself) and what they are there."""
    found = [] if missing_values is None else [_equals(band, missing_values)]
    if band.dtype.kind == "f":
        finite = np.isfinite(band)
        found += [] if finite.all() else [~finite]
    return [(where, band[where]) for where in found if where.any()]


def channel_samples(image: np.ndarray, excluded: np.ndarray) -> list[np.ndarray]:
    """Return the usable values of each channel, flat."""
    channels = as_channels(image)
    usable = ~excluded
    return [channels[:, :, c][usable] for c in range(channels.shape[2])]
