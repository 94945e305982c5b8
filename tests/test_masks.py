"""Which pixels count."""

import numpy as np
import pytest
from astropy.nddata import CCDData, NDData
from astropy.utils.masked import Masked
from scipy.sparse import csr_array

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt._validation import missing_values_of
from skbgopt.masks import PixelSelection


def select(X, mask=None, sample_weight=None, missing_values=0):
    """A selection as the estimator makes it."""
    return PixelSelection.from_input(X, mask, sample_weight, missing_values, "Who")


@pytest.fixture(scope="module")
def image_and_mask(mono_frame):
    """A frame and a mask over a fifth of it, both with scattered pixels."""
    mask = np.zeros(mono_frame.image.shape, dtype=bool)
    mask[20:90, 30:100] = True
    mask |= np.random.default_rng(0).uniform(size=mask.shape) < 0.03
    return mono_frame.image, mask


def fitted(image, **given):
    """Coefficients of a fit with the default loss, objects and all, at a fixed smoothing."""
    return BackgroundSplineRegressor(smoothing=1e-4, n_control_points=25).fit(image, **given).coef_


WAYS = {
    "sample_weight": lambda image, mask: (image, {"sample_weight": (~mask).astype(np.float32)}),
    "boolean weight": lambda image, mask: (image, {"sample_weight": ~mask}),
    "NaN": lambda image, mask: (np.where(mask, np.nan, image), {}),
    "infinity": lambda image, mask: (np.where(mask, np.inf, image), {}),
    "missing value": lambda image, mask: (np.where(mask, 0, image), {}),
    "np.ma": lambda image, mask: (np.ma.array(image, mask=mask), {}),
    "astropy Masked": lambda image, mask: (Masked(image, mask=mask), {}),
    "masked weights": lambda image, mask: (image, {"sample_weight": np.ma.array(np.ones(image.shape), mask=mask)}),
    "tiny weights": lambda image, mask: (image, {"sample_weight": np.where(mask, 0, 1e-200)}),
    "masked mask": lambda image, mask: (image, {"mask": np.ma.array(np.zeros(image.shape, bool), mask=mask)}),
    "NDData": lambda image, mask: (NDData(image, mask=mask), {}),
    "CCDData": lambda image, mask: (CCDData(image, mask=mask, unit="adu"), {}),
    "half each": lambda image, mask: (
        np.where(mask & (image > np.median(image)), np.nan, image),
        {"mask": mask & (image <= np.median(image))},
    ),
    "own mask and mask": lambda image, mask: (
        np.ma.array(image, mask=np.where(np.arange(image.shape[1]) % 2, mask, False)),
        {"mask": mask},
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_all_ways_to_exclude_a_pixel_are_the_same(image_and_mask, way):
    """Mask, weight 0, NaN, missing value, np.ma and NDData give bit-identical models."""
    image, mask = image_and_mask
    X, given = way(image, mask)
    np.testing.assert_array_equal(fitted(X, **given), fitted(image, mask=mask))


@pytest.mark.parametrize("answer", [True, False])
def test_one_answer_stands_for_all_pixels(answer):
    """As astropy's NDData may carry it."""
    selection = select(NDData(np.ones((5, 6)), mask=answer))
    assert selection.window(slice(None))[1].all() != answer


def test_a_mask_makes_a_difference(image_and_mask):
    """The tests here would see a mask that is not used."""
    image, mask = image_and_mask
    assert not np.array_equal(fitted(image), fitted(image, mask=mask))


@pytest.mark.parametrize("value", [-1e6, 0.0, 1e6, np.nan, np.inf, 3e38])
def test_values_under_the_mask_do_not_matter(image_and_mask, value):
    """Any value under the mask gives the same model, bit by bit."""
    image, mask = image_and_mask
    spoiled = np.where(mask, np.float32(value), image)
    np.testing.assert_array_equal(fitted(spoiled, mask=mask), fitted(image, mask=mask))


def test_values_under_the_mask_do_not_matter_to_the_choice_of_the_smoothing(image_and_mask):
    """smoothing="auto" does not look under the mask either."""
    image, mask = image_and_mask
    models = [
        BackgroundSplineRegressor(n_control_points=16).fit(np.where(mask, value, image), mask=mask)
        for value in (np.float32(1e6), np.float32(-5))
    ]
    assert models[0].smoothing_ == models[1].smoothing_
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


def test_a_mask_of_channels_excludes_the_pixel(galaxy_frame):
    """A mask of the image's shape excludes a pixel where any of its channels is masked."""
    shape = galaxy_frame.image.shape
    mask = np.zeros(shape, dtype=bool)
    mask[10:60, 10:60, 1] = True
    models = [
        BackgroundSplineRegressor(smoothing=1e-3, n_control_points=9).fit(galaxy_frame.image, mask=m).coef_
        for m in (mask, mask.any(axis=2))
    ]
    np.testing.assert_array_equal(*models)


def test_weights_of_one_change_nothing(image_and_mask):
    """sample_weight of ones is no sample_weight, whatever its dtype."""
    image, _ = image_and_mask
    for dtype in (np.float32, np.float64, np.uint8, bool):
        np.testing.assert_array_equal(fitted(image, sample_weight=np.ones(image.shape, dtype)), fitted(image))


def test_weights_of_one_half_everywhere_change_nothing(image_and_mask):
    """Only the ratio of weights counts: the models agree within single precision."""
    image, _ = image_and_mask
    model = BackgroundSplineRegressor(smoothing=1e-4, n_control_points=25)
    whole = model.fit(image).predict(image)
    half = model.fit(image, sample_weight=np.full(image.shape, 0.5)).predict(image)
    np.testing.assert_allclose(half, whole, atol=1e-4 * np.ptp(whole))


@pytest.mark.parametrize("weight", [0.01, 0.1])
def test_a_foreground_that_hardly_counts_is_not_the_sky(weight):
    """A dark land of little weight leaves the sky as it is with none: the background is right to half a sigma."""
    frame = make_sky_image("landscape", shape=(400, 600), random_state=4)
    weights = np.where(frame.mask, weight, 1)
    model = BackgroundSplineRegressor(smoothing=1e-4).fit(frame.image, sample_weight=weights)
    error = (model.predict(frame.image) - frame.background)[~frame.mask] / model.noise_
    assert np.abs(error.mean(axis=0)).max() < 0.5


def test_a_channel_may_see_less_of_the_sky(colour_frame):
    """Where its weight is 0 the others say what is sky; the figures of the fit are of what it sees."""
    image = colour_frame.image
    weights = np.ones(image.shape)
    weights[:, : image.shape[1] // 3, 0] = 0
    model = BackgroundSplineRegressor(smoothing=1e-4, n_control_points=25)
    whole = model.fit(image).predict(image)
    chi2, noise = model.reduced_chi2_, model.noise_
    difference = (model.fit(image, sample_weight=weights).predict(image) - whole) / noise
    assert np.sqrt(np.mean(difference[:, image.shape[1] // 3 :] ** 2, axis=(0, 1))).max() < 0.5
    assert model.reduced_chi2_ == pytest.approx(chi2, rel=0.2)


def test_reasons_are_counted():
    """A pixel counts for each reason that excludes it."""
    image = np.ones((4, 5))
    image[0, :2] = np.nan
    image[1, 0] = 0
    mask = np.zeros((4, 5), bool)
    mask[0] = True
    weight = np.ones((4, 5))
    weight[3, :4] = 0
    values, weights, excluded = select(image, mask, weight).window(slice(None))
    assert excluded == {"missing": 3, "masked": 5, "weight 0": 4}
    assert np.isnan(values).sum() == 10
    assert (weights == 0).sum() == 10


def test_windows_are_parts_of_the_whole():
    """A window holds what the whole holds there."""
    image = np.random.default_rng(0).normal(5, 1, (9, 11, 3))
    selection = select(image, image[:, :, 0] > 6, np.random.default_rng(1).uniform(size=(9, 11)))
    whole, part = selection.window(slice(None)), selection.window(slice(2, 6), slice(3, 9))
    np.testing.assert_array_equal(part[0], whole[0][2:6, 3:9])
    np.testing.assert_array_equal(part[1], whole[1][2:6, 3:9])


def test_the_window_may_not_be_written_to():
    """It may be the image itself."""
    image = np.ones((3, 3))
    with pytest.raises(ValueError, match="read-only"):
        select(image).window(slice(None))[0][:] = 5
    assert (image == 1).all()


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_missing_values_are_compared_as_the_image_has_them(kind):
    """0.1 of an image of single precision is 0.1, of whatever type the number is."""
    image = np.float32([[0.1, 0.2]])
    assert select(image, missing_values=kind(0.1)).window(slice(None))[2]["missing"] == 1
    ((where, _),) = missing_values_of(image, kind(0.1))
    np.testing.assert_array_equal(where, [[True, False]])


def test_missing_values_none_keeps_zeros():
    """With None only what is not finite is missing."""
    image = np.array([[0.0, np.nan, np.inf, 1.0]])
    values, _, excluded = select(image, missing_values=None).window(slice(None))
    assert excluded["missing"] == 2
    np.testing.assert_array_equal(values[:, :, 0], [[0, np.nan, np.nan, 1]])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mask": np.zeros((4, 5))}, TypeError, "must be boolean .True = excluded., got dtype float64"),
        ({"mask": np.zeros((4, 5), np.uint8)}, TypeError, "must be boolean .* sample_weight"),
        ({"mask": np.zeros((5, 4), bool)}, ValueError, r"shape \(4, 5\), got \(5, 4\)"),
        ({"mask": np.zeros((4, 5, 2), bool)}, ValueError, r"shape \(4, 5\), got \(4, 5, 2\)"),
        ({"sample_weight": np.ones((5, 4))}, ValueError, r"shape \(4, 5\) or .* got \(5, 4\)"),
        ({"sample_weight": np.ones(4)}, ValueError, r"got \(4,\)"),
        ({"sample_weight": np.full((4, 5), 1.5)}, ValueError, r"\[0, 1\] .*from 1\.5 to 1\.5"),
        ({"sample_weight": np.full((4, 5), -1)}, ValueError, r"\[0, 1\] .*from -1"),
        ({"sample_weight": np.full((4, 5), 255, np.uint8)}, ValueError, r"\[0, 1\] .*255"),
        ({"sample_weight": np.full((4, 5), np.nan)}, ValueError, r"\[0, 1\] .*nan"),
        ({"X": np.ones((4, 5), complex)}, ValueError, "real numbers, got dtype complex128 .*its real part"),
        ({"X": np.array([["a", "b"]])}, TypeError, "real numbers, got dtype <U1"),
        ({"X": np.full((4, 5), {})}, TypeError, "real numbers, got dtype object .*not 'dict'"),
        ({"X": np.full((4, 5), "sky", object)}, TypeError, "real numbers, got dtype object .*'sky'"),
        ({"X": csr_array(np.eye(5))}, TypeError, r"dense images.* got csr_array: call its toarray"),
        ({"X": np.ones(5)}, ValueError, r"got shape \(5,\): Reshape your data to one image"),
        ({"X": np.ones((2, 4, 5, 3))}, ValueError, r"got shape \(2, 4, 5, 3\)"),
        ({"X": np.ones((0, 5))}, ValueError, r"at least one pixel, got 0 sample\(s\) \(shape=\(0, 5\)\)"),
        ({"X": np.ones((4, 0))}, ValueError, r"at least one pixel, got 0 feature\(s\) \(shape=\(4, 0\)\)"),
    ],
)
def test_input_that_does_not_fit(given, error, message):
    """The sentence names the estimator, what is allowed and what came."""
    with pytest.raises(error, match=message) as caught:
        select(**{"X": np.ones((4, 5)), **given})
    assert "Who" in str(caught.value)
