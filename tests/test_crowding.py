"""Crowded fields: theorems on blocks without their stars, and what that is good for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.crowding import is_crowded, reduce_without_stars
from skbgopt.datasets import SKY_KINDS
from skbgopt.model_selection._held_out import Preparations
from skbgopt.reduction import reduce_blocks

NOISE = np.array([1.0])


def starry(seed, share=0.1, shape=(32, 48), n_channels=1):
    """Noise of sigma 1 with stars in so many of its pixels."""
    rng = np.random.default_rng(seed)
    stars = rng.uniform(size=shape) < share
    light = rng.uniform(10, 1000, size=(*shape, 1))
    return rng.normal(100, 1, (*shape, n_channels)) + np.where(stars[:, :, None], light, 0)


@given(st.integers(0, 1000), st.sampled_from(["median", "mean"]))
def test_without_stars_a_block_is_reduced_as_ever(seed, func):
    """Where no pixel is brighter than 3 sigma."""
    values = np.clip(np.random.default_rng(seed).normal(0, 1, (16, 24, 1)), -2, 1)
    reduced, n_stars = reduce_without_stars(values, 8, func, NOISE)
    assert n_stars == 0
    np.testing.assert_array_equal(reduced, reduce_blocks(values, 8, func))


def test_a_star_and_the_pixels_around_it_are_left_out():
    """In its own block, not in the one beside."""
    values = np.zeros((8, 16, 1))
    values[3, 7] = 100
    values[2:5, 6:9] += 1
    reduced, n_stars = reduce_without_stars(values, 8, "mean", NOISE)
    assert n_stars == 6
    np.testing.assert_allclose(reduced[0, :, 0], [0, 3 / 64])


@given(st.integers(0, 1000), st.floats(1, 1e6))
def test_how_bright_a_star_is_does_not_matter(seed, factor):
    """What is left out has no say."""
    values = starry(seed)
    brighter = np.where(values > 105, values * factor, values)
    for each, same in zip(
        *(reduce_without_stars(image, 8, "median", NOISE) for image in (values, brighter)), strict=True
    ):
        np.testing.assert_array_equal(each, same)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-100, 100), st.sampled_from([1, 3]))
def test_units_and_flips_do_not_matter(seed, gain, offset, n_channels):
    """Blocks of a flipped image in other units are the flipped blocks in those units."""
    values, noise = starry(seed, n_channels=n_channels), np.ones(n_channels)
    reduced, n_stars = reduce_without_stars(values, 8, "median", noise)
    other, n_other = reduce_without_stars(gain * values[::-1, ::-1] + offset, 8, "median", gain * noise)
    assert n_other == n_stars > 0
    np.testing.assert_allclose(other, gain * reduced[::-1, ::-1] + offset, rtol=1e-9, atol=1e-7)


def test_a_block_full_of_stars_takes_no_part():
    """All its pixels count as left out."""
    values = np.zeros((8, 16, 1))
    # A star in the middle of each 3 x 3 pixels is nowhere the median.
    values[1:8:3, 1:8:3] = 100
    reduced, n_stars = reduce_without_stars(values, 8, "median", NOISE)
    assert n_stars == 64 and np.isnan(reduced[0, 0, 0]) and reduced[0, 1, 0] == 0
    # Beside this one three pixels are left.
    values[1, 1:3, 0] = 0, 100
    reduced, n_stars = reduce_without_stars(values, 8, "median", NOISE)
    assert n_stars == 64 and np.isnan(reduced[0, 0, 0])


def test_what_bright_stars_hide_is_found_beside_what_they_leave():
    """Columns of 4 sigma, below a median that brighter ones have raised."""
    values = np.repeat(np.array([0, 0, 4, 4, 20, 20, 20, 20.0])[None, :, None], 8, axis=0)
    reduced, n_stars = reduce_without_stars(values, 8, "median", NOISE)
    assert reduced[0, 0, 0] == 0 and n_stars == 7 * 8


def test_missing_pixels_are_no_stars_and_no_sky():
    """A block of NaN stays NaN, and none of its pixels is counted."""
    values = starry(0)
    values[:8] = np.nan
    values[8:16, :4] = np.nan
    reduced, n_stars = reduce_without_stars(values, 8, "median", NOISE)
    assert np.isnan(reduced[0]).all() and np.isfinite(reduced[1:]).all()
    assert 0 < n_stars < np.isfinite(values).sum()


@pytest.mark.parametrize("kind", SKY_KINDS)
def test_a_milky_way_is_crowded_and_no_other_sky_is(kind):
    """Seen in what the fit leaves out."""
    frame = make_sky_image(kind, shape=(240, 360), random_state=0)
    prepared = BackgroundSplineRegressor().prepare(frame.image, mask=frame.mask)
    assert ("stars" in prepared.excluded) == (kind == "milky_way")


@pytest.mark.parametrize("n_channels", [1, 3])
def test_noise_is_not_crowded(n_channels):
    """It shows on the dark side as much; nor is an image without noise, or without pixels."""
    values = np.random.default_rng(0).normal(0, 3, (160, 240, n_channels))
    assert not is_crowded([values], 8, "median", np.ones(n_channels))
    assert not is_crowded([values], 8, "median", np.zeros(n_channels))
    assert not is_crowded([np.full_like(values, np.nan)], 8, "median", np.ones(n_channels))


def test_only_fits_that_mask_objects_leave_stars_out():
    """The published fit takes all pixels."""
    image = make_sky_image("milky_way", shape=(160, 240), random_state=0).image
    for parameters in ({"mask_objects": False}, {"loss_scale": 1e-3}, {"solver": "adam"}):
        assert "stars" not in BackgroundSplineRegressor(**parameters).prepare(image).excluded
    assert BackgroundSplineRegressor(loss_scale=1e-3, mask_objects=True).prepare(image).excluded["stars"] > 0


def test_a_milky_way_is_met_better_without_its_stars(monkeypatch):
    """By a quarter at least, on average over three frames."""
    frames = [make_sky_image("milky_way", shape=(400, 600), random_state=seed) for seed in range(3)]

    def left():
        models = [BackgroundSplineRegressor(smoothing=1e-4).fit(frame.image, mask=frame.mask) for frame in frames]
        lefts = [
            gradient_left(model.predict(frame.image), frame.background, frame.mask)
            for model, frame in zip(models, frames, strict=True)
        ]
        return np.exp(np.log(lefts).mean())

    without_stars = left()
    monkeypatch.setattr("skbgopt.preparation.is_crowded", lambda *_: False)
    assert without_stars < 0.75 * left()


def test_the_level_of_a_milky_way_is_as_sure_as_it_says():
    """Off by less than three of its standard errors, which are less than a quarter of a pixel's noise."""
    for seed in range(3):
        frame = make_sky_image("milky_way", shape=(400, 600), random_state=seed)
        model = BackgroundSplineRegressor(smoothing=1e-3).fit(frame.image, mask=frame.mask)
        error = np.abs(np.median(model.predict(frame.image) - frame.background, axis=(0, 1)))
        assert (error < 3 * model.level_std_).all() and (model.level_std_ < 0.25 * frame.noise).all()


