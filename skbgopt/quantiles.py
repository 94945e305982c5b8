"""Quantiles of values that do not count alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, q: Sequence[float]) -> np.ndarray:
    """Return the quantiles of values, each of which counts as its weight.

    Parameters
    ----------
    values, weights : ndarray of shape (n_values,)
        Weights are positive. If they are all alike the quantiles are those of numpy.
    q : sequence of float
        In [0, 1].

    Returns
    -------
    ndarray of shape (len(q),)
    """
    if weights.min() == weights.max():
        return np.quantile(values, q)
    wanted = np.asarray(q) * weights.sum(dtype=float)
    lowest = _lowest(values, weights, max(q), wanted.max())
    order = lowest[np.argsort(values[lowest])]
    counts = weights[order].astype(float)
    # Each value stands in the middle of its weight.
    return np.interp(wanted, np.cumsum(counts) - counts / 2, values[order])


def _lowest(values: np.ndarray, weights: np.ndarray, share: float, wanted: float) -> np.ndarray:
    """Return which values are the lowest, with more of the weight than wanted: a part of them is sorted faster."""
    n_lowest = int(1.2 * share * len(values))
    if n_lowest < len(values):
        lowest = np.argpartition(values, n_lowest)[:n_lowest]
        if weights[lowest].sum(dtype=float) > wanted + weights.max():
            return lowest
    return np.arange(len(values))
