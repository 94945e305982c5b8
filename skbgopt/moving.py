"""Control points moved to where the loss wants them, by a few Gauss-Newton steps.

The majoriser of the loss makes it a weighted least squares problem in the weights, the tail and the control
points. The first two are linear and are eliminated (variable projection, Golub and Pereyra 1973), which leaves a
damped step in the 2 N coordinates of the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import BackgroundLoss
from .solvers import MMProblem
from .splines import SplineBasis, kernel_slope, spline_basis, squared_distances

# A point moves by no more than this at a time (the frame's half side is 1).
_LONGEST_STEP = 0.1
# Damping at the beginning; its change after a step that was taken or refused; attempts for one step.
_DAMPING, _EASE, _STIFFEN, _ATTEMPTS = 1e-2, 0.25, 8.0, 4
_LINEAR_STEPS = 2


@dataclass(frozen=True)
class _State:
    """A basis, its coefficients and the penalised loss."""

    basis: SplineBasis
    problem: MMProblem
    coef: Tensor
    loss: float


def move_control_points(
    basis: SplineBasis,
    coef: Tensor,
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    loss: BackgroundLoss,
    penalty: float,
    n_steps: int = 6,
) -> tuple[SplineBasis, Tensor]:
    """Lower the penalised loss by moving the control points as well.

    Parameters
    ----------
    basis : SplineBasis
    coef : Tensor of shape (n_functions, n_channels)
        To begin with, from `minimize_mm`.
    points, values, weights : Tensor of shape (n_pixels, ...), float64
        A sample of some fifty pixels a control point is enough.
    loss : BackgroundLoss
    penalty : float
        Of the bending energy, see `MMProblem`.
    n_steps : int, default=6

    Returns
    -------
    basis : SplineBasis
        On the new control points.
    coef : Tensor
        Of the model on it. Its loss on the sample is not above the one to begin with.
    """

    def state(centres: Tensor, model: Tensor) -> _State:
        found = spline_basis(centres, points, basis.order, basis.degree)
        problem = MMProblem(found.design(points), found.energies, values, weights, penalty)
        following = problem.design.T @ model / len(points)
        for _ in range(_LINEAR_STEPS):
            following = problem.step(following, loss)
        return _State(found, problem, following, problem.penalised_loss(following, loss))

    given = MMProblem(basis.design(points), basis.energies, values, weights, penalty).penalised_loss(coef, loss)
    current = state(basis.centres, basis.spline(coef)(points))
    damping = _DAMPING
    for _ in range(n_steps):
        curvature, downhill = _projected_normal_equations(current, points, loss)
        if not curvature.diagonal().mean() > 0:  # no kernel has a weight, so no point matters
            break
        for _ in range(_ATTEMPTS):
            diagonal = curvature.diagonal()
            damped = curvature + torch.diag(damping * diagonal + 1e-12 * diagonal.mean())
            move = torch.linalg.solve(damped, downhill).reshape(current.basis.centres.shape)
            centres = current.basis.centres + move.clamp(-_LONGEST_STEP, _LONGEST_STEP)
            following = state(centres, current.problem.design @ current.coef)
            if following.loss < current.loss:
                current, damping = following, damping * _EASE
                break
            damping *= _STIFFEN
        else:
            break
    return (current.basis, current.coef) if current.loss < given else (basis, coef)


def _projected_normal_equations(state: _State, points: Tensor, loss: BackgroundLoss) -> tuple[Tensor, Tensor]:
    """Return the Gauss-Newton matrix and right side of the points, the linear coefficients eliminated."""
    basis, problem = state.basis, state.problem
    model = problem.design @ state.coef
    _, quadratic = loss.majorise(problem.values, model, problem.weights)
    kernel_coef = basis.kernel_map @ state.coef
    offsets = points[:, None, :] - basis.centres[None]
    slope = -kernel_slope(squared_distances(points, basis.centres), basis.order)[:, :, None] * offsets
    n_moves = basis.centres.numel()
    curvature, downhill = points.new_zeros(n_moves, n_moves), points.new_zeros(n_moves)
    for c in range(model.shape[1]):
        root = quadratic.curvature[:, c].sqrt()[:, None]
        residual = quadratic.downhill[:, c, None] / root.clamp_min(1e-300)
        design = problem.design * root
        jacobian = (slope * kernel_coef[None, :, c, None]).reshape(len(points), -1) * root
        gram = design.T @ design + torch.diag(2 * problem.penalty * problem.energies)
        gram.diagonal().add_(1e-10 * gram.diagonal().mean())
        mixed = design.T @ jacobian
        projection = torch.linalg.solve(gram, mixed)
        curvature = curvature + jacobian.T @ jacobian - mixed.T @ projection
        downhill = downhill + (jacobian.T @ residual - projection.T @ (design.T @ residual))[:, 0]
    return curvature, downhill
