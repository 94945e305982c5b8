"""The standard error of a background."""

from copy import copy
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.folds import block_labels
from skbgopt.solvers import minimize_mm
from skbgopt.uncertainty import covariances
from tests.shared import quick


@pytest.fixture(scope="module")
def fitted(colour_frame):
    return quick().fit(colour_frame.image)


def test_a_standard_error_is_positive_finite_and_like_the_image(fitted, colour_frame, mono_frame):
    """Shape and dtype of X, for colour in float64, one channel in float32, and another size."""
    for model, image in (
        (fitted, colour_frame.image),
        (quick().fit(mono_frame.image), mono_frame.image),
        (fitted, np.ones((31, 57, 3))),
    ):
        background, std = model.predict(image, return_std=True)
        assert std.shape == background.shape == image.shape
        assert std.dtype == background.dtype == image.dtype
        assert np.isfinite(std).all()
        assert (std > 0).all()
        np.testing.assert_array_equal(background, model.predict(image))


def test_the_variance_of_the_level_is_a_part_of_it(fitted, colour_frame):
    """Of a level that is three times as uncertain the rest of the variance is the same."""
    model, level = copy(fitted), fitted.level_std_
    model.level_std_ = 3 * level
    (_, std), (_, larger) = (each.predict(colour_frame.image, return_std=True) for each in (fitted, model))
    assert (std > level).all()
    np.testing.assert_allclose(larger**2 - std**2, np.broadcast_to(8 * level**2, std.shape), rtol=0.02)


