"""The choice of the smoothing by held-out blocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt import smoothing as smoothing_module
from skbgopt.control_points import grid_control_points
from skbgopt.losses import BackgroundLoss
from skbgopt.smoothing import SMOOTHING_PATH, choose_smoothing, held_out_blocks, pixel_cost
from skbgopt.solvers import MMProblem, bending_penalty, minimize_mm
from skbgopt.splines import spline_basis
from skbgopt.stretch import LinearCurve

SHAPE = (160, 240)


def fitted_on(sky, seed=0, **parameters):
    """The estimator with smoothing="auto" on a sky in units of the noise of a block of 4 x 4."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    noise = np.random.default_rng(seed).normal(0, 3, SHAPE)
    image = 1000 + sky(y, x) + noise
    return BackgroundSplineRegressor(downscale_factor=4, n_control_points=36, **parameters).fit(image)


def plane(y, x):
    """A steep plane."""
    return 40 * x - 10 * y


def waves(y, x):
    """Hills and valleys of 20."""
    return 20 * np.sin(2.5 * x) * np.cos(3 * y)


def nebula(y, x):
    """A bright cloud that no sky should follow."""
    return 300 * np.exp(-((x - 0.2) ** 2 + (y + 0.3) ** 2) / 0.05)


def test_the_path_falls_from_stiff_to_free():
    """From almost a polynomial to almost free."""
    assert SMOOTHING_PATH[0] >= 1
    assert SMOOTHING_PATH[-1] <= 1e-6
    assert (np.diff(SMOOTHING_PATH) < 0).all()


def test_a_plane_is_no_reason_to_bend():
    """On a plane with noise the model stays within a tenth of the pixel noise of the plane."""
    model = fitted_on(plane)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    error = model.predict(np.zeros(SHAPE)) - plane(y, x) - 1000
    assert np.std(error) < 0.1 * 3


def test_waves_want_a_softer_model_than_a_plane():
    """On waves a stiff model explains less of the held-out sky, and is not taken."""
    assert fitted_on(waves).smoothing_ < fitted_on(plane).smoothing_


def test_waves_are_followed():
    """The rms error on waves is below a tenth of them."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    error = fitted_on(waves).predict(np.zeros(SHAPE)) - waves(y, x) - 1000
    assert np.std(error) < 0.1 * np.std(waves(y, x))


def test_a_nebula_is_not_followed():
    """On a plane with a bright nebula the model stays within one sigma of a pixel of the plane everywhere."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    error = fitted_on(lambda y, x: plane(y, x) + nebula(y, x)).predict(np.zeros(SHAPE)) - plane(y, x) - 1000
    assert np.ptp(error) < 3


def glow(y, x):
    """The light of a town beyond a corner, twenty times the noise."""
    return 60 / (1 + 2 * ((x - 1) ** 2 + (y - 0.3) ** 2)) ** 1.5


