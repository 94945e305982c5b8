"""The choice of the smoothing by held-out blocks of sky."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from .folds import block_labels, diagonal_folds
from .losses import BackgroundLoss
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
        Minus the mean loss of the held-out pixels.
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


def choose_smoothing(
    problem: MMProblem,
    labels: np.ndarray,
    partitions: list[np.ndarray],
    loss: BackgroundLoss,
    standard_errors: float,
    path: tuple[float, ...] = SMOOTHING_PATH,
) -> SmoothingPath:
    """Score each smoothing of the path on held-out blocks; take the smoothest near the best.

    Parameters
    ----------
    problem : MMProblem
        On a sample of the usable reduced pixels; its penalty does not matter.
    labels : ndarray of int, shape (n_pixels,)
    partitions : list of ndarray
        Each pixel's block and each block's folds, see `held_out_blocks`.
    loss : BackgroundLoss
        What is minimised on the other blocks, and judges the held-out ones.
    standard_errors : float
        The smoothest model whose score is within so many standard errors of the best is taken.
    path : tuple of float
        Smoothings, falling.
    """
    n_blocks = partitions[0].size
    weights = problem.weights.sum(dim=1).cpu().numpy().astype(float)
    seen = weights > 0
    loss_sum, count = np.zeros((len(path), n_blocks)), np.zeros(n_blocks)
    for folds in partitions:
        for fold in np.unique(folds):
            held_out = (folds.ravel() == fold)[labels]
            test, train = held_out & seen, ~held_out & seen
            if not test.any() or train.sum() < problem.design.shape[1]:
                continue
            fitted, judged = (
                problem.rows(torch.as_tensor(rows, device=problem.values.device)) for rows in (train, test)
            )
            for k, pixel_loss in enumerate(_held_out_losses(fitted, judged, loss, path)):
                loss_sum[k] += np.bincount(labels[test], weights[test] * pixel_loss, n_blocks)
            count += np.bincount(labels[test], weights[test], n_blocks)
    return _smoothest_near_best(np.asarray(path), loss_sum, count, standard_errors)


def _held_out_losses(train, test, loss, path) -> Iterator[np.ndarray]:
    """Yield the loss of each held-out pixel for each smoothing, each fit started from the last."""
    coef = gram = None
    for smoothing in path:
        penalty = bending_penalty(smoothing, loss, train.values.shape[1])
        result = minimize_mm(replace(train, penalty=penalty), loss, coef, gram, max_iter=_STEPS, tol=_TOL)
        coef, gram = result.coef, result.gram
        model = test.design @ coef.to(test.design)
        yield loss.of_pixels(test.values, model, test.weights).cpu().numpy()


def held_out_blocks(shape: tuple[int, int], blocks_short: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the block of each pixel of a grid, and the partitions of the blocks into folds.

    So many blocks along the grid's shorter axis, near square ones.
    """
    labels, blocks = block_labels(*shape, blocks_short)
    return labels, diagonal_folds(blocks)


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
