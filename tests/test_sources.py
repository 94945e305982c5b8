"""Stars and extended objects are masked."""

import numpy as np
import pytest
import sep
from astropy.nddata import CCDData
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from skbgopt import BackgroundSplineRegressor, MidtonesStretch, gradient_left
from skbgopt.sources import SourceMasker

SHAPE = (160, 240)
STARS = [(30, 40), (80, 200), (120, 90), (55, 130), (140, 20)]
# The true light is still 1 % of the sky noise this far from a star.
REACH = 10


def distance_to_stars():
    """Distance of each pixel from the next star."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.min([np.hypot(rows - y, columns - x) for y, x in STARS], axis=0)


def starry_sky(n_channels=None, seed=0, dtype=np.float64):
    """A slanted sky of 1000 with a noise of 10 and Gaussian stars, of a width of 2 pixels, 100 sigma high."""
    rng = np.random.default_rng(seed)
    shape = SHAPE if n_channels is None else (*SHAPE, n_channels)
    sky = 1000 + np.linspace(0, 200, SHAPE[1])
    light = sky + 1000 * np.exp(-0.5 * (distance_to_stars() / 2) ** 2)
    return ((light if n_channels is None else light[:, :, None]) + rng.normal(0, 10, shape)).astype(dtype)


@pytest.mark.parametrize("n_channels", [None, 1, 3])
def test_stars_are_masked_and_sky_is_not(n_channels):
    """All star light above the noise is masked, and no more than 1 % of the pixels away from the stars."""
    mask = SourceMasker().mask(starry_sky(n_channels))
    distance = distance_to_stars()
    light = 1000 * np.exp(-0.5 * (distance / 2) ** 2)
    assert mask[light > 10].all()
    assert mask[distance > REACH].mean() < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_bare_noise_is_hardly_masked(seed):
    """Without sources less than 1 % of the pixels is masked."""
    noise = np.random.default_rng(seed).normal(50, 3, (200, 300))
    assert SourceMasker().mask(noise).mean() < 0.01


def test_an_extended_object_is_masked():
    """A disk of 20 pixels that is 3 sigma bright is masked, though no pixel of it stands out."""
    rows, columns = np.mgrid[:200, :300]
    disk = np.hypot(rows - 100, columns - 150) < 10
    image = np.random.default_rng(0).normal(0, 1, disk.shape) + 3 * disk
    assert SourceMasker().mask(image)[disk].mean() > 0.98


def test_a_source_in_one_channel_is_masked_in_all():
    """One mask serves all channels, so that no colour is left where a red star was."""
    image = starry_sky(3)
    image[:, :, 1:] = np.random.default_rng(1).normal(1000, 10, (*SHAPE, 2))
    masked = SourceMasker().fit_transform(image)
    y, x = STARS[0]
    assert masked.mask[y, x].all()
    np.testing.assert_array_equal(masked.mask, np.repeat(SourceMasker().mask(image)[:, :, None], 3, axis=2))


def test_a_noisy_channel_does_not_drown_the_others():
    """Channels count in units of their noise: one that is 1000 times as noisy hides no star."""
    image = starry_sky(2)
    image[:, :, 1] = np.random.default_rng(1).normal(0, 10_000, SHAPE)
    mask = SourceMasker().mask(image)
    assert all(mask[y, x] for y, x in STARS)


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float64", ">f8", "float16", "uint16", ">u2", "int32"])
@pytest.mark.parametrize("n_channels", [None, 3])
def test_data_come_back_untouched(n_channels, dtype):
    """Values, axes and dtype stay; the mask hardly depends on the dtype."""
    image = starry_sky(n_channels, dtype=dtype)
    before = image.copy()
    image.flags.writeable = False
    masked = SourceMasker().fit_transform(image)
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.dtype == image.dtype
    assert masked.mask.shape == image.shape
    np.testing.assert_array_equal(masked.data, before)
    np.testing.assert_array_equal(image, before)
    assert (SourceMasker().mask(starry_sky(n_channels)) != SourceMasker().mask(image)).mean() < 0.002


def test_views_that_are_not_contiguous_are_accepted():
    """A flipped and transposed view has the mask of its copy."""
    view = starry_sky(3)[::-1, ::2].transpose(1, 0, 2)
    np.testing.assert_array_equal(SourceMasker().mask(view), SourceMasker().mask(view.copy()))


@pytest.mark.parametrize(("factor", "offset"), [(1e-5, 0.0), (1e4, 0.0), (1.0, -1100.0), (3e-6, 1e-2), (250.0, 1e5)])
def test_the_mask_does_not_depend_on_scale_and_offset(factor, offset):
    """a X + b with a > 0 has the mask of X, but for a pixel in a thousand at the edges of sources."""
    image = starry_sky(3)
    expected = SourceMasker(missing_values=None).mask(image)
    assert (SourceMasker(missing_values=None).mask(factor * image + offset) != expected).mean() < 1e-3


@pytest.mark.parametrize("missing", [0.0, np.nan, np.inf])
def test_missing_pixels_are_masked_and_change_nothing_else(missing):
    """An empty border, in one channel or all, is masked; the sources elsewhere, on a level sky, stay the same."""
    image = starry_sky(3) - np.linspace(0, 200, SHAPE[1])[:, None]
    holed = image.copy()
    holed[:, 220:] = missing
    holed[:4, :, 1] = missing
    mask, expected = SourceMasker().mask(holed), SourceMasker().mask(image)
    assert mask[:, 220:].all()
    assert mask[:4].all()
    assert (mask != expected)[8:, :210].mean() < 0.002


def test_missing_values_none_counts_zeros():
    """Without a missing value a zero is a value, and not bright."""
    image = np.random.default_rng(0).normal(0, 1, SHAPE)
    image[5, 5] = 0
    assert SourceMasker().mask(image)[5, 5]
    assert not SourceMasker(missing_values=None).mask(image)[5, 5]


@pytest.mark.parametrize("wrap", [np.ma.array, lambda X, mask: CCDData(X, mask=mask, unit="adu")])
def test_a_mask_of_the_image_is_joined(wrap):
    """What np.ma or CCDData mask stays masked and takes no part: a masked star does not grow."""
    image, own = starry_sky(), np.zeros(SHAPE, dtype=bool)
    y, x = STARS[0]
    own[y - 12 : y + 13, x - 12 : x + 13] = True
    masked = SourceMasker().fit_transform(wrap(image, mask=own))
    assert (masked.mask >= own).all()
    np.testing.assert_array_equal(masked.data, image)
    ring = np.zeros_like(own)
    ring[y - 14 : y + 15, x - 14 : x + 15] = True
    assert not masked.mask[ring & ~own].any()


@pytest.mark.parametrize("level", [7.0, 0.0, -3.0])
def test_a_constant_image_has_no_sources(level):
    """Nothing stands out of a constant, whatever it is."""
    assert not SourceMasker(missing_values=None).mask(np.full((50, 70), level)).any()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_image_that_is_all_missing_is_all_masked(value):
    """There is nothing to detect on, and nothing to complain about."""
    masked = SourceMasker().fit_transform(np.full((50, 70, 3), value))
    assert masked.mask.all()
    np.testing.assert_array_equal(masked.data, value)


@pytest.mark.parametrize(("sky", "star", "dtype"), [(100, 900, np.uint16), (1e-6, 9e-6, np.float32)])
def test_stars_on_a_sky_without_noise(sky, star, dtype):
    """Without noise, in any unit, the stars are found by what they stand out of the scatter of all pixels."""
    image = np.where(distance_to_stars() < 3, star, sky).astype(dtype)
    mask = SourceMasker().mask(image)
    assert mask[distance_to_stars() < 3].all()
    assert mask[distance_to_stars() > REACH].sum() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 4), (2, 3, 5)])
def test_images_of_few_pixels(shape):
    """Images smaller than a box, a source or the smoothing pass."""
    image = np.random.default_rng(0).normal(10, 1, shape)
    assert SourceMasker().fit_transform(image).mask.shape == shape
    assert SourceMasker(n_pixels=1, nsigma=0.1, grow=5).mask(image).shape == shape[:2]


def test_a_crowded_field_passes_and_leaves_the_limits_of_sep():
    """More pixels of sources than sep's buffer holds: it is enlarged, and put back, and the mask is the same."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=SHAPE) + 30 * rng.random(SHAPE) ** 8
    expected = SourceMasker(nsigma=0.3, n_pixels=1).mask(image)
    before = sep.get_extract_pixstack()
    try:
        sep.set_extract_pixstack(500)
        np.testing.assert_array_equal(SourceMasker(nsigma=0.3, n_pixels=1).mask(image), expected)
        assert sep.get_extract_pixstack() == 500
    finally:
        sep.set_extract_pixstack(before)
    assert expected.mean() > 0.5