def test_a_glow_in_a_corner_is_no_object():
    """Of a steep glow a fifteenth is left at most, although a stiff model masks the corner and meets all else."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    assert gradient_left(fitted_on(glow).predict(np.zeros(SHAPE)), glow(y, x)) < 1 / 15
    stiff = fitted_on(glow, smoothing=1e-2)
    assert gradient_left(stiff.predict(np.zeros(SHAPE)), glow(y, x)) > 1 / 3
    assert stiff.object_mask_.mean() > 0.1


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_the_cost_of_a_pixel_saturates(residual, scale):
    """From 0 to 1, the same in any units, never falls with the distance, and is five times as much below."""
    cost, farther, opposite, scaled = (
        pixel_cost(np.array([value]), BackgroundLoss(eps=width))
        for value, width in ((residual, scale), (1.5 * residual, scale), (-residual, scale), (3 * residual, 3 * scale))
    )
    assert 0 <= cost <= farther <= 1
    np.testing.assert_allclose(scaled, cost, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(opposite, cost * (5 if residual > 0 else 0.2), atol=1e-12)


def path_of(values, weights, kept=slice(None), sky=None):
    """The scores of three smoothings on some pixels of a grid of 30 x 40."""
    axes = [(2 * np.arange(n) + 1 - n) / 40 for n in values.shape]
    corners = [np.array([axis[end] for axis in axes]) for end in (0, -1)]
    points = torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2))
    basis = spline_basis(torch.from_numpy(grid_control_points(16, *corners)), points, 4, 2)
    loss = BackgroundLoss(eps=2.0, floor=False, rounding=0.1)
    parts = (torch.from_numpy(part.reshape(-1, 1))[kept] for part in (values, weights))
    problem = MMProblem(basis.design(points)[kept], basis.energies, *parts, 0.0)
    problems = [replace(problem, penalty=bending_penalty(smoothing, loss, 1)) for smoothing in SMOOTHING_PATH[::3]]
    cuts = [(labels.ravel()[kept], folds) for labels, folds in held_out_blocks(values.shape)]
    solutions = [minimize_mm(problem, loss, tol=1e-9) for problem in problems]
    sky = np.ones(len(problem.values), dtype=bool) if sky is None else sky.ravel()
    curve = LinearCurve(np.zeros(1), np.ones(1))
    return choose_smoothing(SMOOTHING_PATH[::3], problems, solutions, problem.weights, sky, cuts, loss, curve).score


def test_pixels_that_do_not_count_are_not_judged():
    """With a weight of 0 on half of the pixels the scores are those of the other half."""
    values = np.random.default_rng(0).normal(size=(30, 40)) + np.linspace(0, 3, 40) ** 2
    counts = np.arange(30)[:, None] + np.zeros(40) < 15
    spoiled = np.where(counts, values, 50.0)
    expected = path_of(values, np.ones_like(values), torch.from_numpy(counts.ravel()))
    np.testing.assert_allclose(path_of(spoiled, counts.astype(float)), expected, rtol=1e-3)


def test_a_flipped_image_has_the_same_scores():
    """The two partitions of the blocks are exchanged, and both count."""
    values = np.random.default_rng(0).normal(size=(30, 40)) + np.linspace(0, 3, 40) ** 2
    everywhere = np.ones_like(values)
    np.testing.assert_allclose(path_of(values[:, ::-1].copy(), everywhere), path_of(values, everywhere), rtol=1e-3)


def test_only_the_sky_tells_how_far_models_go_astray():
    """Where there is none the first question alone decides; a spot that is no sky does not count for the second."""
    values = np.random.default_rng(0).normal(size=(30, 40)) + np.linspace(0, 3, 40) ** 2
    everywhere, spot = np.ones_like(values), np.zeros(values.shape, dtype=bool)
    spot[12:18, 15:25] = True
    dark = np.where(spot, values - 30, values)
    none, with_spot, without = (path_of(dark, everywhere, sky=sky) for sky in (everywhere < 1, everywhere > 0, ~spot))
    assert (none < with_spot).all() and (with_spot < without - 0.1).all()


def test_a_model_that_goes_astray_is_not_taken(monkeypatch):
    """In place of one that foresees as much and leaves half: nothing but the larger blocks tells them apart."""
    frame = make_sky_image("sii", (400, 600), random_state=154)
    left = []
    for share in (smoothing_module._ASTRAY.share, 0.0):
        judgements = (smoothing_module._FORESEEN, replace(smoothing_module._ASTRAY, share=share))
        monkeypatch.setattr(smoothing_module, "_JUDGEMENTS", judgements)
        model = BackgroundSplineRegressor().fit(frame.image)
        left.append(gradient_left(model.predict(frame.image), frame.background))
    assert left[0] < 0.5 * left[1]


def test_the_choice_is_a_fit_at_that_number():
    """The automatic choice gives what its number gives, to the last digit."""
    model = fitted_on(waves)
    fixed = fitted_on(waves, smoothing=model.smoothing_)
    np.testing.assert_array_equal(fixed.predict(np.zeros(SHAPE)), model.predict(np.zeros(SHAPE)))


@pytest.mark.parametrize(("least", "side_by_side"), [(0, True), (10**9, False)])
def test_the_fits_of_a_path_run_side_by_side(monkeypatch, least, side_by_side):
    """But not on small images, where threads would wait for each other."""
    seen = []

    def record(function, items):
        seen.append(len(items))
        return list(map(function, items))

    monkeypatch.setattr("skbgopt.stages.thread_map", record)
    monkeypatch.setattr("skbgopt.stages._LEAST_THREADED", least)
    fitted_on(plane)
    assert (len(SMOOTHING_PATH) in seen) == side_by_side


def test_the_number_of_threads_changes_nothing(monkeypatch):
    """Fits of a path run side by side, each on one thread."""
    monkeypatch.setattr("skbgopt.stages._LEAST_THREADED", 0)
    before = torch.get_num_threads()
    models = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            models.append(fitted_on(waves))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(models[0].smoothing_path_.score, models[1].smoothing_path_.score)
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


def test_scores_and_choice():
    """The path holds a finite score for each smoothing, and the best is taken."""
    model = fitted_on(waves)
    path = model.smoothing_path_
    assert path.score.shape == path.standard_error.shape == path.smoothing.shape
    assert np.isfinite(path.score).all()
    assert (path.standard_error >= 0).all()
    assert model.smoothing_ == path.smoothing[path.best]
    assert path.best == np.argmax(path.score)
    assert path.standard_error[path.best] == 0


def test_a_number_is_used_as_it_is():
    """A fixed smoothing is not searched."""
    model = fitted_on(plane, smoothing=0.5)
    assert model.smoothing_ == 0.5
    assert model.smoothing_path_ is None


@pytest.mark.parametrize("shape", [(16, 400), (400, 16), (40, 40)])
def test_strips_and_small_images(shape):
    """The choice works where few blocks fit along an axis."""
    image = 100 + np.random.default_rng(0).normal(size=shape)
    model = BackgroundSplineRegressor(n_control_points=4).fit(image)
    assert model.smoothing_ in SMOOTHING_PATH
    assert np.isfinite(model.predict(image)).all()


def drifting(k):
    """Frame k of a series: waves on a plane that turns, with noise of its own."""

    def sky(y, x):
        return plane(np.cos(k / 5) * y + np.sin(k / 5) * x, x) + waves(y, x + k / 20)

    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120 - 1
    return 1000 + sky(y, x) + np.random.default_rng(k).normal(0, 3, SHAPE)


def test_a_warm_start_gives_practically_the_same_background():
    """On frames that follow each other it differs from a cold one by a tenth of a pixel's noise at most."""
    cold = BackgroundSplineRegressor(downscale_factor=4, n_control_points=36)
    warm = clone(cold).set_params(warm_start=True)
    for k in range(3):
        image = drifting(k)
        difference = warm.fit(image).predict(image) - cold.fit(image).predict(image)
        assert np.sqrt(np.mean(difference**2)) < 0.1 * 3
        assert len(warm.smoothing_path_.smoothing) == (len(SMOOTHING_PATH) if k == 0 else 3)


