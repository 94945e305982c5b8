"""Majorise-minimise on fixed control points: the loss by a sequence of weighted least squares problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from .losses import BackgroundLoss, Quadratic, Shares

Callback = Callable[[int, float], object]

# Annealing: eps falls by this factor a step, from the spread of the data to its target.
_ANNEALING_FACTOR = 0.6
# The annealing steps need to find the right valley, not its floor: they run on a sample of about this many
# pixels for each coefficient.
_COARSE_PIXELS_PER_COEFFICIENT = 64
# A Gram matrix serves for one step, the next for twice as many, and so on; one that was given for so many.
_LONGER = 2
_LIFE_OF_GIVEN = 4
# Pixels whose loss is evaluated at once.
_BAND_ROWS = 8192
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
    gram : Tensor of shape (n_channels, n_functions, n_functions)
        The last Gram matrix, a good one to begin with nearby.
    """

    coef: Tensor
    loss: float
    curve: list[float]
    n_iter: int
    gram: Tensor


@dataclass(frozen=True)
class _Look:
    """What one pass over the pixels tells about some coefficients, in double precision on the CPU.

    Attributes
    ----------
    coef : Tensor of shape (n_functions, n_channels)
    loss, bending : float
        The loss and the penalty there.
    downhill : Tensor of the same shape
        Minus the gradient of their sum.
    gram : Tensor of shape (n_channels, n_functions, n_functions), or None
        The matrix of the quadratic that majorises the loss there.
    """

    coef: Tensor
    loss: float
    bending: float
    downhill: Tensor
    gram: Tensor | None

    @property
    def total(self) -> float:
        return self.loss + self.bending


