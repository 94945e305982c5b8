"""Masks of extended objects."""

import numpy as np
import pytest

from skbgopt.objects import sky_weights

SHAPE = (40, 60)


def object_mask(residual, usable):
    """What is more object than sky."""
    weights = np.repeat(usable[:, :, None], residual.shape[2], axis=2)
    return (sky_weights(residual, weights) < 0.5) & usable


def sky(n_channels=1, seed=0):
    """Residuals that are nothing but noise of 1 sigma."""
    return np.random.default_rng(seed).normal(size=(*SHAPE, n_channels))


@pytest.fixture
def nebula():
    """A faint round nebula of 1.5 sigma on the sky, and where it is."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = (y - 15) ** 2 + (x - 40) ** 2 < 64
    return sky()[:, :, 0] + 1.5 * inside, inside


def test_noise_is_no_object():
    """At most 2 % of a bare sky is masked."""
    masked = [object_mask(sky(seed=k), np.ones(SHAPE, bool)).mean() for k in range(5)]
    assert np.mean(masked) < 0.02


def test_a_nebula_too_faint_for_a_single_pixel_is_found(nebula):
    """Coherent light of 1.5 sigma is masked for the greater part, and little else is."""
    residual, inside = nebula
    found = object_mask(residual[:, :, None], np.ones(SHAPE, bool))
    assert found[inside].mean() > 0.9
    assert found[~inside].mean() < 0.15


def test_an_object_in_any_channel_is_an_object(nebula):
    """The mask of three channels holds that of each."""
    residual, inside = nebula
    channels = np.stack([sky(seed=5)[:, :, 0], residual, sky(seed=6)[:, :, 0]], axis=2)
    assert object_mask(channels, np.ones(SHAPE, bool))[inside].mean() > 0.9


def test_holes_are_no_objects():
    """A dark cloud, which takes light away, is not masked."""
    residual = sky()
    residual[10:20, 10:20] -= 5
    assert not object_mask(residual, np.ones(SHAPE, bool))[10:20, 10:20].any()


def test_only_usable_pixels_are_masked(nebula):
    """What is not usable is not in the mask and its value does not matter."""
    residual, _ = nebula
    usable = np.ones(SHAPE, bool)
    usable[:, :12] = False
    usable[14:17, 39:42] = False
    first = object_mask(residual[:, :, None], usable)
    residual[~usable] = 1e9
    np.testing.assert_array_equal(object_mask(residual[:, :, None], usable), first)
    assert not first[~usable].any()


@pytest.mark.parametrize(("side", "margin"), [(100, 4), (99, 3), (75, 3), (74, 2), (30, 2)])
def test_an_object_has_a_margin(side, margin):
    """Of four blocks, fewer on small images, around the windows in which it shows."""
    residual = np.zeros((side, side))
    residual[side // 2, side // 2] = 1e3
    found = object_mask(residual[:, :, None], np.ones((side, side), bool))
    assert np.count_nonzero(found[side // 2]) == 2 * (margin + 2) + 1


def test_the_mask_flips_and_turns_with_the_image(nebula):
    """Flips and the transposition of the residuals do the same to the mask."""
    residual, _ = nebula
    usable = np.ones(SHAPE, bool)
    expected = object_mask(residual[:, :, None], usable)
    for change in (np.flipud, np.fliplr, np.transpose):
        turned = object_mask(change(residual)[:, :, None], change(usable))
        np.testing.assert_array_equal(turned, change(expected))


def test_what_hardly_counts_is_not_the_sky(nebula):
    """A dark half of the frame of weight 0.01 does not make an object of the other half."""
    residual, _ = nebula
    weights = np.ones((*SHAPE, 1))
    weights[:, :20] = 0.01
    dark = residual - np.where(weights[:, :, 0] < 1, 15, 0)
    expected = object_mask(residual[:, :, None], np.ones(SHAPE, bool))
    found = sky_weights(dark[:, :, None], weights) < 0.5
    assert np.mean(found[:, 24:] == expected[:, 24:]) > 0.95
    assert (sky_weights(dark[:, :, None], np.ones_like(weights)) < 0.5)[:, 24:].all()


def test_what_one_channel_does_not_see_is_no_object_in_it(nebula):
    """Whatever its value there, the other channels say what is."""
    residual, _ = nebula
    both = np.stack([residual, sky(seed=5)[:, :, 0]], axis=2)
    weights = np.ones_like(both)
    weights[:, :30, 1] = 0
    both[:, :30, 1] = 1e9
    expected = object_mask(residual[:, :, None], np.ones(SHAPE, bool))
    assert np.mean((sky_weights(both, weights) < 0.5) == expected) > 0.95
