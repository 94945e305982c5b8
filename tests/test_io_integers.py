"""Floats written as integers."""

import numpy as np
import pytest

from skbgopt.io._integers import to_integers


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_the_mean_of_dithered_integers_is_the_value(dtype):
    """Values between two integers are kept on average, each rounded within one and a half units."""
    image = np.full((300, 200), 100.3)
    integers, n_clipped = to_integers(image, dtype)
    assert integers.dtype == dtype
    assert n_clipped == 0
    assert np.abs(integers - image).max() <= 1.5
    # A unit of triangular dither and the rounding scatter by half a unit: 0.002 on average of 60,000 pixels.
    assert integers.mean() == pytest.approx(100.3, abs=0.01)


def test_scale_and_pedestal():
    """What is written is image * scale + pedestal, within the dither."""
    image = np.random.default_rng(0).uniform(-0.001, 0.9, (40, 50, 3))
    integers, n_clipped = to_integers(image, np.uint16, scale=60_000, pedestal=100)
    assert n_clipped == 0
    assert np.abs(integers - (image * 60_000 + 100)).max() <= 1.5


def test_missing_pixels_become_0():
    """NaN and exact zeros are 0 whatever the pedestal, and not counted as clipped."""
    image = np.array([[np.nan, 0.0, 5.0]])
    integers, n_clipped = to_integers(image, np.uint8, pedestal=50)
    assert integers[0, :2].tolist() == [0, 0]
    assert integers[0, 2] > 50
    assert n_clipped == 0


@pytest.mark.parametrize(("missing_values", "zeros"), [(0, [0, 1]), (7, [0, 2]), (None, [0])])
def test_what_is_missing_can_be_told(missing_values, zeros):
    """By the value that says so, or by NaN alone."""
    integers, _ = to_integers(np.array([[np.nan, 0.0, 7.0, 9.0]]), "u1", pedestal=50, missing_values=missing_values)
    assert np.flatnonzero(integers == 0).tolist() == zeros


def test_what_does_not_fit_is_clipped_and_counted():
    """Below 0 and above the largest integer; infinity is one of them."""
    image = np.array([[-40.0, 300.0, 100.0, np.inf], [-np.inf, 254.0, 255.4, 256.0]])
    integers, n_clipped = to_integers(image, np.uint8)
    assert n_clipped == 5
    assert integers[0, :2].tolist() == [0, 255]
    assert integers[0, 3] == 255
    assert integers[1, 0] == 0


def test_the_dither_is_seeded():
    """The same seed gives the same integers, another seed others."""
    image = np.full((300, 20), 7.5)
    first, again, other = (to_integers(image, np.uint8, random_state=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
