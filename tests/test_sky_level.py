"""The level of the sky among residuals."""

import numpy as np
import pytest
from scipy.special import ndtri

from skbgopt.datasets._frame import Canvas, Frame
from skbgopt.datasets._stars import StarField, draw_stars
from skbgopt.noise import sky_noise
from skbgopt.objects import sky_weights
from skbgopt.reduction import reduce_blocks
from skbgopt.sky_level import sky_level

SHAPE = (100, 150)
EVERYWHERE = np.ones(SHAPE)
N_COEFFICIENTS = 36
NOISE = 1e-4


def level_of(residual, sky, alpha, n_coefficients=N_COEFFICIENTS, crowded=False):
    """Where the sky lies among residuals that count by a map."""
    weights = np.repeat(np.asarray(sky, dtype=float)[:, :, None], residual.shape[2], axis=2)
    return sky_level(residual[sky > 0], weights[sky > 0], alpha, n_coefficients, crowded)


def starry(seed, stars_per_megapixel):
    """Medians of 8 x 8 pixels of a field of stars on no sky, over their noise, shape (100, 150, 1)."""
    rng = np.random.RandomState(seed)
    shape = (8 * SHAPE[0], 8 * SHAPE[1])
    pixels = NOISE * rng.standard_normal((*shape, 1))
    pixels += draw_stars(rng, Canvas(Frame(*shape)), StarField(stars_per_megapixel), NOISE, 1)
    values = reduce_blocks(pixels, 8, "median")
    return values / sky_noise(values, share=0.3)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_noise_alone_lies_where_the_loss_leaves_it(alpha):
    """A background at the 1 / (2 + 2 alpha) quantile of normal noise is found to lie that far below the sky."""
    below = -ndtri(1 / (2 + 2 * alpha))
    noise = np.random.default_rng(0).standard_normal((*SHAPE, 4))
    found = level_of(noise + below, EVERYWHERE, alpha)
    assert found.offset == pytest.approx([below] * 4, abs=0.08)
    assert found.offset.max() <= below
    assert (np.abs(found.offset - below) < 4 * found.error).all()


@pytest.mark.parametrize("stars_per_megapixel", [1500, 5000, 15_000, 40_000])
def test_stars_do_not_lift_the_level(stars_per_megapixel):
    """Of what they lift the median by at most a fifth is left on average, from sparse fields to the Milky Way."""
    offsets, errors, lifts = [], [], []
    for seed in range(8):
        residual = starry(seed, stars_per_megapixel)
        # As the fit masks the brighter ones.
        sky = sky_weights(residual, EVERYWHERE[:, :, None]) >= 0.5
        found = level_of(residual, sky, 5.0)
        offsets.append(found.offset[0])
        errors.append(found.error[0])
        lifts.append(np.median(residual[sky]))
    assert np.mean(lifts) > 0.05
    assert abs(np.mean(offsets)) < 0.2 * np.mean(lifts) + 0.03
    assert np.sqrt(np.mean(np.square(offsets) / np.square(errors))) < 2


def test_the_level_moves_with_the_residuals():
    """A background lower by a constant is found that much lower; the errors are the same."""
    residual = starry(2, 5000)
    found, lower = (level_of(residual + shift, EVERYWHERE, 5.0) for shift in (0.0, 0.5))
    assert lower.offset == pytest.approx(found.offset + 0.5)
    assert lower.error == pytest.approx(found.error)
    assert lower.unevenness == pytest.approx(found.unevenness)


def test_only_the_sky_counts():
    """Whatever the other pixels hold."""
    residual, sky = starry(3, 5000), np.random.default_rng(4).random(SHAPE) < 0.7
    spoiled = np.where(sky[:, :, None], residual, 1e6)
    for name, value in vars(level_of(spoiled, sky, 1.0)).items():
        np.testing.assert_array_equal(value, getattr(level_of(residual, sky, 1.0), name))


def test_crowded_fields_are_less_sure():
    """Error and unevenness grow with the number of stars, the error with fewer pixels as well."""
    sparse, crowded = (level_of(starry(5, n_stars), EVERYWHERE, 5.0) for n_stars in (1500, 40_000))
    assert crowded.error[0] > 2 * sparse.error[0]
    assert crowded.unevenness[0] > 10 * sparse.unevenness[0]
    part = np.arange(EVERYWHERE.size).reshape(SHAPE) % 9 == 0
    assert level_of(starry(5, 1500), part, 5.0).error[0] > 2 * sparse.error[0]


@pytest.mark.parametrize("n_coefficients", [10, 64, 1000])
def test_no_error_is_much_larger_than_the_noise_of_a_pixel(n_coefficients):
    """However few pixels there are for each coefficient, and whatever objects have left among them."""
    sky = np.zeros(SHAPE, dtype=bool)
    sky[:8, :8] = True
    for light in (1, 1e3):
        residual = np.random.default_rng(0).exponential(light, (*SHAPE, 1))
        found = level_of(residual, sky, 5.0, n_coefficients)
        assert (found.error < 1.5).all() and (found.unevenness <= 1).all()


def test_what_no_star_explains_is_not_taken_off():
    """Objects that were not masked skew the residuals as much as they like; stars lift them by no more than 1.8."""
    residual = np.random.default_rng(0).exponential(100, (*SHAPE, 1))
    found = level_of(residual, EVERYWHERE, 5.0)
    assert found.offset == pytest.approx(-ndtri(1 / 12))


def test_few_pixels_tell_nothing():
    """Then the background stays, and its error is how far below the sky it may lie."""
    sky = np.zeros(SHAPE, dtype=bool)
    sky[0, :20] = True
    found = level_of(starry(7, 5000), sky, 5.0)
    assert found.offset.tolist() == [0.0]
    assert found.error[0] > 1


def test_in_crowded_fields_skewness_means_more_light():
    """The stars that show are left out there, and most of the skewness with them."""
    residual = starry(5, 5000)
    sparse, crowded = (level_of(residual, EVERYWHERE, 5.0, crowded=each) for each in (False, True))
    assert (crowded.offset < sparse.offset).all()
    assert (crowded.error >= crowded.unevenness).all() and (crowded.unevenness > 0).all()


def test_pixels_count_by_their_weights():
    """What counts for a thousandth moves the level by a hundredth of its noise at most, and makes it no surer."""
    sky = np.random.default_rng(0).standard_normal((*SHAPE, 1))
    weights = np.ones(SHAPE)
    weights[:, ::2] = 1e-3
    spoiled = sky - np.where(weights < 1, 30, 0)[:, :, None]
    found, expected = level_of(spoiled, weights, 5.0), level_of(sky[:, 1::2], weights[:, 1::2], 5.0)
    assert found.offset == pytest.approx(expected.offset, abs=0.01)
    assert found.error == pytest.approx(expected.error, rel=0.01)
