"""The choice of the smoothing by held-out blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from .folds import block_labels, diagonal_folds
from .losses import BackgroundLoss
from .solvers import MMProblem, MMResult, minimize_mm
from .stretch import LinearCurve, MidtonesCurve

# From almost a polynomial to almost free. Between the first two models hardly differ: none was ever chosen there.
SMOOTHING_PATH = (10.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
# Blocks along the shorter axis. Where they are cut is a matter of chance, less so with two cuts.
_BLOCKS = (4, 5)
# Residuals of this share of the loss's scale begin to count as no sky.
_WIDTH = 0.75
# What a pixel costs below the model, at most, is 1; above it this much, where there may be an object.
_OBJECT_COST = 0.2
# A model that bends ten times as easily has to lower the cost by this share. Freedom that a gradient asks for lowers
# it by a multiple, the skirts of a nebula hardly (docs/method.md has the tables of these).
_PRICE = 0.0125
# Below such a cost, far below that of noise, models are as good as each other.
_LEAST_COST = 1e-3
_STEPS = 10
_TOL = 1e-4


@dataclass(frozen=True)
class SmoothingPath:
    """Scores along the path.

    Attributes
    ----------
    smoothing : ndarray of shape (n_smoothings,)
        From the smoothest on.
    score : ndarray of shape (n_smoothings,)
        Minus the logarithm of the mean cost of the held-out pixels, less the price of the freedom.
    standard_error : ndarray of shape (n_smoothings,)
        Of the score's difference from the best, over blocks.
    best : int
        Index of the choice, which has the best score.
    """

    smoothing: np.ndarray
    score: np.ndarray
    standard_error: np.ndarray
    best: int

    @property
    def choice(self) -> float:
        """The smoothing chosen."""
        return float(self.smoothing[self.best])


def choose_smoothing(
    smoothings: Sequence[float],
    problems: Sequence[MMProblem],
    solutions: Sequence[MMResult],
    weights: Tensor,
    cuts: Sequence[tuple[np.ndarray, list[np.ndarray]]],
    loss: BackgroundLoss,
    curve: LinearCurve | MidtonesCurve,
    each: Callable[[Callable, Iterable], Iterable] = map,
) -> SmoothingPath:
    """Score each smoothing on held-out blocks.

    Each has the problem that it has led to, without the objects that its own model shows. A stiff model takes a
    steep glow for an object and would find itself confirmed if those were not judged; so all pixels are, at a cost
    that does not care how far one lies off.

    Parameters
    ----------
    smoothings : sequence of float
        Falling.
    problems : sequence of MMProblem
        One for each smoothing, on a sample of the usable reduced pixels.
    solutions : sequence of MMResult
        Of those problems or nearby; the fits without the held-out blocks start there.
    weights : Tensor of shape (n_pixels, n_channels)
        With the objects.
    cuts : sequence of (ndarray of int, shape (n_pixels,), list of ndarray of int)
        Each pixel's block and partitions of the blocks into folds, see `held_out_blocks`.
    loss : BackgroundLoss
        What is minimised on the other blocks.
    curve : LinearCurve or MidtonesCurve
        The units of the fit.
    each : callable
        Maps a function over a list, in order.
    """
    pixel_weights = weights.sum(dim=1).cpu().numpy().astype(float)
    cost_sums, counts = [], []
    for labels, partitions in cuts:
        residuals = (held_out_residuals(problems, solutions, labels, folds, loss, curve, each) for folds in partitions)
        costs = [pixel_cost(residual, loss) for residual in residuals]
        cost = pixel_weights * np.mean(costs, axis=0)
        n_blocks = partitions[0].size
        cost_sums.append([np.bincount(labels, of_pixels, n_blocks) for of_pixels in cost])
        counts.append(np.bincount(labels, pixel_weights, n_blocks))
    return _best(np.asarray(smoothings), np.concatenate(cost_sums, axis=1), np.concatenate(counts))


def held_out_residuals(
    problems: Sequence[MMProblem],
    solutions: Sequence[MMResult],
    labels: np.ndarray,
    fold_of: np.ndarray,
    loss: BackgroundLoss,
    curve: LinearCurve | MidtonesCurve,
    each: Callable[[Callable, Iterable], Iterable] = map,
) -> np.ndarray:
    """Return each pixel less the model of the other folds in units of the loss, (n_problems, n_pixels, n_channels).

    Minus infinity, which costs most, where too few pixels are left for a model.
    """
    folds = [(fold_of.ravel() == fold)[labels] for fold in np.unique(fold_of)]
    tasks = list(product(range(len(problems)), folds))
    found = each(lambda task: _residuals(problems[task[0]], solutions[task[0]], task[1], loss, curve), tasks)
    residuals = np.empty((len(problems), *problems[0].values.shape), dtype=np.float32)
    for (k, held_out), residual in zip(tasks, found, strict=True):
        residuals[k, held_out] = residual
    return residuals


def _residuals(
    problem: MMProblem,
    solution: MMResult,
    held_out: np.ndarray,
    loss: BackgroundLoss,
    curve: LinearCurve | MidtonesCurve,
) -> np.ndarray | float:
    train = torch.as_tensor(~held_out, device=problem.values.device) & (problem.weights.sum(dim=1) > 0)
    if train.sum() < problem.design.shape[1]:
        return -np.inf
    coef = minimize_mm(problem.rows(train), loss, solution.coef, solution.gram, max_iter=_STEPS, tol=_TOL).coef
    judged = problem.rows(torch.as_tensor(held_out, device=problem.values.device))
    model = judged.design @ coef.to(judged.design)
    return curve.difference(judged.values.cpu().numpy(), model.cpu().numpy())


def pixel_cost(residual: np.ndarray, loss: BackgroundLoss) -> np.ndarray:
    """Return what pixels cost a model, from 0 to 1: the mean over channels, the last axis.

    1 - exp(-(r / scale)**2 / 2) below the model, which nothing in the sky explains, and a fraction of it above. The
    scale is a share of the loss's.
    """
    cost = -np.expm1(-0.5 * (residual / (_WIDTH * loss.eps)) ** 2)
    return np.asarray(np.where(residual < 0, cost, _OBJECT_COST * cost).mean(axis=-1))


def held_out_blocks(shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield cuts of a grid: the near square block of each pixel, and partitions of the blocks into folds."""
    for blocks_short in _BLOCKS:
        labels, blocks = block_labels(*shape, blocks_short)
        yield labels, diagonal_folds(blocks)


def _best(smoothings: np.ndarray, cost_sum: np.ndarray, count: np.ndarray) -> SmoothingPath:
    price = _PRICE * np.log10(smoothings[0] / smoothings)
    if not count.any():
        return SmoothingPath(smoothings, -price, np.zeros(len(price)), 0)
    seen = count > 0
    weight = count[seen] / count.sum()
    by_block = cost_sum[:, seen] / count[seen] + _LEAST_COST
    mean = by_block @ weight
    score = -np.log(mean) - price
    best = int(np.argmax(score))
    # Of the logarithm of a ratio of means.
    parts = by_block / mean[:, None] - by_block[best] / mean[best]
    error = np.sqrt(parts**2 @ weight / max(len(weight) - 1, 1))
    return SmoothingPath(smoothings, score, error, best)
