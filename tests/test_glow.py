"""Glows are fitted in units in which they bend less (`skbgopt.stretch.AsinhCurve`), strong ones with a wider loss."""

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, gradient_left, stages, stretch
from skbgopt.stretch import AsinhCurve, LinearCurve

SHAPE = (400, 600)
SIGMA = 10.0


def frame(sky, seed=0):
    """A sky with noise, and the sky."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 400
    truth = 1000 + sky(y, x)
    return truth + np.random.default_rng(seed).normal(0, SIGMA, SHAPE), truth


def town(y, x):
    """The glow of a town beyond a corner, of a hundred times the noise."""
    distance = np.hypot(y - 1.1, x - 1.6)
    return 1000 * np.exp(-(distance - 0.15) / 0.25)


def plane(y, x):
    """A plane of a hundred times the noise."""
    return 600 * x + 200 * y


@pytest.fixture(scope="module")
def model():
    """Fitted to the glow of a town, and its true sky."""
    image, truth = frame(town)
    return BackgroundSplineRegressor().fit(image), image, truth


def test_a_glow_is_found_and_a_plane_is_none(model):
    """The units are bent for the one and straight for the other."""
    assert type(model[0].curve_) is AsinhCurve
    assert type(BackgroundSplineRegressor().fit(frame(plane)[0]).curve_) is LinearCurve


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_a_bowl_is_no_glow(tilt):
    """A parabola whose edges are bright (a flat that corrects too much) is most exact in straight units."""
    image, truth = frame(lambda y, x: 2000 * ((x - 0.7) ** 2 + (y - 0.55) ** 2 + tilt * x))
    model = BackgroundSplineRegressor().fit(image)
    assert type(model.curve_) is LinearCurve
    assert gradient_left(model.predict(image), truth) < 0.01


def test_bent_units_halve_what_is_left_of_a_glow(model, monkeypatch):
    """Half at most of what straight units leave of it."""
    estimator, image, truth = model
    monkeypatch.setattr(stretch, "_GLOW_RATIO", np.inf)
    straight = BackgroundSplineRegressor().fit(image)
    assert type(straight.curve_) is LinearCurve
    left = [gradient_left(each.predict(image), truth) for each in (estimator, straight)]
    assert left[0] < 0.5 * left[1]


def test_a_strong_gradient_is_no_object(monkeypatch):
    """A spline misses glows of 4000 sigma by more than the noise: a loss that knows leaves half at most."""
    image, truth = frame(lambda y, x: 4000 * (np.exp((x - 1.5) / 0.4) + np.exp(-y / 0.4)))
    models = [BackgroundSplineRegressor().fit(image)]
    monkeypatch.setattr(stages, "_STRONG", np.inf)
    models.append(BackgroundSplineRegressor().fit(image))
    wide, narrow = (gradient_left(model.predict(image), truth) for model in models)
    assert wide < 0.5 * narrow
    assert models[0].object_mask_.mean() < 0.05


def test_the_level_of_the_dark_sky_is_right(model):
    """Where the glow is faint the background is right to a tenth of the noise in the mean."""
    estimator, image, truth = model
    dark = truth < np.median(truth)
    assert abs((estimator.predict(image) - truth)[dark].mean()) < 0.1 * SIGMA


def test_the_standard_error_grows_with_the_glow(model):
    """Where the units are bent most an error in them is more light."""
    estimator, image, truth = model
    _, std = estimator.predict(image, return_std=True)
    assert (std > 0).all()
    assert std[truth > np.quantile(truth, 0.99)].mean() > std[truth < np.median(truth)].mean()


def test_a_glow_is_saved_and_loaded(model, tmp_path):
    """The knee goes with the model."""
    estimator, image, _ = model
    estimator.save(tmp_path / "glow.npz")
    again = BackgroundSplineRegressor.load(tmp_path / "glow.npz")
    np.testing.assert_array_equal(again.predict(image), estimator.predict(image))


@pytest.mark.parametrize("solver", ["mm", "adam"])
def test_the_published_fit_has_the_units_of_the_stretch(solver):
    """Where stretched values are fitted there is no other curve."""
    published = BackgroundSplineRegressor(smoothing=0.0, loss_scale=1e-3, solver=solver, max_iter=3)
    with pytest.warns():
        assert published.fit(frame(town)[0]).curve_ is published.stretch_
