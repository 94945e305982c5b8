"""Control points that move."""

import pytest
import torch

from skbgopt.losses import BackgroundLoss
from skbgopt.moving import move_control_points
from skbgopt.solvers import MMProblem, minimize_mm
from skbgopt.splines import spline_basis

LOSS = BackgroundLoss(eps=0.01)


def bump(points, n_channels=1):
    """A narrow hill that no coarse grid of control points resolves."""
    x, y = points.T
    hill = torch.exp(-((x - 0.37) ** 2 + (y + 0.21) ** 2) / 0.05)
    return torch.stack([hill * (1 + c) for c in range(n_channels)], dim=1)


@pytest.fixture(params=[(2, 1, 0.02), (3, 1, 0.02), (3, 3, 0.02), (4, 2, 0.02), (3, 1, 0.0), (4, 2, 0.0)], ids=str)
def moved(request):
    """A basis, coefficients, the function that moves, the penalised loss: for order, channels and noise."""
    order, n_channels, noise = request.param
    axis = torch.linspace(-1, 1, 24, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    values = bump(points, n_channels)
    values += noise * torch.randn(values.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.ones_like(values)
    corners = torch.linspace(-0.8, 0.8, 3, dtype=torch.float64)
    basis = spline_basis(torch.cartesian_prod(corners, corners), points, order, max(1, order // 2))
    penalty = 1e-6
    problem = MMProblem(basis.design(points), basis.energies, values, weights, penalty)
    coef = minimize_mm(problem, LOSS).coef

    def move():
        return move_control_points(basis, coef, points, values, weights, LOSS, penalty)

    def penalised(some_basis, some_coef):
        found = MMProblem(some_basis.design(points), some_basis.energies, values, weights, penalty)
        return found.penalised_loss(some_coef, LOSS)

    return basis, coef, move, penalised


def test_moving_does_not_raise_the_loss(moved):
    """The penalised loss after is at most that before, even where the model meets most values exactly."""
    basis, coef, move, penalised = moved
    assert penalised(*move()) <= penalised(basis, coef)


def test_moving_repeats_itself(moved):
    """The same input gives the same points, bit by bit."""
    _, _, move, _ = moved
    first, again = move(), move()
    assert torch.equal(first[0].centres, again[0].centres)
    assert torch.equal(first[1], again[1])


def test_the_start_is_left_as_it_was(moved):
    """The basis to begin with keeps its points; the new one has as many, all finite."""
    basis, _, move, _ = moved
    before = basis.centres.clone()
    after, coef = move()
    assert torch.equal(basis.centres, before)
    assert after.centres.shape == before.shape
    assert torch.isfinite(after.centres).all()
    assert torch.isfinite(coef).all()


def test_no_steps_move_nothing(moved):
    """With n_steps=0 the control points stay."""
    basis, coef, _, _ = moved
    axis = torch.linspace(-1, 1, 24, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    values = bump(points, coef.shape[1])
    found, _ = move_control_points(basis, coef, points, values, torch.ones_like(values), LOSS, 1e-6, n_steps=0)
    assert torch.equal(found.centres, basis.centres)
