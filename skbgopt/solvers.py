"""The two ways to minimise the loss: majorise-minimise on fixed control points, Adam on everything.

Both take the values (n_pixels, n_channels) with weights of the same shape and a `BackgroundLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import BackgroundLoss
from .splines import Spline, energy_sign, kernel, monomials, squared_distances

Callback = Callable[[int, float], object]

# Annealing: eps falls by this factor a step, from the spread of the data to its target.
_ANNEALING_FACTOR = 0.6
# The annealing steps need to find the right valley, not its floor: they run on a sample of about this many
# pixels for each coefficient.
_COARSE_PIXELS_PER_COEFFICIENT = 64
# A step that gains less than tol ends the iteration, if so do the next ones.
_PATIENCE = 2


@dataclass(frozen=True)
class MMResult:
    """What `minimize_mm` found.

    Attributes
    ----------
    coef : Tensor of shape (n_functions, n_channels)
        In the orthonormal basis, float64.
    loss : float
        At the solution, without the penalty.
    curve : list of float
        The penalised loss at each step on all pixels with eps at its target: it never rises.
    n_iter : int
        Steps in all, annealing included.
    """

    coef: Tensor
    loss: float
    curve: list[float]
    n_iter: int


def minimize_mm(
    design: Tensor,
    energies: Tensor,
    values: Tensor,
    weights: Tensor,
    loss: BackgroundLoss,
    smoothing: float,
    *,
    max_iter: int = 100,
    tol: float = 1e-5,
    start: Tensor | None = None,
    callback: Callback | None = None,
) -> MMResult:
    """Minimise loss(values - design @ coef) + smoothing * mean_c energies @ coef_c**2 / eps**2.

    Each step solves the weighted least squares problem of the quadratic that majorises the loss, so the
    penalised loss falls monotonically. Without a start it begins at a low constant with eps at the spread of
    the data and lets eps fall to its target (graduated non-convexity): the loss has many valleys, and from an
    ordinary least squares fit, which stars and nebulae pull up, it ends in wrong ones.

    Parameters
    ----------
    design : Tensor of shape (n_pixels, n_functions)
        Orthonormal functions, from smooth to bent (`SplineBasis.design`).
    energies : Tensor of shape (n_functions,), float64
    values, weights : Tensor of shape (n_pixels, n_channels)
    loss : BackgroundLoss
    smoothing : float
        Not negative.
    max_iter : int
        Steps on all pixels, after the annealing.
    tol : float
        Stop when steps lower the loss by less.
    start : Tensor of shape (n_functions, n_channels), optional
        Begin there and skip the annealing.
    callback : callable, optional
        Called with the step and the loss; a true answer stops.
    """
    problem = _Problem(design, energies, values, weights, smoothing / (loss.eps**2 * values.shape[1]))
    n_annealing = 0
    if start is None:
        coarse = problem.sample(_COARSE_PIXELS_PER_COEFFICIENT * design.shape[1])
        schedule = _annealing(loss.eps, values, weights)
        coef = coarse.constant(_low_constant(values, weights, 1 / (2 + 2 * loss.alpha)))
        for eps in schedule:
            coef, _ = coarse.step(coef, loss.with_eps(eps))
        n_annealing = len(schedule)
        coef = _iterate(coarse, coef, loss, max_iter // 2, 10 * tol, None)[0]
    else:
        coef = start.to(energies)
    coef, curve, data_loss = _iterate(problem, coef, loss, max_iter, tol, callback)
    return MMResult(coef, data_loss, curve, n_annealing + len(curve))


def _iterate(problem, coef, loss, max_iter, tol, callback):
    """Step until the penalised loss stands still; return the coefficients, the curve and the loss."""
    curve: list[float] = []
    best, best_loss, stalled = coef, float("inf"), 0
    for k in range(max_iter + 1):
        following, (data_loss, penalty) = problem.step(coef, loss)
        total = data_loss + penalty
        if not curve or total < curve[-1]:
            best, best_loss = coef, data_loss
        stalled = stalled + 1 if curve and curve[-1] - total < tol else 0
        curve.append(min(total, curve[-1]) if curve else total)
        if stalled >= _PATIENCE or (callback is not None and callback(k, data_loss)):
            break
        coef = following
    return best, curve, best_loss


@dataclass(frozen=True)
class _Problem:
    design: Tensor
    energies: Tensor
    values: Tensor
    weights: Tensor
    penalty: float

    def sample(self, n_pixels: int) -> _Problem:
        """Return the problem on every k-th pixel, about n_pixels of them."""
        stride = self.design.shape[0] // n_pixels
        if stride < 2:
            return self
        parts = (self.design, self.values, self.weights)
        design, values, weights = (part[::stride].contiguous() for part in parts)
        return _Problem(design, self.energies, values, weights, self.penalty)

    def constant(self, level: Tensor) -> Tensor:
        """Return the coefficients of a constant model; the constant lies in the span of the basis."""
        n = self.design.shape[0]
        ones = self.design.to(torch.float64).mean(dim=0)
        gram = (self.design.T @ self.design).to(torch.float64) / n
        return torch.linalg.lstsq(gram, ones[:, None]).solution * level.to(torch.float64)

    def step(self, coef: Tensor, loss: BackgroundLoss) -> tuple[Tensor, tuple[float, float]]:
        """Return the minimiser of the majoriser at coef, and loss and penalty at coef."""
        value, quadratic = loss.majorise(self.values, self.design @ coef.to(self.design), self.weights)
        right = (self.design.T @ quadratic.pull).to(coef)
        gram = torch.stack(
            [(self.design * a[:, None]).T @ self.design for a in quadratic.curvature.unbind(dim=1)]
        ).to(coef)
        gram.diagonal(dim1=1, dim2=2).add_(2 * self.penalty * self.energies)
        # Where a function is not seen by any weighted pixel its pivot is nothing but rounding: keep it at rest.
        ridge = 1e-9 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        right = right + ridge * coef
        following = torch.linalg.solve(gram, right.T[:, :, None])[:, :, 0].T
        penalty = self.penalty * (self.energies[:, None] * coef**2).sum()
        return following, (float(value), float(penalty))


def _annealing(target: float, values: Tensor, weights: Tensor) -> list[float]:
    """Return eps falling from the spread of the data (half the range between the outer quartiles) to target."""
    used = values[weights.sum(dim=1) > 0]
    low, high = _quantiles(used, 0.25), _quantiles(used, 0.75)
    eps = float((high - low).max()) / 2
    schedule = []
    while eps > target:
        schedule.append(eps)
        eps *= _ANNEALING_FACTOR
    return schedule


def _low_constant(values: Tensor, weights: Tensor, quantile: float) -> Tensor:
    return _quantiles(values[weights.sum(dim=1) > 0], quantile)


def _quantiles(values: Tensor, q: float) -> Tensor:
    return values.kthvalue(int(q * (values.shape[0] - 1)) + 1, dim=0).values


@dataclass(frozen=True)
class AdamResult:
    """What `minimize_adam` found: the spline with the lowest loss, that loss, the curve and the epochs."""

    spline: Spline
    loss: float
    curve: list[float]
    n_iter: int


# The published schedule: halve the rate after 50 epochs that gain less than 1e-4, not below 1e-4; stop after
# 100 epochs that gain less than 5e-5.
_RATE_PATIENCE, _RATE_GAIN, _LOWEST_RATE = 50, 1e-4, 1e-4
_STOP_PATIENCE = 100


def minimize_adam(
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    start: Spline,
    loss: BackgroundLoss,
    *,
    learning_rate: float = 0.001,
    max_iter: int = 1000,
    tol: float = 5e-5,
    callback: Callback | None = None,
) -> AdamResult:
    """Minimise the loss over control points, weights and tail by Adam, as published.

    Parameters
    ----------
    points : Tensor of shape (n_pixels, d)
    values, weights : Tensor of shape (n_pixels, n_channels)
    start : Spline
        In the dtype and on the device of the points.
    loss : BackgroundLoss
    learning_rate, max_iter, tol : float, int, float
        Adam's rate; epochs at most; the least gain that counts as progress for stopping.
    callback : callable, optional
        Called with the epoch and the loss; a true answer stops.
    """
    parameters = [p.clone().requires_grad_() for p in (start.centres, start.kernel_coef, start.tail_coef)]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=_RATE_PATIENCE, threshold=_RATE_GAIN, threshold_mode="abs",
        min_lr=min(_LOWEST_RATE, learning_rate),
    )  # fmt: skip
    tail = monomials(points, start.degree)
    curve: list[float] = []
    best, best_loss, reference, waited = parameters, float("inf"), float("inf"), 0
    for epoch in range(max_iter):
        optimizer.zero_grad(set_to_none=True)
        centres, kernel_coef, tail_coef = parameters
        # The exact 0 at r = 0 has no gradient through sqrt and log; a distance of 1e-6 of the frame has.
        phi = kernel(squared_distances(points, centres) + 1e-12, start.order)
        value = loss(values, phi @ kernel_coef + tail @ tail_coef, weights)
        current = float(value.detach())
        curve.append(current)
        if current < best_loss:
            best, best_loss = [p.detach().clone() for p in parameters], current
        waited = 0 if current < reference - tol else waited + 1
        reference = min(reference, current) if waited == 0 else reference
        if waited >= _STOP_PATIENCE or (callback is not None and callback(epoch, current)):
            break
        value.backward()
        optimizer.step()
        schedule.step(current)
    centres, kernel_coef, tail_coef = (p.detach() for p in best)
    return AdamResult(
        Spline(centres, kernel_coef, tail_coef, start.order, start.degree), best_loss, curve, len(curve)
    )


def interpolate(
    centres: Tensor, values: Tensor, order: int, degree: int, regularisation: float = 0.1
) -> Spline:
    """Return the spline through values at the control points, the published start of Adam.

    Solves [[K + s reg I, T], [T', 0]] [w, v] = [values, 0], in the least squares sense where points coincide.
    """
    gram = kernel(squared_distances(centres, centres), order)
    tail = monomials(centres, degree)
    n, k = tail.shape
    top = torch.cat([gram + energy_sign(order) * regularisation * torch.eye(n).to(gram), tail], dim=1)
    bottom = torch.cat([tail.T, tail.new_zeros(k, k)], dim=1)
    right = torch.cat([values, values.new_zeros(k, values.shape[1])])
    solution = torch.linalg.pinv(torch.cat([top, bottom])) @ right
    return Spline(centres, solution[:n], solution[n:], order, degree)
