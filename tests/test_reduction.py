"""Block reduction."""

import numpy as np
import pytest
from astropy.nddata import NDData

from skbgopt import BlockReducer
from skbgopt.reduction import block_centres, block_edges, block_fractions, reduce_blocks


def test_edges_and_centres_of_blocks():
    """The last block is as long as what is left, and its centre is its own."""
    assert block_edges(10, 4).tolist() == [0, 4, 8, 10]
    assert block_centres(10, 4).tolist() == [2, 6, 9]
    assert block_edges(3, 8).tolist() == [0, 3]
    assert block_centres(8, 8).tolist() == [4]


@pytest.mark.parametrize("func", ["median", "mean"])
def test_blocks_at_the_edge_are_not_padded(func):
    """A constant image of any size reduces to that constant, at the far edges too."""
    assert (reduce_blocks(np.full((13, 17, 2), 7.0), 8, func) == 7).all()


@pytest.mark.parametrize("func", ["median", "mean"])
def test_a_plane_reduces_to_itself_at_the_block_centres(func):
    """Means and medians of a plane are its values at the centres, edge blocks included."""
    rows, columns = np.mgrid[:21, :30] + 0.5
    reduced = reduce_blocks((3 * rows + 2 * columns)[:, :, None], 8, func)[:, :, 0]
    expected = 3 * block_centres(21, 8)[:, None] + 2 * block_centres(30, 8)
    np.testing.assert_allclose(reduced, expected, rtol=1e-12)


def test_fractions_count_the_weights():
    """A full block counts 1, one with half its pixels 1/2, an edge block its share of the area."""
    weights = np.ones((8, 12, 1))
    weights[:4, :8] = 0
    np.testing.assert_array_equal(block_fractions(weights, 8)[:, :, 0], [[0.5, 0.5]])


@pytest.mark.parametrize("func", ["median", "mean"])
def test_an_empty_block_is_nan(func):
    """Where nothing is usable there is no value, and no warning."""
    image = np.ones((4, 8, 1))
    image[:, :4] = np.nan
    np.testing.assert_array_equal(reduce_blocks(image, 4, func)[:, :, 0], [[np.nan, 1]])


def test_median_hides_stars_smaller_than_half_a_block():
    """31 bright pixels in an 8 x 8 block leave its median among the sky's values."""
    image = np.full((8, 8, 1), 5.0)
    image.ravel()[:31] = 1e6
    assert reduce_blocks(image, 8, "median") == 5


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("step", [1.0, 16.0])
def test_medians_of_whole_numbers_are_as_exact_as_of_others(sigma, step):
    """Within a fifth, on a slope over a few of them, with pixels missing."""
    rng = np.random.default_rng(0)
    truth = np.broadcast_to(300.3 + np.linspace(0, 8, 1200), (400, 1200))[:, :, None]
    image = np.where(rng.random(truth.shape) < 0.1, np.nan, truth + rng.normal(0, sigma, truth.shape))
    expected = reduce_blocks(truth, 8, "median")
    smooth = reduce_blocks(image, 8, "median") - expected
    rounded = reduce_blocks(step * np.rint(image), 8, "median", np.array([step])) / step - expected
    assert np.sqrt(np.mean(rounded**2)) < 1.2 * np.sqrt(np.mean(smooth**2))


def test_steps_change_no_median_that_is_not_tied():
    """Nor that of equal pixels, and not by more than half a step."""
    image = np.random.default_rng(0).normal(100, 5, (24, 25, 1))
    np.testing.assert_array_equal(reduce_blocks(image, 5, "median", np.ones(1)), reduce_blocks(image, 5, "median"))
    assert (reduce_blocks(np.full((9, 9, 1), 7.0), 8, "median", np.ones(1)) == 7).all()
    bright = np.where(np.arange(64).reshape(8, 8, 1) < 31, 1e6, 5.0)
    assert 5 < reduce_blocks(bright, 8, "median", np.ones(1)) < 5.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_have_a_median(dtype):
    """Of an even number of values too, whose sum is beyond them."""
    largest = np.finfo(dtype).max
    image = np.full((4, 4, 1), largest)
    image[0, 0] = np.nan
    np.testing.assert_array_equal(reduce_blocks(image, 2, "median"), np.full((2, 2, 1), largest))