def test_growth_is_in_units_of_a_sources_depth():
    """A square of 21 pixels is 11 deep, and a line of 1: grow=1 adds 11 pixels around the first, 1 to the second."""
    image = np.random.default_rng(0).normal(0, 1e-3, (200, 200))
    image[40:61, 40:61] += 1e4
    image[150, 40:120] += 1e4
    bare, grown = (SourceMasker(grow=grow).mask(image) for grow in (0, 1))
    rows = [np.flatnonzero(mask[:, 50]) for mask in (bare, grown)]
    upper = [np.ptp(row[row < 100]) + 1 for row in rows]
    lower = [np.ptp(row[row > 130]) + 1 for row in rows]
    assert upper[1] - upper[0] == 2 * ((upper[0] + 1) // 2)
    assert lower[1] - lower[0] == 2 * ((lower[0] + 1) // 2)


@pytest.mark.parametrize(("low", "high"), [({"grow": 0}, {"grow": 1}), ({"nsigma": 8}, {"nsigma": 2})])
def test_masks_are_nested(low, high):
    """More growth, or a lower threshold, masks all that less growth or a higher threshold does."""
    image = starry_sky()
    less, more = SourceMasker(**{"grow": 0, **low}).mask(image), SourceMasker(**{"grow": 0, **high}).mask(image)
    assert (more >= less).all()
    assert more.sum() > less.sum()


def test_n_pixels_spares_hot_pixels():
    """A hot pixel is smoothed to at most 9: an area of 10 leaves it alone, and still masks stars."""
    image = starry_sky()
    image[100, 160] += 120
    assert SourceMasker(n_pixels=1).mask(image)[100, 160]
    sparing = SourceMasker(n_pixels=10).mask(image)
    assert not sparing[100, 160]
    assert all(sparing[y, x] for y, x in STARS)


def test_pipeline_fits_the_sky_and_corrects_the_sources(galaxy_frame):
    """A masker in front of the regressor is the same as its mask in fit, and no pixel is lost."""
    image = galaxy_frame.image
    model = BackgroundSplineRegressor(smoothing=0.01)
    corrected = make_pipeline(SourceMasker(), model).fit_transform(image)
    mask = SourceMasker().mask(image)
    alone = model.fit(image, mask=mask)
    np.testing.assert_array_equal(corrected.data, alone.transform(image))
    np.testing.assert_array_equal(corrected.mask.any(axis=2), mask)


def test_the_array_of_the_masked_image_is_a_mask_too(mono_frame):
    """fit takes the masked image, its mask, or the mask alone, for the same background."""
    image = mono_frame.image
    masked = SourceMasker().fit_transform(image)
    model = BackgroundSplineRegressor(n_control_points=16, smoothing=0.01)
    expected = model.fit(masked).predict(image)
    np.testing.assert_array_equal(model.fit(image, mask=masked.mask).predict(image), expected)


def test_pipeline_with_a_stretch_as_the_last_step(galaxy_frame):
    """The mask comes out at the end, missing pixels as they were, the rest in [0, 1] with the sky at a quarter."""
    image = galaxy_frame.image
    pipeline = make_pipeline(SourceMasker(), BackgroundSplineRegressor(smoothing=0.01), MidtonesStretch())
    result = pipeline.fit_transform(image)
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask.any(axis=2), SourceMasker().mask(image))
    np.testing.assert_array_equal(result.data[image == 0], 0)
    assert result.data.min() >= 0
    assert result.data.max() <= 1
    assert abs(np.ma.median(result) - 0.25) < 0.01


def test_the_gradient_is_removed_behind_a_masker(galaxy_frame):
    """With the galaxy masked, less than a fifth of the gradient is left."""
    masked = SourceMasker().fit_transform(galaxy_frame.image)
    background = BackgroundSplineRegressor(smoothing=1).fit(masked).predict(masked)
    assert gradient_left(background, galaxy_frame.background, galaxy_frame.mask) < 0.2


def test_no_fit_is_needed():
    """Nothing is learned: mask and transform of an unfitted masker are those of a fitted one."""
    image = starry_sky()
    np.testing.assert_array_equal(SourceMasker().mask(image), SourceMasker().fit(image).mask(image))
    assert SourceMasker().transform(image).mask.any()


@pytest.mark.filterwarnings("ignore:Skipping check")
def test_estimator_checks():
    """All of scikit-learn's checks pass."""
    checks = check_estimator(SourceMasker(), on_skip=None)
    assert len(checks) > 30


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"nsigma": 0}, r"'nsigma' parameter of SourceMasker.* range \(0(\.0)?, inf\)\. Got 0"),
        ({"n_pixels": 0}, r"'n_pixels' parameter of SourceMasker.* range \[1, 1000000\]\. Got 0"),
        ({"n_pixels": 2.5}, r"'n_pixels' parameter of SourceMasker must be an int.*Got 2\.5"),
        ({"box_size": 4}, r"'box_size' parameter of SourceMasker.* range \[8, 1000000\]\. Got 4"),
        ({"grow": -1}, r"'grow' parameter of SourceMasker.* range \[0(\.0)?, 100(\.0)?\]\. Got -1"),
        ({"missing_values": "none"}, r"'missing_values' parameter of SourceMasker.*Got 'none'"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform", "mask"])
def test_parameters_out_of_range(method, parameters, message):
    """The sentence names the parameter, the range and the value, whatever is called first."""
    with pytest.raises(ValueError, match=message):
        getattr(SourceMasker(**parameters), method)(np.ones((20, 20)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ones((2, 20, 30, 3)), r"SourceMasker takes one image of shape .*got shape \(2, 20, 30, 3\)"),
        (np.ones((3, 20, 30)), r"SourceMasker takes images with the channels last"),
        (np.ones(20), "Expected 2D array, got 1D array instead"),
    ],
)
def test_what_is_no_image(image, message):
    """The sentence tells what came and what to do."""
    with pytest.raises(ValueError, match=message):
        SourceMasker().fit(image)
