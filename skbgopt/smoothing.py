"""The choice of the smoothing by held-out blocks of sky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .folds import block_labels, diagonal_folds
from .losses import BackgroundLoss
from .metrics import sky_cost
from .solvers import MMProblem, bending_penalty, minimize_mm

# From almost a polynomial to almost free.
SMOOTHING_PATH = tuple(float(s) for s in np.logspace(1, -7, 9))
_STEPS = 12
_TOL = 1e-4


@dataclass(frozen=True)
class SmoothingPath:
    """Scores along the path.

    Attributes
    ----------
    smoothing : ndarray of shape (n_smoothings,)
        From the smoothest on.
    score : ndarray of shape (n_smoothings,)
        Minus the mean cost of the held-out pixels (`skbgopt.metrics.sky_cost`).
    standard_error : ndarray of shape (n_smoothings,)
        Of the score's difference from the best, over blocks.
    best : int
        Index of the choice.
    """

    smoothing: np.ndarray
    score: np.ndarray
    standard_error: np.ndarray
    best: int

    @property
    def choice(self) -> float:
        """The smoothing chosen."""
        return float(self.smoothing[self.best])


@dataclass(frozen=True)
class Blocking:
    """A way to cut an image into blocks and to deal them into folds.

    Attributes
    ----------
    labels : ndarray of int, shape (n_pixels,)
        Each pixel's block.
    partitions : list of ndarray
        Each block's folds, see `diagonal_folds`.
    """

    labels: np.ndarray
    partitions: list[np.ndarray]

    @classmethod
    def of_grid(cls, shape: tuple[int, int], blocks_short: int, index: np.ndarray) -> Blocking:
        """Cut a grid into near square blocks, so many along its shorter axis, for the pixels of an index."""
        labels, blocks = block_labels(*shape, blocks_short)
        return cls(labels.ravel()[index], diagonal_folds(blocks))


def choose_smoothing(
    fitted: MMProblem,
    weights: np.ndarray,
    blockings: Sequence[Blocking],
    loss: BackgroundLoss,
    standard_errors: float,
    path: tuple[float, ...] = SMOOTHING_PATH,
) -> SmoothingPath:
    """Score each smoothing of the path on held-out blocks; take the smoothest near the best.

    Parameters
    ----------
    fitted : MMProblem
        On a sample of the usable reduced pixels, its weights those of the fits; its penalty does not matter.
    weights : ndarray of shape (n_pixels, n_channels)
        Of the pixels that are judged: objects too, though they may not be fitted. A model that masks the sky that it
        cannot follow then loses by it.
    blockings : sequence of Blocking
        Ways to cut the image into blocks, over all of which the score is taken.
    loss : BackgroundLoss
        What is minimised on the other blocks.
    standard_errors : float
        The smoothest model whose score is within so many standard errors of the best is taken.
    path : tuple of float
        Smoothings, falling.
    """
    costs, counts = zip(*(_block_costs(fitted, weights, blocking, loss, path) for blocking in blockings), strict=True)
    return _smoothest_near_best(
        np.asarray(path), np.concatenate(costs, axis=1), np.concatenate(counts), standard_errors
    )


def _block_costs(fitted, weights, blocking, loss, path) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed cost of each smoothing and block, and the summed weight of each block."""
    labels, n_blocks = blocking.labels, blocking.partitions[0].size
    may_fit, may_judge = (fitted.weights.sum(dim=1) > 0).cpu().numpy(), weights.any(axis=1)
    cost, count = np.zeros((len(path), n_blocks)), np.zeros(n_blocks)
    for folds in blocking.partitions:
        for fold in np.unique(folds):
            held_out = (folds.ravel() == fold)[labels]
            test, train = held_out & may_judge, ~held_out & may_fit
            if not test.any() or train.sum() < fitted.design.shape[1]:
                continue
            fit, judged = (fitted.rows(torch.as_tensor(rows, device=fitted.values.device)) for rows in (train, test))
            for k, residual in enumerate(_held_out_residuals(fit, judged, loss, path)):
                pixel_cost = (weights[test] * sky_cost(residual / (loss.eps / 2))).sum(axis=1)
                cost[k] += np.bincount(labels[test], pixel_cost, n_blocks)
            count += np.bincount(labels[test], weights[test].sum(axis=1), n_blocks)
    return cost, count


def _held_out_residuals(fit, judged, loss, path) -> Iterator[np.ndarray]:
    """Yield the residuals of the judged pixels for each smoothing, each fit started from the last."""
    coef = gram = None
    for smoothing in path:
        penalty = bending_penalty(smoothing, loss, fit.values.shape[1])
        result = minimize_mm(replace(fit, penalty=penalty), loss, coef, gram, max_iter=_STEPS, tol=_TOL)
        coef, gram = result.coef, result.gram
        yield (judged.values - judged.design @ coef.to(judged.design)).cpu().numpy().astype(float)


def _smoothest_near_best(
    path: np.ndarray, loss_sum: np.ndarray, count: np.ndarray, standard_errors: float
) -> SmoothingPath:
    if not count.any():
        return SmoothingPath(path, np.zeros(len(path)), np.zeros(len(path)), 0)
    seen = count > 0
    weight = count[seen] / count.sum()
    by_block = -loss_sum[:, seen] / count[seen]
    score = by_block @ weight
    difference = by_block - by_block[np.argmax(score)]
    mean = difference @ weight
    error = np.sqrt(((difference - mean[:, None]) ** 2) @ weight / max(len(weight) - 1, 1))
    near = np.flatnonzero(-mean <= standard_errors * error)
    return SmoothingPath(path, score, error, int(near[0]))
