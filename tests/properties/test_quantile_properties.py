"""Quantiles of values that do not count alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skbgopt.quantiles import weighted_quantiles

COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=30)
Q = (0.05, 0.2, 0.5, 0.75)


def values_of(seed, n_values):
    """Some values."""
    return np.random.default_rng(seed).normal(size=n_values)


@given(COUNTS, st.integers(0, 1000))
def test_a_weight_counts_as_so_many_copies(counts, seed):
    """No quantile lies farther off than the next value on either side of that of the copies."""
    values, counts = values_of(seed, len(counts)), np.array(counts)
    found = weighted_quantiles(values, counts, Q)
    copies = np.repeat(values, counts)
    at = np.searchsorted(np.sort(values), np.quantile(copies, Q, method="inverted_cdf"))
    padded = np.sort(values)[[0, *range(len(values)), -1]]
    assert (padded[at] <= found).all() and (found <= padded[at + 2]).all()


@given(COUNTS, st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_only_the_ratio_of_weights_counts(counts, seed, factor):
    """All of them times a number are the same weights."""
    values, counts = values_of(seed, len(counts)), np.array(counts, dtype=float)
    np.testing.assert_allclose(
        weighted_quantiles(values, factor * counts, Q), weighted_quantiles(values, counts, Q), rtol=1e-9, atol=1e-12
    )


@given(st.integers(1, 50), st.integers(0, 1000))
def test_equal_weights_are_none(n_values, seed):
    """To the last digit."""
    values = values_of(seed, n_values)
    np.testing.assert_array_equal(weighted_quantiles(values, np.full(n_values, 0.3), Q), np.quantile(values, Q))


@given(st.integers(0, 1000), st.booleans())
def test_a_part_of_the_values_tells_the_same(seed, low_count_more):
    """Quantiles of many values are those of a full sort, wherever the weight lies."""
    values = values_of(seed, 400)
    weights = np.where((values < 0) == low_count_more, 1.0, 0.01)
    order = np.argsort(values)
    middles = np.cumsum(weights[order]) - weights[order] / 2
    expected = np.interp(np.array([0.05, 0.2]) * weights.sum(), middles, values[order])
    np.testing.assert_allclose(weighted_quantiles(values, weights, (0.05, 0.2)), expected, rtol=1e-9, atol=1e-12)