@dataclass(frozen=True)
class MMProblem:
    """A penalised fit in an orthonormal basis: loss(values, design @ coef) + penalty * sum energies * coef**2.

    Attributes
    ----------
    design : Tensor of shape (n_pixels, n_functions)
        `SplineBasis.design` at the pixels, or a `GridDesign`, which stands for one in products.
    energies : Tensor of shape (n_functions,), float64
        Bending energy of each function.
    values, weights : Tensor of shape (n_pixels, n_channels)
    penalty : float
    sample : MMProblem, optional
        Some of the pixels, to take the Gram matrices from: they are a hundred times as dear as all else, and need
        not be exact.
    """

    design: Tensor
    energies: Tensor
    values: Tensor
    weights: Tensor
    penalty: float
    sample: MMProblem | None = None

    @cached_property
    def shares(self) -> Shares:
        """The weights as the loss takes them."""
        return Shares.of(self.weights)

    def every(self, stride: int) -> MMProblem:
        """Return the problem on every so many-th pixel."""
        return self if stride < 2 else self.rows(slice(None, None, stride))

    def rows(self, chosen: slice | Tensor) -> MMProblem:
        """Return the problem on some of the pixels."""
        parts = (self.design, self.values, self.weights)
        design, values, weights = (by_column(part[chosen]) for part in parts)
        return MMProblem(design, self.energies, values, weights, self.penalty)

    def to(self, dtype: torch.dtype) -> MMProblem:
        """Return the problem in another precision."""
        design, values, weights = (part.to(dtype) for part in (self.design, self.values, self.weights))
        return MMProblem(design, self.energies, values, weights, self.penalty)

    def look(self, coef: Tensor, loss: BackgroundLoss, with_gram: bool = True) -> _Look:
        """Evaluate loss, penalty and gradient at coefficients; one small tensor comes from the device."""
        value, quadratic = self._majorise(coef, loss)
        slope = self.design.T @ quadratic.downhill
        parts = [value.reshape(1), slope.reshape(-1)]
        if with_gram:
            sample = self.sample or self
            curvature = (quadratic if sample is self else sample._majorise(coef, loss)[1]).curvature
            parts.append(_weighted_grams(sample.design, curvature).reshape(-1).to(value))
        found = torch.cat(parts).cpu().to(torch.float64)
        n = coef.numel()
        bending = self.penalty * self.energies[:, None] * coef
        gram = found[1 + n :].reshape(coef.shape[1], coef.shape[0], -1) if with_gram else None
        downhill = found[1 : n + 1].reshape(coef.shape) - 2 * bending
        return _Look(coef, float(found[0]), float((bending * coef).sum()), downhill, gram)

    def solver(self, gram: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function from `downhill` to the step that minimises the quadratic of a Gram matrix."""
        # Where a function is not seen by any weighted pixel its pivot is nothing but rounding: keep it at rest.
        ridge = 1e-9 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)
        system = gram + torch.diag_embed(ridge[:, None] + 2 * self.penalty * self.energies)
        factors, pivots = torch.linalg.lu_factor(system)
        return lambda downhill: torch.linalg.lu_solve(factors, pivots, downhill.T[:, :, None])[:, :, 0].T

    def step(self, coef: Tensor, loss: BackgroundLoss) -> Tensor:
        """Return the minimiser of the majoriser at coef."""
        here = self.look(coef, loss)
        assert here.gram is not None
        return coef + self.solver(here.gram)(here.downhill)

    def penalised_loss(self, coef: Tensor, loss: BackgroundLoss) -> float:
        """Return loss + penalty at coef."""
        return self.look(coef, loss, with_gram=False).total

    def constant(self, level: Tensor) -> Tensor:
        """Return the coefficients of a constant model; the constant lies in the span of the basis."""
        ones = self.design.cpu().to(torch.float64).mean(dim=0)
        gram = (self.design.T @ self.design).cpu().to(torch.float64) / self.design.shape[0]
        gram.diagonal().add_(1e-12 * gram.diagonal().mean())
        return torch.linalg.solve(gram, ones[:, None]) * level.cpu().to(torch.float64)

    def _majorise(self, coef: Tensor, loss: BackgroundLoss) -> tuple[Tensor, Quadratic]:
        model = _product(self.design, coef.to(self.values))
        if loss.floor or not self.values.is_cpu or len(self.values) <= _BAND_ROWS:
            return loss.majorise(self.values, model, self.shares)
        # Without the mean over the image that the floor's term takes, each pixel stands for itself: bands of them
        # stay in the cache through the dozens of operations.
        value, parts = self.values.new_zeros(()), []
        bands = (part.split(_BAND_ROWS) for part in (self.values, model, *self.shares))
        for values, band_model, *shares in zip(*bands, strict=True):
            band_value, quadratic = loss.majorise(values, band_model, Shares(*shares))
            value = value + band_value
            parts.append(quadratic)
        return value, Quadratic(
            *(torch.cat([getattr(part, name).T for part in parts], dim=1).T for name in ("curvature", "downhill"))
        )


def _product(design: Tensor, coef: Tensor) -> Tensor:
    """Return design @ coef; of a matrix transposed, as it lies in memory, which is three times as fast."""
    return (coef.T.contiguous() @ design.T).T if isinstance(design, Tensor) else design @ coef


def by_column(matrix: Tensor) -> Tensor:
    """Return the same matrix with its columns contiguous: what few columns have, sums over them, go faster."""
    return matrix.T.contiguous().T


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
    coarse = problem.every(len(problem.values) // (_COARSE_PIXELS_PER_COEFFICIENT * len(problem.energies)))
    used = coarse.values[coarse.weights.sum(dim=1) > 0]
    coef = coarse.constant(_quantiles(used, 1 / (2 + 2 * loss.alpha)))
    schedule = _annealing(loss.eps, used)
    for eps in schedule:
        coef = coarse.step(coef, loss.with_eps(eps))
    result = minimize_mm(coarse, loss, coef, max_iter=max_iter, tol=tol)
    return replace(result, n_iter=result.n_iter + len(schedule))


def minimize_mm(
    problem: MMProblem,
    loss: BackgroundLoss,
    start: Tensor | None = None,
    gram: Tensor | None = None,
    *,
    max_iter: int = 1000,
    tol: float = 5e-5,
    patience: int = 3,
    callback: Callback | None = None,
) -> MMResult:
    """Minimise a penalised loss by majorise-minimise.

    Each step solves the weighted least squares problem of the quadratic that majorises the loss, from a point
    ahead of the last one (Nesterov's momentum [1]_), which takes a third of the steps and carries over shallow
    valleys. The quadratic's Gram matrix, by far the dearest part, changes little from step to step and is kept for
    ever more of them. Where such a step does not lower the penalised loss, the next is a plain one from the best
    point so far with its own Gram matrix, which always does.

    Parameters
    ----------
    problem : MMProblem
    loss : BackgroundLoss
    start : Tensor of shape (n_functions, n_channels), optional
        Where to begin; the outcome of `anneal` if not given.
    gram : Tensor of shape (n_channels, n_functions, n_functions), optional
        To begin with, of a problem much like this one.
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
        start, gram, n_before = found.coef, found.gram, found.n_iter
    here = best = problem.look(start.cpu().to(torch.float64), loss, with_gram=gram is None)
    # Steps that a Gram matrix serves for, and those that are left to this one.
    lifetime, left = (1, 0) if gram is None else (_LIFE_OF_GIVEN, _LIFE_OF_GIVEN)
    gram = here.gram if here.gram is not None else gram
    assert gram is not None
    solve = problem.solver(gram)
    previous, momentum, stalled = here.coef, 1.0, 0
    curve = [best.total]
    while len(curve) < max_iter and stalled < patience and not (callback and callback(len(curve) - 1, best.loss)):
        if here is best:
            if here.gram is not None:
                gram, left, lifetime = here.gram, lifetime, _LONGER * lifetime
                solve = problem.solver(gram)
            left -= 1
            following = here.coef + solve(here.downhill)
            ahead = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            point, previous = following + (momentum - 1) / ahead * (following - previous), following
            momentum = ahead
        elif best.gram is not None:
            point = previous = best.coef + problem.solver(best.gram)(best.downhill)
            momentum = 1.0
        else:
            point = previous = best.coef
            momentum, left = 1.0, 0
        here = problem.look(point, loss, with_gram=left == 0)
        gain = best.total - here.total
        if point is best.coef:
            best = here
        else:
            best = here if gain > 0 else best
            stalled = stalled + 1 if gain < tol else 0
        curve.append(best.total)
    return MMResult(best.coef, best.loss, curve, n_before + len(curve), gram)


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
