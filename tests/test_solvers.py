"""Majorise-minimise and Adam."""

import numpy as np
import pytest
import torch

from skbgopt import BackgroundSplineRegressor
from skbgopt.adam import interpolate, minimize_adam
from skbgopt.losses import BackgroundLoss
from skbgopt.solvers import (
    MMProblem,
    anneal,
    bending_penalty,
    minimize_mm,
)
from skbgopt.splines import Spline, spline_basis

PUBLISHED = BackgroundLoss(eps=0.001)


def pixel_grid(n=30):
    """Pixel centres over the square from -1 to 1."""
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    return torch.cartesian_prod(axis, axis)


def control_grid(n=4):
    """N x n control points."""
    axis = torch.linspace(-0.9, 0.9, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def nebula_on_a_plane(points, noise=0.002):
    """A sky of slope 0.05, a bright nebula over a third of it, noise."""
    rng = np.random.default_rng(0)
    x, y = points.numpy().T
    sky = 0.2 + 0.05 * x
    nebula = 0.6 * np.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.3)
    values = sky + np.where(nebula > 0.02, nebula, 0) + rng.normal(0, noise, len(x))
    return torch.from_numpy(sky)[:, None], torch.from_numpy(values)[:, None]


def made_problem(penalty=0.0, n_channels=1):
    """The nebula as a problem in an orthonormal basis."""
    points = pixel_grid()
    _, values = nebula_on_a_plane(points)
    values = values * torch.linspace(1, 1.5, n_channels, dtype=torch.float64)
    basis = spline_basis(control_grid(), points, 3, 1)
    return MMProblem(basis.design(points), basis.energies, values, torch.ones_like(values), penalty)


def made_start(points, values, order=2):
    """The published start of Adam: the spline through the pixels nearest to the control points."""
    centres = control_grid()
    nearest = torch.cdist(centres, points).argmin(dim=1)
    return interpolate(centres, values[nearest], order, 1)


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("penalty", [0.0, 1e-4, 1.0])
def test_the_curve_of_mm_never_rises(penalty, n_channels):
    """The penalised loss falls or rests at each step and ends at that of the coefficients returned."""
    problem = made_problem(penalty, n_channels)
    result = minimize_mm(problem, PUBLISHED, tol=0.0, max_iter=60)
    assert (np.diff(result.curve) <= 0).all()
    assert problem.penalised_loss(result.coef, PUBLISHED) == pytest.approx(result.curve[-1], abs=1e-12)
    bending = penalty * float((problem.energies[:, None] * result.coef**2).sum())
    assert result.loss == pytest.approx(result.curve[-1] - bending, abs=1e-12)


def test_mm_starts_where_it_is_told():
    """The curve begins at the penalised loss of the start."""
    problem = made_problem(1e-3)
    start = torch.zeros(problem.design.shape[1], 1, dtype=torch.float64)
    result = minimize_mm(problem, PUBLISHED, start, max_iter=5)
    assert result.curve[0] == pytest.approx(problem.penalised_loss(start, PUBLISHED))
    assert len(result.curve) <= 6