def test_a_warm_start_leaves_a_wrong_choice_behind():
    """A plane before the waves makes them stiff for a few frames only."""
    warm = fitted_on(plane, warm_start=True)
    cold = BackgroundSplineRegressor(downscale_factor=4, n_control_points=36).fit(drifting(1))
    assert warm.smoothing_ > 100 * cold.smoothing_
    assert [warm.fit(drifting(1)).smoothing_ for _ in range(4)][-1] == cold.smoothing_


def test_a_warm_start_needs_a_fit_on_an_image_of_the_same_shape(tmp_path):
    """After another shape, a fixed smoothing or a loaded model all smoothings are tried."""
    image = drifting(0)[:60, :80]
    warm = BackgroundSplineRegressor(downscale_factor=4, n_control_points=9, warm_start=True)
    for other in (image[:, :70], image[:, :, None].repeat(2, axis=2)):
        assert len(warm.fit(other).fit(image).smoothing_path_.smoothing) == len(SMOOTHING_PATH)
    assert len(warm.fit(image).smoothing_path_.smoothing) < len(SMOOTHING_PATH)
    warm.save(tmp_path / "model.npz")
    loaded = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    assert loaded.warm_start and len(loaded.fit(image).smoothing_path_.smoothing) == len(SMOOTHING_PATH)
    warm.set_params(smoothing=0.5).fit(image)
    assert len(warm.set_params(smoothing="auto").fit(image).smoothing_path_.smoothing) == len(SMOOTHING_PATH)