def test_input_is_not_changed():
    """Sorting works on a copy."""
    image = np.random.default_rng(0).normal(size=(16, 16, 1))
    before = image.copy()
    reduce_blocks(image, 4, "median")
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_transformer_keeps_axes_and_dtype(shape, dtype):
    """Two axes give two, three give three, floats keep their type."""
    reduced = BlockReducer(factor=8).fit_transform(np.ones(shape, dtype=dtype))
    assert reduced.shape == (3, 4, *shape[2:])
    assert reduced.dtype == dtype


def test_missing_values_are_left_out():
    """Zeros and NaN do not count; a pixel with one missing channel is missing in all."""
    image = np.full((4, 4, 2), 6.0)
    image[0, 0] = 0
    image[1, 1, 0] = np.nan
    image[1, 1, 1] = 1e9
    assert (BlockReducer(factor=4, func="mean").fit_transform(image) == 6).all()


def test_missing_values_none_counts_zeros():
    """Without a missing value a zero is a value."""
    image = np.array([[0.0, 4.0]])
    reducer = BlockReducer(factor=2, func="mean", missing_values=None)
    assert reducer.fit_transform(image).tolist() == [[2.0]]


def test_a_factor_of_one_changes_nothing():
    """Blocks of one pixel are the image."""
    image = np.random.default_rng(0).normal(5, 1, (6, 7, 3))
    np.testing.assert_array_equal(BlockReducer(factor=1).fit_transform(image), image)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"factor": 0}, r"'factor' parameter of BlockReducer.* range \[1, inf\)\. Got 0"),
        ({"factor": 2.5}, r"'factor' parameter of BlockReducer must be an int.*Got 2\.5"),
        ({"func": "max"}, r"'func' parameter of BlockReducer must be a str among .*Got 'max'"),
        ({"missing_values": "none"}, r"'missing_values' parameter of BlockReducer.*Got 'none'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    """The sentence names the parameter, the range and the value."""
    with pytest.raises(ValueError, match=message):
        BlockReducer(**parameters).fit(np.ones((5, 5)))


@pytest.mark.parametrize("func", ["median", "mean"])
@pytest.mark.parametrize("factor", [40, 10**9, 10**30])
def test_a_block_larger_than_the_image_is_the_image(factor, func):
    """However large the factor, the result is one pixel, and no memory is asked for beyond the image."""
    image = np.random.default_rng(0).normal(5, 1, (7, 30, 2))
    image[2, 3] = np.nan
    reduced = BlockReducer(factor=factor, func=func).fit_transform(image)
    np.testing.assert_allclose(reduced[0, 0], getattr(np, f"nan{func}")(image, axis=(0, 1)), rtol=1e-12)
    assert block_centres(30, factor).tolist() == [15]


def test_a_block_may_be_larger_than_one_side():
    """A strip of one row is reduced along its length."""
    strip = np.arange(1.0, 17.0)[None]
    assert BlockReducer(factor=4, func="mean").fit_transform(strip).tolist() == [[2.5, 6.5, 10.5, 14.5]]


def test_masks_of_arrays_and_nddata_are_left_out():
    """Masked pixels and NaN are the same thing, whatever the values in them."""
    image = np.random.default_rng(0).normal(5, 1, (12, 16))
    mask = image > 6
    expected = BlockReducer(factor=4).fit_transform(np.where(mask, np.nan, image))
    spoiled = np.where(mask, 1e9, image)
    for form in (np.ma.array(spoiled, mask=mask), NDData(spoiled, mask=mask)):
        np.testing.assert_array_equal(BlockReducer(factor=4).fit_transform(form), expected)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.ones((2, 5, 6, 3)), ValueError, r"takes one image .*got shape \(2, 5, 6, 3\): use EachImage"),
        (np.ones((5, 0)), ValueError, "needs at least one pixel"),
        (np.full((5, 6), "sky"), TypeError, "takes images of real numbers, got dtype <U3"),
        (np.full((5, 6), {}), TypeError, "takes images of real numbers, got dtype object"),
    ],
)
def test_what_is_no_image(image, error, message):
    """The sentence names the estimator, what is allowed and what came, in fit and in transform."""
    for method in (BlockReducer().fit, BlockReducer().fit(np.ones((5, 6))).transform):
        with pytest.raises(error, match=f"BlockReducer .*{message}"):
            method(image)
