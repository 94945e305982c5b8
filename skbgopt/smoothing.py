"""The choice of the smoothing by held-out blocks of sky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class BlockLosses:
    """What the held-out blocks say of each smoothing of a path.

    Attributes
    ----------
    total : ndarray of shape (n_smoothings, n_blocks)
        Sum over the block's pixels of weight times loss.
    weight : ndarray of shape (n_blocks,)
        Sum of their weights.
    """

    total: np.ndarray
    weight: np.ndarray


def held_out_losses(
    problem: MMProblem,
    blocking: Blocking,
    loss: BackgroundLoss,
    path: Sequence[float] = SMOOTHING_PATH,
) -> BlockLosses:
    """Fit each smoothing of a path without some blocks, and judge it there.

    Parameters
    ----------
    problem : MMProblem
        On a sample of the usable reduced pixels; its penalty does not matter.
    blocking : Blocking
        Of these pixels.
    loss : BackgroundLoss
        What is minimised on the other blocks, and judges the held-out ones.
    path : sequence of float
        Smoothings, falling.
    """
    labels, n_blocks = blocking.labels, blocking.partitions[0].size
    weights = problem.weights.sum(dim=1).cpu().numpy().astype(float)
    seen = weights > 0
    total, count = np.zeros((len(path), n_blocks)), np.zeros(n_blocks)
    for folds in blocking.partitions:
        for fold in np.unique(folds):
            held_out = (folds.ravel() == fold)[labels]
            test, train = held_out & seen, ~held_out & seen
            if not test.any() or train.sum() < problem.design.shape[1]:
                continue
            fitted, judged = (
                problem.rows(torch.as_tensor(rows, device=problem.values.device)) for rows in (train, test)
            )
            for k, pixel_loss in enumerate(_pixel_losses(fitted, judged, loss, path)):
                total[k] += np.bincount(labels[test], weights[test] * pixel_loss, n_blocks)
            count += np.bincount(labels[test], weights[test], n_blocks)
    return BlockLosses(total, count)


def _pixel_losses(train, test, loss, path) -> Iterator[np.ndarray]:
    """Yield the loss of each held-out pixel for each smoothing, each fit started from the last."""
    coef = gram = None
    for smoothing in path:
        penalty = bending_penalty(smoothing, loss, train.values.shape[1])
        result = minimize_mm(replace(train, penalty=penalty), loss, coef, gram, max_iter=_STEPS, tol=_TOL)
        coef, gram = result.coef, result.gram
        model = test.design @ coef.to(test.design)
        yield loss.of_pixels(test.values, model, test.weights).cpu().numpy()


def choose_smoothing(
    losses: Sequence[BlockLosses], standard_errors: float, path: Sequence[float] = SMOOTHING_PATH
) -> SmoothingPath:
    """Return the scores over all blocks, however cut, and the smoothest smoothing near the best.

    Parameters
    ----------
    losses : sequence of BlockLosses
    standard_errors : float
        The smoothest model whose score is within so many standard errors of the best is taken.
    path : sequence of float
        Those that were judged.
    """
    total = np.concatenate([part.total for part in losses], axis=1)
    count = np.concatenate([part.weight for part in losses])
    return _smoothest_near_best(np.asarray(path), total, count, standard_errors)


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