def test_a_saved_model_knows_its_standard_error(fitted, colour_frame, tmp_path):
    """It is that of the model saved, to the last digit."""
    fitted.save(tmp_path / "model.npz")
    again = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    for ours, theirs in zip(*(m.predict(colour_frame.image, return_std=True) for m in (fitted, again)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_adam_has_no_standard_error(mono_frame, tmp_path):
    """One sentence says so, and what to do; before and after saving."""
    model = quick(solver="adam", smoothing=0, max_iter=3).fit(mono_frame.image)
    model.save(tmp_path / "model.npz")
    for estimator in (model, BackgroundSplineRegressor.load(tmp_path / "model.npz")):
        with pytest.raises(ValueError, match="fit it with solver='mm'"):
            estimator.predict(mono_frame.image, return_std=True)


def test_the_noise_is_that_of_a_block_bootstrap():
    """Refits with the blocks of the image weighted at random scatter as the sandwich says.

    On a field of stars, whose residuals hang together; the smoothing held fixed.
    """
    frame = make_sky_image("sii", (320, 480), random_state=3)
    model = quick(n_control_points=25, smoothing=1e-3)
    caught = {}
    with mock.patch("skbgopt.fitting.covariances", lambda *given: (caught.update(given=given), covariances(*given))[1]):
        model.fit(frame.image)
    problem, basis, y, x, loss, coef = caught["given"]
    noise, _ = covariances(problem, basis, y, x, loss, coef)
    points = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    design = basis.design(torch.from_numpy(points.reshape(-1, 2)))
    exact = replace(problem, design=design, sample=None).to(torch.float64)
    labels, (n_rows, n_columns) = block_labels(len(y), len(x), 10)
    rng, found = np.random.default_rng(0), []
    for _ in range(80):
        # The Bayesian bootstrap: each block counts as much as a waiting time.
        share = torch.from_numpy(rng.exponential(size=n_rows * n_columns)[labels].reshape(-1, 1))
        found.append(minimize_mm(replace(exact, weights=exact.weights * share), loss, coef, max_iter=60).coef[:, 0])
    scatter = np.cov(torch.stack(found, dim=1).numpy())
    inner = basis.design(torch.from_numpy(points[4:-4, 4:-4].reshape(-1, 2))).numpy()
    stds = [np.sqrt(((inner @ covariance) * inner).sum(axis=1)) for covariance in (noise[0], scatter)]
    assert np.mean(stds[0]) / np.mean(stds[1]) == pytest.approx(1, abs=0.25)
    assert np.corrcoef(*stds)[0, 1] > 0.5


def test_a_loss_without_curvature_has_finite_covariances(mono_frame):
    """Where no pixel says how well it fits, as one without noise far from the model, the inverse is singular."""
    model, caught = quick(n_control_points=25, smoothing=1e-3), {}
    with mock.patch("skbgopt.fitting.covariances", lambda *given: caught.update(given=given) or covariances(*given)):
        model.fit(mono_frame.image)
    problem, basis, y, x, loss, coef = caught["given"]
    for part in covariances(replace(problem, values=torch.full_like(problem.values, 1e15)), basis, y, x, loss, coef):
        assert np.isfinite(part).all()


def bare_sky(seed):
    """A curved sky under normal noise, and that sky."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, 240), np.linspace(-1.5, 1.5, 360), indexing="ij")
    tilt = rng.normal(size=4)
    sky = 100 + 3 * np.sin(1.5 * x + tilt[0]) + 2 * np.cos(2 * y + tilt[1]) + tilt[2] * x * y + tilt[3] * y
    return sky + rng.standard_normal(sky.shape), sky


def test_the_standard_error_covers_two_thirds():
    """Of the true errors of bare skies, their level included."""
    covered = []
    for seed in range(10):
        image, sky = bare_sky(seed)
        model = quick(n_control_points=36, smoothing=1e-4, alpha=1.0).fit(image)
        background, std = model.predict(image, return_std=True)
        covered.append(np.mean(np.abs(background - sky) <= std))
    assert 0.5 < np.mean(covered) < 0.85, covered


@pytest.mark.parametrize("shape", [(64, 64), (96, 128), (200, 300)])
def test_the_level_of_a_small_image_is_as_sure_as_it_says(shape):
    """Of slopes, with the default parameters: it was ten to two hundred times less sure."""
    ratios = []
    for seed in range(200, 203):
        slope = 100 + np.linspace(0, seed - 199, shape[1]) * np.ones(shape)
        image = slope + np.random.default_rng(seed).standard_normal(shape)
        model = BackgroundSplineRegressor().fit(image)
        ratios.append(np.median(model.predict(image) - slope) / model.level_std_[0])
    assert 0.2 < np.sqrt(np.mean(np.square(ratios))) < 2


def test_a_small_nebula_leaves_the_level_alone():
    """Where it fills the frame its light is no light of faint stars, which pushed the level down by up to 93 sigma."""
    for seed in range(200, 203):
        frame = make_sky_image("ha", shape=(96, 128), random_state=seed)
        model = BackgroundSplineRegressor().fit(frame.image)
        error = np.median(model.predict(frame.image) - frame.background)
        assert abs(error) < 4 * model.block_noise_[0]


def test_what_a_stiff_model_misses_is_a_part_of_it():
    """On a sky that bends, a model that may not is less sure than its noise alone would have it."""
    y, x = np.mgrid[:160, :240] / 120 - 1
    sky = 1000 + 40 * np.sin(3 * x) * np.cos(3 * y) + np.random.default_rng(0).normal(0, 3, x.shape)
    model = quick(smoothing=0.1, downscale_factor=4)
    _, std = model.fit(sky).predict(sky, return_std=True)
    with mock.patch("skbgopt.fitting.covariances", lambda *given: (covariances(*given)[0], 0 * covariances(*given)[1])):
        _, of_noise = model.fit(sky).predict(sky, return_std=True)
    assert (std >= 0.999 * of_noise).all()
    assert np.median(std) > 1.1 * np.median(of_noise)


def test_the_standard_error_is_larger_where_less_is_seen(colour_frame):
    """In the middle of a masked half it is more than twice that of the other half."""
    mask = np.zeros(colour_frame.image.shape[:2], dtype=bool)
    mask[:, 180:] = True
    _, std = quick().fit(colour_frame.image, mask=mask).predict(colour_frame.image, return_std=True)
    assert (std[60:180, 260:280].mean(axis=(0, 1)) > 2 * std[60:180, 60:120].mean(axis=(0, 1))).all()


def test_the_standard_error_has_the_units_of_the_image(mono_frame):
    """It scales with them, an offset does not change it, and it is flipped with the image.

    But for the blocks that its residuals are summed over, which do not lie the same in the flipped image.
    """
    image = mono_frame.image.astype(float)
    _, std = quick().fit(image).predict(image, return_std=True)
    for other, expected in ((1000 * image, 1000 * std), (image + 5, std), (image[::-1], std[::-1])):
        _, found = quick().fit(other).predict(other, return_std=True)
        np.testing.assert_allclose(found, expected, rtol=0.15)


@pytest.mark.parametrize("scale", [1e-50, 1e40])
def test_the_standard_error_is_in_the_range_of_float64(scale):
    """Where float32 ends, too."""
    image, _ = bare_sky(0)
    _, std = quick().fit(image).predict(image, return_std=True)
    _, found = quick().fit(scale * image).predict(scale * image, return_std=True)
    np.testing.assert_allclose(found, scale * std, rtol=1e-3)


def test_more_noise_is_a_larger_standard_error():
    """In proportion, or less: some of it is what the smoothing hides of the sky."""
    image, sky = bare_sky(0)
    few, many = (
        quick(n_control_points=36, smoothing=1e-4).fit(noisy).predict(noisy, return_std=True)[1]
        for noisy in (image, sky + 4 * (image - sky))
    )
    assert 1.5 < np.median(many) / np.median(few) < 6


def test_the_published_units_have_a_standard_error(mono_frame):
    """In the stretched range as well, of the order of that of the linear fit."""
    linear, stretched = (
        quick(loss_scale=scale, smoothing=1e-4).fit(mono_frame.image).predict(mono_frame.image, return_std=True)[1]
        for scale in ("noise", 0.001)
    )
    assert 0.2 < np.median(stretched) / np.median(linear) < 20
