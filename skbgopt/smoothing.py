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
# A model that bends ten times as easily has to lower the cost by this share. Freedom that a gradient asks for lowers
# it by a multiple, the skirts of a nebula hardly (docs/method.md has the tables of these).
_PRICE = 0.0125
# Below such a cost, far below that of noise, models are as good as each other.
_LEAST_COST = 1e-3
_STEPS = 10
_TOL = 1e-4


@dataclass(frozen=True)
class _Judgement:
    """What held-out pixels cost a model.

    Attributes
    ----------
    blocks : int
        Those that are held out, along the shorter axis.
    width : float
        Residuals of so many times the loss's scale begin to be as bad as any.
    above : float
        Cost of a pixel far above the model, where there may be an object; one far below costs 1.
    sky_only : bool
        Whether pixels that the models agree to take for objects are left out.
    share : float
        What the logarithm of the mean cost counts for.
    """

    blocks: int
    width: float
    above: float
    sky_only: bool
    share: float


# How much of the image a model foresees, and, in larger blocks, how far it goes astray where it sees less of the sky.
_FORESEEN = _Judgement(blocks=4, width=0.75, above=0.2, sky_only=False, share=1.0)
_ASTRAY = _Judgement(blocks=3, width=10.0, above=0.5, sky_only=True, share=0.1)
_JUDGEMENTS = (_FORESEEN, _ASTRAY)


@dataclass(frozen=True)
class SmoothingPath:
    """Scores along the path.

    Attributes
    ----------
    smoothing : ndarray of shape (n_smoothings,)
        From the smoothest on.
    score : ndarray of shape (n_smoothings,)
        Minus the logarithm of the mean cost of the held-out pixels, less a tenth of that of how far those of the sky
        lie from the model, less the price of the freedom.
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
    sky: np.ndarray,
    cuts: Sequence[tuple[np.ndarray, list[np.ndarray]]],
    loss: BackgroundLoss,
    curve: LinearCurve | MidtonesCurve,
    each: Callable[[Callable, Iterable], Iterable] = map,
) -> SmoothingPath:
    """Score each smoothing on held-out blocks.

    Each has the problem that it has led to, without the objects that its own model shows. A stiff model takes a
    steep glow for an object and would find itself confirmed if those were not judged; so all pixels of the first cut
    are, at a cost that does not care how far one lies off. How far is judged on the second, where there is sky.

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
    sky : ndarray of bool, shape (n_pixels,)
        Where the models do not agree on an object.
    cuts : sequence of (ndarray of int, shape (n_pixels,), list of ndarray of int)
        Each pixel's block and partitions of the blocks into folds, see `held_out_blocks`.
    loss : BackgroundLoss
        What is minimised on the other blocks.
    curve : LinearCurve or MidtonesCurve
        The units of the fit.
    each : callable
        Maps a function over a list, in order.
    """
    given = weights.cpu().numpy().astype(float)
    costs = []
    for judgement, (labels, partitions) in zip(_JUDGEMENTS, cuts, strict=True):
        residuals = (held_out_residuals(problems, solutions, labels, folds, loss, curve, each) for folds in partitions)
        cost = np.mean([pixel_cost(residual, loss, judgement) for residual in residuals], axis=0)
        counted = given * sky[:, None] if judgement.sky_only else given
        costs.append(_by_block((counted * cost).sum(axis=2), counted.sum(axis=1), labels))
    return _best(np.asarray(smoothings), costs)


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


def pixel_cost(residual: np.ndarray, loss: BackgroundLoss, judgement: _Judgement = _FORESEEN) -> np.ndarray:
    """Return what pixels cost a model, from 0 to 1.

    1 - exp(-(r / scale)**2 / 2) below the model, which nothing in the sky explains, and a fraction of it above. The
    scale is a multiple of the loss's.
    """
    cost = -np.expm1(-0.5 * (residual / (judgement.width * loss.eps)) ** 2)
    return np.where(residual < 0, cost, judgement.above * cost)


def held_out_blocks(shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield cuts of a grid: the near square block of each pixel, and partitions of the blocks into folds."""
    for judgement in _JUDGEMENTS:
        labels, blocks = block_labels(*shape, judgement.blocks)
        yield labels, diagonal_folds(blocks)


def _by_block(cost: np.ndarray, count: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cost in each block that counts, shape (n_smoothings, n_blocks), and each block's share."""
    if not count.any():
        return np.ones((len(cost), 1)), np.ones(1)
    counts = np.bincount(labels, count)
    seen = counts > 0
    sums = np.stack([np.bincount(labels, of_pixels) for of_pixels in cost])
    return sums[:, seen] / counts[seen] + _LEAST_COST, counts[seen] / counts.sum()


def _best(smoothings: np.ndarray, costs: Sequence[tuple[np.ndarray, np.ndarray]]) -> SmoothingPath:
    score = -_PRICE * np.log10(smoothings[0] / smoothings)
    for judgement, (by_block, block_share) in zip(_JUDGEMENTS, costs, strict=True):
        score -= judgement.share * np.log(by_block @ block_share)
    best = int(np.argmax(score))
    variance = np.zeros(len(score))
    for judgement, (by_block, block_share) in zip(_JUDGEMENTS, costs, strict=True):
        # Of the logarithm of a ratio of means.
        relative = by_block / (by_block @ block_share)[:, None]
        difference = judgement.share * (relative - relative[best])
        variance += difference**2 @ block_share / max(len(block_share) - 1, 1)
    return SmoothingPath(smoothings, score, np.sqrt(variance), best)
