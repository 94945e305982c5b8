"""Dust that fills the frame: how rough an image is, when that is dust, and what it is good for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.cli._report import modeling
from skbgopt.datasets import SKY_KINDS
from skbgopt.model_selection._held_out import Preparations
from skbgopt.texture import calm_sky, roughness

EVERYWHERE = np.ones((90, 120), dtype=bool)


def noise(seed, n_channels=1, shape=(90, 120)):
    """A sky of sigma 1."""
    return np.random.default_rng(seed).normal(size=(*shape, n_channels))


@given(st.integers(0, 100), st.sampled_from([1, 3]))
def test_noise_is_1_rough(seed, n_channels):
    """In the middle, whatever the number of channels; a plane on it changes hardly anything."""
    sky = noise(seed, n_channels)
    plane = np.linspace(0, 20, 120)[:, None]
    for image in (sky, sky + plane):
        assert np.median(roughness(image, EVERYWHERE)) == pytest.approx(1, abs=0.2)


@given(st.integers(0, 100), st.floats(-100, 100))
def test_a_level_makes_nothing_rough(seed, level):
    """Nor does what lies where nothing is usable."""
    sky = noise(seed)
    np.testing.assert_allclose(roughness(sky + level, EVERYWHERE), roughness(sky, EVERYWHERE), atol=1e-9)
    usable = EVERYWHERE.copy()
    usable[:20] = False
    sky[:20] = np.nan
    other = np.where(usable[:, :, None], sky, 1e6)
    np.testing.assert_array_equal(roughness(sky, usable), roughness(other, usable))


def test_stars_make_nothing_rough():
    """One block in ten holds one."""
    sky = noise(0)
    starry = sky + np.where(np.random.default_rng(1).uniform(size=sky.shape) < 0.1, 100, 0)
    assert np.median(roughness(starry, EVERYWHERE)) < 1.5
    assert calm_sky(starry, EVERYWHERE) is None


@pytest.mark.parametrize("width", [1.5, 3.0])
def test_noise_that_hangs_together_is_no_dust(width):
    """Though it is many times as rough as noise that does not: it is as rough everywhere."""
    mottled = noise(0) + 40 * gaussian_filter(noise(1), (width, width, 0))
    assert np.quantile(roughness(mottled, EVERYWHERE), 0.25) > 2
    assert calm_sky(mottled, EVERYWHERE) is None


def test_where_it_is_smooth_it_counts_most():
    """A patch of sky in the middle of clouds."""
    rng = np.random.default_rng(0)
    clouds = np.kron(rng.normal(size=(15, 20)), np.ones((6, 6))) * 20
    clouds[30:60, 40:80] = 0
    calm = calm_sky(noise(0) + clouds[:, :, None], EVERYWHERE)
    assert calm[40:50, 55:65].min() > 0.5
    assert np.median(calm[:15]) < 0.01
    assert (calm > 0).all()


@pytest.mark.filterwarnings("ignore::skbgopt.diagnosis.BackgroundWarning")
@pytest.mark.parametrize(("kind", "rows", "seed"), [("landscape", 120, 3), ("milky_way", 400, 2)])
def test_hills_of_small_frames_and_crowds_of_stars_are_no_dust(kind, rows, seed):
    """Though they are as rough and as uneven."""
    frame = make_sky_image(kind, shape=(rows, rows * 3 // 2), random_state=seed)
    model = BackgroundSplineRegressor(smoothing=1e-3).fit(frame.image, mask=frame.mask)
    assert model._units.calm is None


@pytest.mark.filterwarnings("ignore::skbgopt.diagnosis.BackgroundWarning")
@pytest.mark.parametrize("rows", [120, 240])
@pytest.mark.parametrize("kind", SKY_KINDS)
def test_dust_fills_the_frames_of_that_kind_alone(kind, rows):
    """Of small frames nobody can tell."""
    frame = make_sky_image(kind, shape=(rows, rows * 3 // 2), random_state=0)
    model = BackgroundSplineRegressor(smoothing=1e-3).fit(frame.image, mask=frame.mask)
    assert (model._units.calm is not None) == (kind == "dust" and rows > 224)


def test_less_of_a_gradient_is_left_among_dust():
    """Less than half of what is left where no objects are masked."""
    frame = make_sky_image("dust", shape=(480, 720), random_state=2)
    masked, plain = (
        gradient_left(model.fit(frame.image).predict(frame.image), frame.background)
        for model in (BackgroundSplineRegressor(mask_objects=mask, smoothing=1e-2) for mask in (True, False))
    )
    assert masked < 0.5 * plain


def test_among_dust_the_smoothing_is_no_choice():
    """One that is set is kept; "auto" is a stiff one."""
    image = make_sky_image("dust", shape=(320, 480), random_state=0).image
    models = [BackgroundSplineRegressor(smoothing=each).fit(image) for each in (1e-4, "auto")]
    assert [model.smoothing_ for model in models] == [1e-4, 1e-2]
    assert [model.smoothing_path_ for model in models] == [None, None]
    assert "Smoothing: 0.01 (as dust fills the frame)" in modeling(models[1], 1.0)
    assert "Smoothing: 0.0001" in modeling(models[0], 1.0)


def test_trials_know_where_the_sky_is_calm():
    """A fit of what an earlier one has found is that fit; one that masks no objects takes no notice of it."""
    image = make_sky_image("dust", shape=(320, 480), random_state=0).image
    model = BackgroundSplineRegressor(smoothing=1e-3)
    preparations = Preparations(image, None, None)
    preparations.units = model.fit(image)._units
    prepared = preparations.prepare(model, thinned=True)
    known, found = (
        BackgroundSplineRegressor(smoothing=1e-3).fit_prepared(each)
        for each in (prepared, replace(prepared, units=None))
    )
    np.testing.assert_array_equal(known.coef_, found.coef_)
    assert BackgroundSplineRegressor(smoothing=1e-3, mask_objects=False).fit_prepared(prepared)._units.calm is None