@pytest.mark.parametrize("penalty", [1e-6, 1.0])
def test_mm_in_float32_finds_what_it_finds_in_float64(penalty):
    """From one start single and double precision end at losses that agree to 2e-3."""
    problem = made_problem(penalty)
    single = MMProblem(
        problem.design.float(), problem.energies, problem.values.float(), problem.weights.float(), penalty
    )
    start = anneal(problem, PUBLISHED).coef
    losses = [minimize_mm(p, PUBLISHED, start).loss for p in (problem, single)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


def test_a_huge_penalty_leaves_the_tail_only():
    """As the smoothing grows the model becomes a plane."""
    problem = made_problem(penalty=1e12)
    coef = minimize_mm(problem, PUBLISHED).coef
    assert coef[problem.energies > 0].abs().max() < 1e-9


def test_the_fit_passes_below_the_nebula():
    """A smooth model follows the sky under a nebula that covers a third of it.

    It settles at the 8.3 % quantile, 1.4 sigma below the middle, and no further off than as much again.
    """
    points = pixel_grid()
    sky, _ = nebula_on_a_plane(points)
    problem = made_problem(bending_penalty(1e-2, PUBLISHED, 1))
    model = problem.design @ minimize_mm(problem, PUBLISHED).coef
    assert (model - sky).abs().max() < 2.8 * 0.002


def test_annealing_finds_a_deeper_valley_than_least_squares():
    """Started from the least squares fit, which the nebula pulls up, the loss ends higher than annealed."""
    problem = made_problem(bending_penalty(1e-4, PUBLISHED, 1))
    least_squares = problem.design.T @ problem.values / len(problem.design)
    annealed = minimize_mm(problem, PUBLISHED)
    trapped = minimize_mm(problem, PUBLISHED, least_squares)
    assert annealed.curve[-1] <= trapped.curve[-1] + 1e-6
    assert anneal(problem, PUBLISHED).n_iter > 5


def test_a_start_in_a_bad_valley_stays_there():
    """From a model on top of the nebula the steps end higher than from the annealed start."""
    problem = made_problem(bending_penalty(10.0, PUBLISHED, 1))
    high = problem.constant(torch.tensor([0.8], dtype=torch.float64))
    assert minimize_mm(problem, PUBLISHED, high, max_iter=3).curve[-1] > minimize_mm(problem, PUBLISHED).curve[-1]


def test_a_constant_lies_in_the_basis():
    """The coefficients of a constant give that constant at every pixel."""
    problem = made_problem(n_channels=2)
    level = torch.tensor([0.3, -2.0], dtype=torch.float64)
    torch.testing.assert_close(problem.design @ problem.constant(level), level.expand_as(problem.values))


def test_sampled_rows_are_rows_of_the_problem():
    """A sample keeps every k-th pixel with its value and weight."""
    problem = made_problem()
    stride = len(problem.design) // 100
    sample = problem.every(stride)
    for part in ("design", "values", "weights"):
        assert torch.equal(getattr(sample, part), getattr(problem, part)[::stride])
    assert problem.every(1) is problem


def test_the_penalty_does_not_depend_on_the_units():
    """Values and eps a thousand times larger give a model a thousand times larger at the same smoothing."""
    problem = made_problem()
    models = []
    for unit in (1.0, 1000.0):
        loss = BackgroundLoss(eps=0.001 * unit, colour=0.0)
        scaled = MMProblem(
            problem.design, problem.energies, problem.values * unit, problem.weights,
            bending_penalty(1e-3, loss, 1),
        )  # fmt: skip
        models.append(problem.design @ minimize_mm(scaled, loss).coef / unit)
    torch.testing.assert_close(models[0], models[1], rtol=1e-6, atol=1e-8)


def test_mm_gets_at_or_below_adam(mono_frame):
    """With the published loss, the same start points and 300 epochs for Adam, mm ends no higher."""
    parameters = {"loss_scale": 0.001, "mask_objects": False, "smoothing": 0, "n_control_points": 16}
    mm = BackgroundSplineRegressor(solver="mm", move_control_points=True, **parameters)
    adam = BackgroundSplineRegressor(solver="adam", max_iter=300, **parameters)
    assert mm.fit(mono_frame.image).loss_ <= adam.fit(mono_frame.image).loss_


def test_adam_lowers_the_loss_and_returns_its_best():
    """The loss falls; the spline returned has the lowest loss of the curve."""
    points = pixel_grid()
    _, values = nebula_on_a_plane(points)
    weights = torch.ones_like(values)
    result = minimize_adam(points, values, weights, made_start(points, values), PUBLISHED, max_iter=150)
    assert result.loss == min(result.curve)
    assert result.loss < result.curve[0] - 0.1
    assert result.n_iter == len(result.curve) == 150
    at_result = float(PUBLISHED(values, result.spline(points), weights))
    # While fitting 1e-12 is added to squared distances.
    assert at_result == pytest.approx(result.loss, abs=1e-6)


def test_adam_moves_the_control_points():
    """Control points, kernel weights and tail are all trained; the start is left as it was."""
    points = pixel_grid(16)
    _, values = nebula_on_a_plane(points)
    start = made_start(points, values)
    before = start.centres.clone()
    result = minimize_adam(points, values, torch.ones_like(values), start, PUBLISHED, max_iter=20)
    for part in ("centres", "kernel_coef", "tail_coef"):
        assert not torch.equal(getattr(result.spline, part), getattr(start, part))
    assert torch.equal(start.centres, before)


def test_adam_stops_after_a_hundred_epochs_without_progress():
    """The first epoch is progress; a hundred that gain less than tol end the fit."""
    points = pixel_grid(8)
    values = torch.zeros(64, 1, dtype=torch.float64)
    flat = torch.zeros(16, 1, dtype=torch.float64)
    start = Spline(control_grid(), flat, torch.zeros(3, 1, dtype=torch.float64), 2, 1)
    result = minimize_adam(points, values, torch.ones_like(values), start, PUBLISHED)
    assert result.n_iter == 101


def test_the_learning_rate_is_halved_down_to_its_floor(monkeypatch):
    """After 50 epochs that gain less than 1e-4 the rate is halved, and never falls below 1e-4."""
    made = []

    class Spy(torch.optim.Adam):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(torch.optim, "Adam", Spy)
    points = pixel_grid(8)
    _, values = nebula_on_a_plane(points)
    rates = []
    # At this scale of the loss no epoch gains 1e-4, but each gains something.
    minimize_adam(
        points, values, torch.ones_like(values), made_start(points, values), BackgroundLoss(eps=1e4),
        max_iter=260, tol=-1.0, callback=lambda *_: rates.append(made[0].param_groups[0]["lr"]),
    )  # fmt: skip
    changes = np.flatnonzero(np.diff(rates)) + 1
    assert rates[0] == 0.001
    np.testing.assert_allclose([rates[k] for k in changes], [5e-4, 2.5e-4, 1.25e-4, 1e-4])
    np.testing.assert_array_equal(np.diff(changes), 51)


def test_a_low_learning_rate_is_left_alone():
    """A rate below the floor of the schedule is used as given."""
    points = pixel_grid(8)
    _, values = nebula_on_a_plane(points)
    start = made_start(points, values)
    options = {"learning_rate": 1e-6, "max_iter": 3}
    result = minimize_adam(points, values, torch.ones_like(values), start, PUBLISHED, **options)
    assert (result.spline.tail_coef - start.tail_coef).abs().max() <= 3e-6 * 1.001


def test_a_callback_stops_mm():
    """A true answer at the third step ends the fit there; steps and losses are what it is called with."""
    seen = []

    def stop(step, loss):
        seen.append((step, loss))
        return step == 2

    problem = made_problem()
    start = problem.constant(torch.zeros(1, dtype=torch.float64))
    result = minimize_mm(problem, PUBLISHED, start, tol=0.0, callback=stop)
    assert [step for step, _ in seen] == [0, 1, 2]
    assert len(result.curve) == 3
    assert result.loss == min(loss for _, loss in seen)


def test_a_callback_stops_adam():
    """A true answer at the third epoch ends the fit there."""
    points = pixel_grid(8)
    _, values = nebula_on_a_plane(points)
    start = made_start(points, values)
    result = minimize_adam(
        points, values, torch.ones_like(values), start, PUBLISHED, callback=lambda epoch, _: epoch == 2
    )
    assert result.n_iter == 3


def test_both_solvers_repeat_themselves_bit_by_bit():
    """The same input gives the same result."""
    points = pixel_grid(12)
    _, values = nebula_on_a_plane(points)
    runs = [
        minimize_adam(points, values, torch.ones_like(values), made_start(points, values), PUBLISHED, max_iter=9)
        for _ in range(2)
    ]
    assert runs[0].curve == runs[1].curve
    coef = [minimize_mm(made_problem(1e-3), PUBLISHED).coef for _ in range(2)]
    assert torch.equal(*coef)


def test_interpolation_where_points_coincide():
    """Two control points at the same place with different values share their mean."""
    centres = torch.tensor([[0.0, 0], [0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    values = torch.tensor([[0.0], [2], [1], [1], [1]], dtype=torch.float64)
    spline = interpolate(centres, values, 2, 1, regularisation=0.0)
    torch.testing.assert_close(spline(centres[:1]), torch.ones(1, 1, dtype=torch.float64))
