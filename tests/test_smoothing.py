"""The choice of the smoothing."""

import numpy as np
import pytest
import torch

from skbgopt.losses import BackgroundLoss
from skbgopt.smoothing import SMOOTHING_PATH, choose_smoothing, held_out_blocks, sky_support
from skbgopt.solvers import MMProblem
from skbgopt.splines import spline_basis

LOSS = BackgroundLoss(eps=2.0, alpha=5.0, colour=0.0)
SIDE = 36


def chosen_for(sky, seed=0):
    """The path of smoothings scored on a sky in units of its noise."""
    axis = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE * 2 - 1
    points = torch.cartesian_prod(axis, axis)
    noise = np.random.default_rng(seed).normal(size=len(points))
    values = torch.from_numpy(sky(*points.numpy().T) + noise + 50)[:, None]
    corners = torch.linspace(-0.95, 0.95, 6, dtype=torch.float64)
    basis = spline_basis(torch.cartesian_prod(corners, corners), points, 3, 1)
    problem = MMProblem(basis.design(points), basis.energies, values, torch.ones_like(values), 0.0)
    labels, partitions = held_out_blocks(np.ones((SIDE, SIDE), bool))
    return choose_smoothing(problem, torch.ones_like(values), labels, partitions, LOSS)


def test_the_path_falls_from_stiff_to_free():
    """From almost a polynomial to almost free, in even steps."""
    assert SMOOTHING_PATH[0] >= 1
    assert SMOOTHING_PATH[-1] <= 1e-6
    np.testing.assert_allclose(np.diff(np.log(SMOOTHING_PATH), 2), 0, atol=1e-9)
    assert (np.diff(SMOOTHING_PATH) < 0).all()


def test_sky_support_saturates():
    """1 on the model, symmetric, and nothing more to lose far from it."""
    support = sky_support(torch.tensor([0.0, 3.0, -3.0, 30.0, 3000.0]))
    assert support[0] == 1
    assert support[1] == support[2] == pytest.approx(np.exp(-0.5))
    assert support[3] < 1e-20
    assert support[4] == 0


def test_a_plane_wants_the_stiffest_model():
    """On a plane with noise nothing is gained by bending."""
    path = chosen_for(lambda x, y: 10 * x - 4 * y)
    assert path.smoothing[path.best] >= 1e-1


def test_a_curved_sky_wants_a_softer_model():
    """On waves of 20 sigma a stiff model explains less of the held-out sky, and is not taken."""
    path = chosen_for(lambda x, y: 20 * np.sin(2.5 * x) * np.cos(2 * y))
    assert path.smoothing[path.best] < 1e-1
    assert path.score[path.best] > path.score[0] + 0.1


def test_a_nebula_does_not_ask_for_a_softer_model():
    """A bright nebula on a plane, which no sky should follow, leaves the choice within a step or two of stiff."""
    path = chosen_for(lambda x, y: 5 * x + 300 * np.exp(-((x - 0.2) ** 2 + y**2) / 0.05))
    assert path.smoothing[path.best] >= 1e-3


def test_scores_are_shares():
    """All scores lie between 0 and 1, standard errors are not negative, one per smoothing."""
    path = chosen_for(lambda x, y: 5 * x * y)
    assert path.score.shape == path.standard_error.shape == path.smoothing.shape == (len(SMOOTHING_PATH),)
    assert ((path.score > 0) & (path.score <= 1)).all()
    assert (path.standard_error >= 0).all()
    assert path.score[path.best] <= path.score.max()


def test_blocks_that_are_not_usable_are_left_out():
    """Labels belong to usable pixels only, in their order."""
    usable = np.random.default_rng(0).uniform(size=(20, 30)) < 0.5
    labels, partitions = held_out_blocks(usable)
    assert labels.shape == (usable.sum(),)
    assert labels.max() < partitions[0].size
