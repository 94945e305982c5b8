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
    order = np.argsort(values)
    counts = weights[order].astype(float)
    up_to = np.cumsum(counts)
    # Each value stands in the middle of its weight.
    return np.interp(np.asarray(q) * up_to[-1], up_to - counts / 2, values[order])