def test_a_search_masks_stars_for_the_settings_that_do():
    """It reduces a crowded image once with and once without, and any other once."""
    shared = [BackgroundSplineRegressor(), BackgroundSplineRegressor(loss_scale=1e-3)]
    for kind, crowded in (("milky_way", [True, False]), ("ha", [False, False])):
        preparations = Preparations(make_sky_image(kind, shape=(160, 240), random_state=0).image, None, None)
        prepared = [preparations.prepare(estimator) for estimator in shared]
        assert [each.crowded for each in prepared] == crowded
        assert (prepared[0].values is prepared[1].values) == (kind == "ha")


def test_copies_of_a_channel_are_crowded_as_one():
    """They are no less noisy together."""
    image = make_sky_image("milky_way", shape=(240, 360), random_state=0).image[:, :, :1]
    grey, copies = (BackgroundSplineRegressor().prepare(each) for each in (image, np.repeat(image, 3, axis=2)))
    assert grey.crowded
    np.testing.assert_allclose(copies.values[:, :, 1], grey.values[:, :, 0], rtol=1e-6)


def debayered(image):
    """The image behind a Bayer filter, each colour interpolated between its pixels."""
    row, column = np.indices(image.shape[:2]) % 2
    kernel, found = np.outer([1, 2, 1], [1, 2, 1]), []
    for c, seen in enumerate([row + column == 0, row + column == 1, row + column == 2]):
        near = convolve(np.where(seen, image[:, :, c], 0), kernel, mode="mirror")
        found.append(np.where(seen, image[:, :, c], near / convolve(seen.astype(float), kernel, mode="mirror")))
    return np.stack(found, axis=2)


def test_debayered_pixels_are_crowded_as_others():
    """Red and blue lie between their neighbours, and had no noise."""
    frame = make_sky_image("milky_way", shape=(240, 360), random_state=0)
    prepared = BackgroundSplineRegressor().prepare(debayered(frame.image))
    assert prepared.crowded
    np.testing.assert_allclose(prepared.noise, frame.noise, rtol=0.5)
