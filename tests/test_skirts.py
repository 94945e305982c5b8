"""Skirts: the faint light around objects is no background."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skbgopt import BackgroundSplineRegressor, gradient_left, halos, objects, skirts
from skbgopt.control_points import grid_control_points
from skbgopt.losses import BackgroundLoss
from skbgopt.skirts import blurred_objects, fit_skirts
from skbgopt.solvers import MMProblem, minimize_mm
from skbgopt.splines import spline_basis

SHAPE = (400, 600)
SIGMA = 10.0


def frame(light, seed=0):
    """A plane with noise and an object, and the plane."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 200 - 1
    sky = 1000 + 30 * x - 20 * y
    return sky + light(y, x) + np.random.default_rng(seed).normal(0, SIGMA, SHAPE), sky


def galaxy(y, x):
    """A bright galaxy with a halo that falls off by half in a tenth of the frame's height."""
    radius = np.hypot(y - 0.1, x - 0.4)
    return 300 * np.exp(-radius / 0.08) + 30 * np.exp(-radius / 0.15)


def nothing(y, x):
    """No object."""
    return 0 * y


def model_of(image, **parameters):
    """The model at a smoothing that could follow the halo."""
    return BackgroundSplineRegressor(smoothing=1e-3, **parameters).fit(image)


def test_a_halo_is_no_background(monkeypatch):
    """Three quarters at most of what the halo put into the background without skirts is left with them."""
    monkeypatch.setattr(halos, "_MOST", 0.0)
    left = []
    for brightest in (0.0, skirts._BRIGHTEST):
        monkeypatch.setattr(skirts, "_BRIGHTEST", brightest)
        images = [frame(galaxy, seed) for seed in range(3)]
        left.append(np.mean([gradient_left(model_of(image).predict(image), sky) for image, sky in images]))
    assert left[1] < 0.75 * left[0]


def test_a_sky_without_objects_has_no_skirts(monkeypatch):
    """The background of a bare sky is the same, to a hundredth of the noise, as if there were no such thing."""
    image, _ = frame(nothing)
    found = model_of(image).predict(image)
    monkeypatch.setattr(skirts, "_BRIGHTEST", 0.0)
    np.testing.assert_allclose(found, model_of(image).predict(image), atol=0.01 * SIGMA)


def test_without_masks_of_objects_there_are_no_skirts(monkeypatch):
    """Where objects are not looked for, nothing is taken off around them."""
    image, _ = frame(galaxy)
    found = model_of(image, mask_objects=False).predict(image)
    monkeypatch.setattr(skirts, "_BRIGHTEST", 0.0)
    np.testing.assert_array_equal(found, model_of(image, mask_objects=False).predict(image))


@pytest.mark.parametrize("change", [np.flipud, np.fliplr, np.transpose])
def test_skirts_flip_and_turn_with_the_image(change):
    """A frame that is turned has the same background, turned."""
    image, _ = frame(galaxy)
    expected = change(model_of(image).predict(image))
    turned = np.ascontiguousarray(change(image))
    np.testing.assert_allclose(model_of(turned).predict(turned), expected, atol=0.01 * SIGMA)


def test_an_even_field_of_objects_has_an_even_skirt():
    """Up to the edges and around pixels that are not usable."""
    usable = np.ones((40, 60), bool)
    usable[10:20, 30:45] = False
    maps = blurred_objects(np.full((40, 60, 2), 3.0), np.ones((40, 60)), usable)
    np.testing.assert_allclose(maps[3:-3, 3:25], maps[5, 5, 0], rtol=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_skirts_only_add_light(sign):
    """A rim that is brighter by a tenth of the objects' light has skirts, one that is darker has none."""
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, 40), np.linspace(-0.75, 0.75, 60), indexing="ij")
    points = torch.from_numpy(np.stack([y, x], axis=-1).reshape(-1, 2))
    corners = (np.array([-0.5, -0.75]), np.array([0.5, 0.75]))
    basis = spline_basis(torch.from_numpy(grid_control_points(16, *corners)), points, 4, 2)
    maps = np.stack([5 * np.exp(-(y**2 + x**2) / width).ravel() for width in (0.02, 0.08)], axis=1)
    noise = np.random.default_rng(0).normal(0, 0.1, len(maps))
    values = torch.from_numpy((noise + sign * 0.1 * maps[:, 1])[:, None])
    loss = BackgroundLoss(eps=2.0, floor=False, rounding=0.1)
    problem = MMProblem(basis.design(points), basis.energies, values, torch.ones_like(values), 10.0)
    settings = SimpleNamespace(max_iter=500, tol=1e-7)
    factors = fit_skirts(problem, maps, np.ones(len(maps)), loss, minimize_mm(problem, loss), settings)
    assert (factors >= 0).all()
    assert (factors[1, 0] > 0.02) == (sign > 0)


def test_stars_have_no_skirts():
    """A lone bright pixel adds nothing to the maps."""
    residual = np.zeros((40, 60, 1))
    residual[20, 30] = 1e4
    assert not blurred_objects(residual, np.ones((40, 60)), np.ones((40, 60), bool)).any()


def test_what_is_not_usable_adds_nothing():
    """Whatever its value."""
    usable = np.ones((40, 60), bool)
    usable[:, :10] = False
    residual = np.full((40, 60, 1), 2.0)
    first = blurred_objects(residual, np.ones((40, 60)), usable)
    residual[~usable] = np.nan
    np.testing.assert_array_equal(blurred_objects(residual, np.ones((40, 60)), usable), first)


def test_maps_of_large_grids_are_made_on_thinned_ones(monkeypatch):
    """Within a twentieth of the brightest they are what the whole grid gives, of its shape, holes and all."""
    y, x = np.mgrid[:203, :333] / 203
    light = 6 * np.exp(-((y - 0.4) ** 2 + (x - 0.9) ** 2) / 0.02)
    residual = (light + np.random.default_rng(0).normal(size=light.shape))[:, :, None]
    usable = np.random.default_rng(1).random(light.shape) > 0.02
    thinned = blurred_objects(residual, (light > 1).astype(float), usable)
    monkeypatch.setattr(objects, "_ROWS", 1000)
    whole = blurred_objects(residual, (light > 1).astype(float), usable)
    assert thinned.shape == whole.shape == (203, 333, 2)
    assert 0 < np.abs(thinned - whole).max() < 0.05 * whole.max()
