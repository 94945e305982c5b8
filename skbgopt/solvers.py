"""The two ways to minimise the loss: majorise-minimise on fixed control points, Adam on everything.

Both take the values (n_pixels, n_channels) with weights of the same shape and a `BackgroundLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
# Rows of a Gram matrix summed at once: they stay in the cache, which makes 300,000 rows almost three times as fast.
_GRAM_ROWS = 2048


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


@dataclass(frozen=True)
class MMProblem:
    """A penalised fit in an orthonormal basis: loss(values, design @ coef) + penalty * sum energies * coef**2.

    Attributes
    ----------
    design : Tensor of shape (n_pixels, n_functions)
        `SplineBasis.design` at the pixels.
    energies : Tensor of shape (n_functions,), float64
        Bending energy of each function.
    values, weights : Tensor of shape (n_pixels, n_channels)
    penalty : float
    """

    design: Tensor
    energies: Tensor
    values: Tensor
    weights: Tensor
    penalty: float

    def sample(self, n_pixels: int) -> MMProblem:
        """Return the problem on every k-th pixel, about n_pixels of them."""
        stride = self.design.shape[0] // n_pixels
        if stride < 2:
            return self
        return self.rows(slice(None, None, stride))

    def rows(self, chosen: slice | Tensor) -> MMProblem:
        """Return the problem on some of the pixels."""
        parts = (self.design, self.values, self.weights)
        design, values, weights = (part[chosen].contiguous() for part in parts)
        return MMProblem(design, self.energies, values, weights, self.penalty)

    def step(self, coef: Tensor, loss: BackgroundLoss) -> tuple[Tensor, tuple[float, float]]:
        """Return the minimiser of the majoriser at coef, and loss and penalty at coef."""
        model = self.design @ coef.to(self.design)
        value, quadratic = loss.majorise(self.values, model, self.weights)
        # The system is solved for the change of the coefficients: in float32 that keeps the digits.
        downhill = (self.design.T @ (quadratic.pull - quadratic.curvature * model)).to(coef)
        downhill -= 2 * self.penalty * self.energies[:, None] * coef
        gram = _weighted_grams(self.design, quadratic.curvature).to(coef)
        gram.diagonal(dim1=1, dim2=2).add_(2 * self.penalty * self.energies)
        # Where a function is not seen by any weighted pixel its pivot is nothing but rounding: keep it at rest.
        ridge = 1e-9 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        change = torch.linalg.solve(gram, downhill.T[:, :, None])[:, :, 0].T
        return coef + change, (float(value), self._bending(coef))

    def penalised_loss(self, coef: Tensor, loss: BackgroundLoss) -> float:
        """Return loss + penalty at coef."""
        return float(loss(self.values, self.design @ coef.to(self.design), self.weights)) + self._bending(coef)

    def constant(self, level: Tensor) -> Tensor:
        """Return the coefficients of a constant model; the constant lies in the span of the basis."""
        n = self.design.shape[0]
        ones = self.design.to(torch.float64).mean(dim=0)
        gram = (self.design.T @ self.design).to(torch.float64) / n
        gram.diagonal().add_(1e-12 * gram.diagonal().mean())
        return torch.linalg.solve(gram, ones[:, None]) * level.to(torch.float64)

    def _bending(self, coef: Tensor) -> float:
        return float(self.penalty * (self.energies[:, None] * coef**2).sum())


def _weighted_grams(design: Tensor, weights: Tensor) -> Tensor:
    """Return design.T @ diag(w) @ design for each column w of the weights, shape (n_channels, n, n)."""
    n_channels, n = weights.shape[1], design.shape[1]
    total = design.new_zeros(n_channels * n, n)
    for rows, w in zip(design.split(_GRAM_ROWS), weights.split(_GRAM_ROWS), strict=True):
        total.addmm_((w[:, :, None] * rows[:, None, :]).reshape(-1, n_channels * n).T, rows)
    return total.reshape(n_channels, n, n)


def bending_penalty(smoothing: float, loss: BackgroundLoss, n_channels: int) -> float:
    """Return the factor of the bending energy: smoothing on the mean over channels, in units of eps."""
    return smoothing / (loss.eps**2 * n_channels)


def anneal(problem: MMProblem, loss: BackgroundLoss, max_iter: int = 200, tol: float = 1e-4) -> MMResult:
    """Find the right valley of the loss, on a sample of the pixels.

    Begins at a low constant with eps at the spread of the data and lets eps fall to its target (graduated
    non-convexity). The loss has many valleys, and from an ordinary least squares fit, which stars and nebulae
    pull up, it ends in wrong ones.
    """
    coarse = problem.sample(_COARSE_PIXELS_PER_COEFFICIENT * problem.design.shape[1])
    used = coarse.values[coarse.weights.sum(dim=1) > 0]
    coef = coarse.constant(_quantiles(used, 1 / (2 + 2 * loss.alpha)))
    schedule = _annealing(loss.eps, used)
    for eps in schedule:
        coef, _ = coarse.step(coef, loss.with_eps(eps))
    result = minimize_mm(coarse, loss, coef, max_iter=max_iter, tol=tol)
    return replace(result, n_iter=result.n_iter + len(schedule))


def minimize_mm(
    problem: MMProblem,
    loss: BackgroundLoss,
    start: Tensor | None = None,
    *,
    max_iter: int = 1000,
    tol: float = 5e-5,
    patience: int = 3,
    callback: Callback | None = None,
) -> MMResult:
    """Minimise a penalised loss by majorise-minimise.

    Each step solves the weighted least squares problem of the quadratic that majorises the loss, from a point
    ahead of the last one (Nesterov's momentum [1]_); where that does not lower the penalised loss, the plain
    step from the best point so far is taken, which always does. Momentum takes a third of the steps, and
    carries over shallow valleys.

    Parameters
    ----------
    problem : MMProblem
    loss : BackgroundLoss
    start : Tensor of shape (n_functions, n_channels), optional
        Where to begin; the outcome of `anneal` if not given.
    max_iter : int
    tol : float
        Stop when steps lower the loss by less.
    patience : int
        As many steps in a row.
    callback : callable, optional
        Called with the step and the loss; a true answer stops.

    References
    ----------
    .. [1] B. O'Donoghue and E. Candes, "Adaptive restart for accelerated gradient schemes", Foundations of
       Computational Mathematics 15 (2015).
    """
    n_before = 0
    if start is None:
        found = anneal(problem, loss)
        start, n_before = found.coef, found.n_iter
    point = previous = start.to(problem.energies)
    momentum, stalled = 1.0, 0
    best, fallback, best_loss, best_total = point, point, float("inf"), float("inf")
    curve: list[float] = []
    for k in range(max_iter):
        following, (data_loss, bending) = problem.step(point, loss)
        total = data_loss + bending
        gain = best_total - total
        if gain > 0:
            best, fallback, best_loss, best_total = point, following, data_loss, total
        curve.append(best_total)
        stalled = stalled + 1 if gain < tol else 0
        if stalled >= patience or (callback is not None and callback(k, best_loss)):
            break
        if gain <= 0 and momentum > 1:
            momentum, point, previous = 1.0, fallback, fallback
            continue
        ahead = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        point, previous = following + (momentum - 1) / ahead * (following - previous), following
        momentum = ahead
    return MMResult(best, best_loss, curve, n_before + len(curve))


def _annealing(target: float, values: Tensor) -> list[float]:
    """Return eps falling from the spread of the data (twice the range between the quartiles) to the target.

    From less, the fit may be caught in the valley of its first constant.
    """
    eps = 2 * float((_quantiles(values, 0.75) - _quantiles(values, 0.25)).max())
    schedule = []
    while eps > target:
        schedule.append(eps)
        eps *= _ANNEALING_FACTOR
    return schedule


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
    return AdamResult(Spline(centres, kernel_coef, tail_coef, start.order, start.degree), best_loss, curve, len(curve))


def interpolate(centres: Tensor, values: Tensor, order: int, degree: int, regularisation: float = 0.1) -> Spline:
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
