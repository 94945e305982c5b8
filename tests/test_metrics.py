"""Measures of a background."""

import numpy as np
import pytest

from skbgopt import gradient_left
from skbgopt.masks import PixelSelection
from skbgopt.metrics import background_r2, channel_statistics, sky_loss


@pytest.fixture
def truth():
    """A sky of two channels that is not constant."""
    y, x = np.mgrid[:40, :64]
    return np.stack([100 + x + y**2 / 40, 50 - 0.5 * x], axis=2)


def test_nothing_is_left_of_a_perfect_model(truth):
    """The truth leaves nothing, nor does it with another constant in each channel."""
    assert gradient_left(truth, truth) == 0
    assert gradient_left(truth + np.array([5, -7]), truth) == pytest.approx(0, abs=1e-12)


def test_everything_is_left_of_a_constant_model(truth):
    """A constant background removes nothing."""
    assert gradient_left(np.zeros_like(truth), truth) == pytest.approx(1)


def test_half_a_gradient_leaves_half(truth):
    """The measure is linear in the error, and does not depend on the units."""
    assert gradient_left(truth / 2, truth) == pytest.approx(0.5)
    assert gradient_left(500 * truth, 1000 * truth) == pytest.approx(0.5)


def test_masked_pixels_do_not_count(truth):
    """True = left out."""
    mask = np.zeros(truth.shape[:2], bool)
    mask[5:9] = True
    wrong = truth.copy()
    wrong[mask] = 1e9
    assert gradient_left(wrong, truth, mask) == 0
    assert gradient_left(wrong, truth) > 1


def test_a_constant_truth_has_no_gradient():
    """Without a gradient there is no share of it."""
    assert gradient_left(np.ones((4, 4)), np.ones((4, 4))) == float("inf")


def test_r2_of_a_background(truth):
    """1 for the truth, 0 for each channel's mean, negative for worse."""
    selection = PixelSelection.from_input(np.ones_like(truth), None, None, None, "the test")
    mean = truth.mean(axis=(0, 1)) * np.ones_like(truth)
    assert background_r2(selection, truth, truth) == 1
    assert background_r2(selection, mean, truth) == pytest.approx(0)
    assert background_r2(selection, -truth, truth) < 0


def test_r2_of_a_constant_background():
    """Without a variance to explain it is 1 for the truth and 0 for all else."""
    flat = np.full((9, 9), 5.0)
    selection = PixelSelection.from_input(flat, None, None, None, "the test")
    assert background_r2(selection, flat, flat) == 1
    assert background_r2(selection, flat + 1, flat) == 0


def test_scores_need_a_pixel_and_the_shape_of_the_image(truth):
    """Everything masked, and a truth of another shape, are errors that say so."""
    nothing = PixelSelection.from_input(truth, np.ones(truth.shape[:2], bool), None, None, "the test")
    with pytest.raises(ValueError, match="No pixel is usable"):
        background_r2(nothing, truth, truth)
    with pytest.raises(ValueError, match="No pixel is usable"):
        sky_loss(nothing, truth)
    with pytest.raises(ValueError, match=r"shape of the image \(40, 64, 2\), got \(40, 64\)"):
        background_r2(nothing, truth, truth[:, :, 0])


def loss_of(image, background, **given):
    """sky_loss of an image."""
    selection = PixelSelection.from_input(image, given.get("mask"), given.get("sample_weight"), 0, "test")
    return sky_loss(selection, background)


def test_sky_loss_of_the_truth_is_that_of_noise(mono_frame):
    """The true background costs little, none more than 1, and every error costs more."""
    image, sky = mono_frame.image, mono_frame.background
    losses = [loss_of(image, sky + error * mono_frame.noise[0]) for error in (0, 0.5, 2, 1e4)]
    assert losses == sorted(losses)
    assert 0 < losses[0] < 0.5
    assert losses[-1] == pytest.approx(1)


def test_sky_loss_of_whole_numbers_is_that_of_noise():
    """Noise of half a unit, rounded, is as near to its sky."""
    sky = np.broadcast_to(np.linspace(100, 105, 480), (320, 480))
    image = sky + np.random.default_rng(0).normal(0, 0.5, sky.shape)
    assert loss_of(np.rint(image).astype(np.uint16), sky) < 1.3 * loss_of(image, sky)


def test_sky_loss_has_no_units(mono_frame):
    """Image and background in other units cost the same."""
    image, sky = mono_frame.image.astype(float), mono_frame.background.astype(float)
    assert loss_of(65535 * image, 65535 * sky) == pytest.approx(loss_of(image, sky), rel=1e-9)


def test_sky_loss_does_not_see_masked_pixels(mono_frame):
    """Neither masked values nor those of weight 0 count."""
    mask = np.zeros(mono_frame.image.shape, bool)
    mask[:40] = True
    spoiled = np.where(mask, 1e6, mono_frame.image)
    expected = loss_of(mono_frame.image, mono_frame.background, mask=mask)
    assert loss_of(spoiled, mono_frame.background, mask=mask) == expected
    assert loss_of(spoiled, mono_frame.background, sample_weight=~mask) == expected


def test_channel_statistics():
    """Minimum, median and maximum of the finite values of each channel."""
    image = np.array([[[3.0, 1], [1, np.nan], [2, 5]]])
    np.testing.assert_array_equal(channel_statistics(image), [[1, 1], [2, 5], [3, 5]])
    np.testing.assert_array_equal(channel_statistics(np.full((2, 2), np.nan)), np.full((3, 1), np.nan))
    np.testing.assert_array_equal(channel_statistics(np.array([[1, 2, 9]], dtype=np.uint16)), [[1], [2], [9]])
