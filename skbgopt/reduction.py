"""Block reduction: the image in blocks of factor x factor pixels, by the median or mean of what is usable."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._validation import (
    MISSING_CONSTRAINT,
    TakesImages,
    as_channels,
    check_image,
    check_mask,
    is_missing,
    unwrap_image,
    work_dtype,
)


def block_edges(length: int, factor: int) -> np.ndarray:
    """Return where the blocks begin and end along an axis; the last block may be shorter."""
    return np.append(np.arange(0, length, min(factor, length)), length)


def block_centres(length: int, factor: int) -> np.ndarray:
    """Return the blocks' centres in pixels from the first edge (a pixel's centre is at k + 1/2)."""
    edges = block_edges(length, factor)
    return (edges[:-1] + edges[1:]) / 2


def reduce_blocks(values: np.ndarray, factor: int, func: str, steps: np.ndarray | None = None) -> np.ndarray:
    """Reduce each block of an image to the median or mean of its values that are not NaN.

    Parameters
    ----------
    values : ndarray of shape (height, width, n_channels), float
        NaN where a pixel is not usable. Blocks at the far edges hold what is left there.
    factor : int
    func : {"median", "mean"}
    steps : ndarray of shape (n_channels,), optional
        Of the values, where they are rounded to multiples (0 where not): medians are then put in between.

    Returns
    -------
    ndarray of shape (ceil(height / factor), ceil(width / factor), n_channels)
        NaN where a block has no usable pixel.
    """
    return reduce_split(split_blocks(values, factor), func, steps)


def split_blocks(values: np.ndarray, factor: int) -> np.ndarray:
    """Return a copy of shape (rows and columns of blocks, n_channels, height, width of a block), NaN beyond edges."""
    height, width, n_channels = values.shape
    # A block longer than the image is the image, and needs no memory beyond it.
    tall, wide = min(factor, height), min(factor, width)
    rows, columns = -(-height // tall), -(-width // wide)
    if (rows * tall, columns * wide) != (height, width):
        padding = ((0, rows * tall - height), (0, columns * wide - width), (0, 0))
        values = np.pad(values, padding, constant_values=np.nan)
    return np.array(values.reshape(rows, tall, columns, wide, n_channels).transpose(0, 2, 4, 1, 3), order="C")


def reduce_split(blocks: np.ndarray, func: str, steps: np.ndarray | None = None) -> np.ndarray:
    """Reduce blocks of `split_blocks` as `reduce_blocks` does; their pixels may be sorted in place."""
    blocks = blocks.reshape(*blocks.shape[:3], -1)
    if func == "mean":
        usable = np.isfinite(blocks)
        count = usable.sum(axis=-1)
        total = np.where(usable, blocks, 0).sum(axis=-1, dtype=float)
        return np.where(count, total / np.maximum(count, 1), np.nan).astype(blocks.dtype)
    # NaN sorts last, so the median of the n others sits in the middle of the first n.
    blocks.sort(axis=-1)
    size = blocks.shape[-1]
    # Halves first: the sum of two values may be beyond the largest number.
    medians = 0.5 * blocks[..., (size - 1) // 2] + 0.5 * blocks[..., size // 2]
    holed = np.isnan(blocks[..., -1])
    if holed.any():
        few = blocks[holed]
        count = size - np.isnan(few).sum(axis=-1, keepdims=True)
        lower = np.take_along_axis(few, np.maximum(count - 1, 0) // 2, axis=-1)
        upper = np.take_along_axis(few, np.minimum(count // 2, size - 1), axis=-1)
        medians[holed] = (0.5 * lower + 0.5 * np.where(count, upper, np.nan))[:, 0]
    if steps is not None and steps.any():
        medians += steps * _place_in_step(blocks, medians)
    return medians.astype(blocks.dtype, copy=False)


def _place_in_step(blocks: np.ndarray, medians: np.ndarray) -> np.ndarray:
    """Return where in the step of a median, from -1/2 to 1/2, half of the normal distribution lies that was rounded.

    It is known at both ends of the step from the pixels below the median, and those not above it.
    """
    middle = medians[..., None]
    count, below, up_to = (
        part.sum(axis=-1, dtype=np.int32) for part in (np.isfinite(blocks), blocks < middle, blocks <= middle)
    )
    low, high = (ndtri((part + 0.5) / (count + 1)) for part in (below, up_to))
    # Between two values a median is in its place.
    return np.where(up_to > below, -0.5 * (low + high) / np.where(up_to > below, high - low, 1), 0)


def block_fractions(weights: np.ndarray, factor: int) -> np.ndarray:
    """Return the sum of the weights in each block over factor**2: what a block counts beside a full one."""
    starts = [block_edges(length, factor)[:-1] for length in weights.shape[:2]]
    return np.add.reduceat(np.add.reduceat(weights, starts[0], axis=0, dtype=float), starts[1], axis=1) / factor**2


class BlockReducer(TakesImages, TransformerMixin, BaseEstimator):
    """Reduce an image by blocks, with missing pixels left out and edge blocks exact.

    Parameters
    ----------
    factor : int, default=8
        Side of a block in pixels.
    func : {"median", "mean"}, default="median"
        The median does not see stars that cover less than half a block.
    missing_values : float or None, default=0
        Pixels equal to it are left out, as are non-finite ones and those that a masked array masks; None for none.

    Attributes
    ----------
    n_features_in_ : int
        Width of the image seen in fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skbgopt import BlockReducer
    >>> BlockReducer(factor=2, func="mean").fit_transform(np.arange(1.0, 13.0).reshape(2, 6))
    array([[4.5, 6.5, 8.5]])
    """

    _parameter_constraints = {
        "factor": [Interval(Integral, 1, None, closed="left")],
        "func": [StrOptions({"median", "mean"})],
        "missing_values": MISSING_CONSTRAINT,
    }

    def __init__(self, *, factor=8, func="median", missing_values=0):
        self.factor = factor
        self.func = func
        self.missing_values = missing_values

    def fit(self, X, y=None):
        """Check the image; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Any real dtype; np.ma and NDData bring their own mask.
        y : None
            Ignored.

        Returns
        -------
        self : BlockReducer
        """
        self._validate_params()
        self._check(X, reset=True)
        return self

    def transform(self, X):
        """Return the reduced image.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            np.ma and NDData bring their own mask.

        Returns
        -------
        ndarray of shape (ceil(height / factor), ceil(width / factor)) or with channels
            float64 for float64, float32 else; blocks without a usable pixel are NaN.
        """
        check_is_fitted(self, "n_features_in_")
        image, excluded = self._check(X, reset=False)
        values = np.where(excluded[:, :, None], np.nan, as_channels(image)).astype(image.dtype, copy=False)
        reduced = reduce_blocks(values, int(self.factor), self.func)
        return reduced[:, :, 0] if image.ndim == 2 else reduced

    def _check(self, X, reset):
        """Return the image as floats, and the pixels that are missing or masked."""
        who = type(self).__name__
        X, mask = unwrap_image(X)
        dtype = work_dtype(check_image(X, who).dtype)
        image = validate_data(self, X, reset=reset, dtype=dtype, allow_nd=True, ensure_all_finite=False)
        excluded = is_missing(image, self.missing_values)
        return image, excluded if mask is None else excluded | check_mask(mask, image.shape, who)
