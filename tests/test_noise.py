"""The noise of the sky."""

import numpy as np
import pytest

from skbgopt.noise import sky_noise, value_steps

SHAPE = (300, 400)


def noise_on_a_gradient(sigma=7.0, seed=0):
    """Normal noise on a steep plane."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (5 * x - 3 * y + np.random.default_rng(seed).normal(0, sigma, SHAPE))[:, :, None]


@pytest.mark.parametrize("share", [0.3, 0.5])
@pytest.mark.parametrize("lag", [1, 3])
def test_normal_noise_on_a_gradient(share, lag):
    """The estimate is within 3 % of the noise, the gradient does not count."""
    assert sky_noise(noise_on_a_gradient(), share, lag)[0] == pytest.approx(7, rel=0.03)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_stars_hardly_count(share):
    """Stars on 5 % of the pixels, 7 pixels wide and 100 sigma high, lift the estimate by less than 10 %."""
    image = noise_on_a_gradient()
    clean = sky_noise(image, share)[0]
    rng = np.random.default_rng(1)
    for _ in range(int(0.05 * image.size / 49)):
        row, column = rng.integers(0, SHAPE[0] - 7), rng.integers(0, SHAPE[1] - 7)
        image[row : row + 7, column : column + 7] += 700 * rng.uniform(0.5, 1, (7, 7, 1))
    # 9 / 7 of 5 % of the differences touch a star; the quantile moves up by as much.
    assert clean < sky_noise(image, share)[0] < 1.1 * clean


def test_each_channel_has_its_own():
    """Channels are measured apart."""
    image = np.concatenate([noise_on_a_gradient(sigma, 2) for sigma in (1.0, 10.0)], axis=2)
    np.testing.assert_allclose(sky_noise(image), [1, 10], rtol=0.03)


def test_missing_pixels_do_not_count():
    """Scattered NaN over a tenth of the image change the estimate by less than 3 %."""
    image = noise_on_a_gradient()
    image[np.random.default_rng(3).uniform(size=SHAPE) < 0.1] = np.nan
    assert sky_noise(image)[0] == pytest.approx(7, rel=0.03)


@pytest.mark.parametrize("image", [np.full((9, 9, 1), 3.0), np.full((9, 9, 1), np.nan), np.ones((2, 2, 1))])
def test_no_scatter_is_no_noise(image):
    """Constant, empty and tiny images have noise 0, without a warning."""
    assert sky_noise(image).tolist() == [0]


def test_the_estimate_scales_and_does_not_shift():
    """Noise of a X + b is a times that of X."""
    image = noise_on_a_gradient()
    np.testing.assert_allclose(sky_noise(4 * image + 1000), 4 * sky_noise(image), rtol=1e-9)


def test_integers_do_not_wrap_around():
    """Differences of unsigned integers are signed."""
    image = np.random.default_rng(0).normal(100, 7, (*SHAPE, 1))
    assert sky_noise(np.round(image).astype(np.uint8))[0] == pytest.approx(7, rel=0.1)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_noise_of_whole_numbers_is_told_between_them(sigma):
    """Within 10 % of what noise and rounding add up to."""
    image = np.rint(noise_on_a_gradient(sigma))
    assert sky_noise(image, steps=np.ones(1))[0] == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.1)


def test_the_step_of_values_that_are_multiples_of_one():
    """Of whole numbers, of 12 bits in 16, of 8 bits over 255, and beside a few pixels that were mended."""
    numbers = np.random.default_rng(0).normal(100, 5, 100_000).round()
    mended = np.where(np.arange(100_000) % 500, numbers, numbers + 0.37)
    steps = value_steps([numbers, 16 * numbers, (numbers / 255).astype(np.float32), mended])
    np.testing.assert_allclose(steps, [1, 16, 1 / 255, 1], rtol=1e-4)


def test_other_values_have_no_step():
    """Noise, also with a border of one value, or in the last digits; a constant; nothing."""
    values = np.random.default_rng(0).normal(100, 5, 1000).astype(np.float32)
    border, digits = np.append(values, [0.0] * 3000), (1 + 1e-8 * values).astype(np.float32)
    assert value_steps([values, border, digits, np.full(9, 7.0), np.empty(0)]).tolist() == [0] * 5
