"""The choice of the smoothing by held-out blocks of sky."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .folds import block_labels, diagonal_folds
from .losses import BackgroundLoss
from .solvers import MMProblem, bending_penalty, minimize_mm

# From almost a polynomial to almost free.
SMOOTHING_PATH = tuple(float(s) for s in np.logspace(1, -7, 17))
# Residuals of this many sigma still count as sky, half and half.
_SKY_SIGMAS = 3.0
# The smoothest model within so many standard errors of the best is taken.
_STANDARD_ERRORS = 1.0
_STEPS = 12
_TOL = 1e-4


@dataclass(frozen=True)
class SmoothingPath:
    """Scores along the path.

    Attributes
    ----------
    smoothing : ndarray of shape (n_smoothings,)
        From the smoothest on.
    score, standard_error : ndarray of shape (n_smoothings,)
        Mean sky support of the held-out blocks; standard error of its difference from the best.
    best : int
        Index of the choice.
    """

    smoothing: np.ndarray
    score: np.ndarray
    standard_error: np.ndarray
    best: int


def sky_support(residual_sigmas: Tensor) -> Tensor:
    """Return exp(-(r / 3)**2 / 2): near 1 for sky, 0 for what is no sky, however far it is.

    It saturates, so a model that follows half a nebula gains nothing over one that passes below it.
    """
    return torch.exp(-0.5 * (residual_sigmas / _SKY_SIGMAS) ** 2)


def choose_smoothing(
    problem: MMProblem,
    noise: Tensor,
    labels: np.ndarray,
    partitions: list[np.ndarray],
    loss: BackgroundLoss,
    path: tuple[float, ...] = SMOOTHING_PATH,
) -> SmoothingPath:
    """Score each smoothing of the path on held-out blocks; take the smoothest near the best.

    Parameters
    ----------
    problem : MMProblem
        On a sample of the usable reduced pixels; its penalty does not matter.
    noise : Tensor of shape (n_pixels, n_channels)
        Standard deviation of the values.
    labels : ndarray of int, shape (n_pixels,)
    partitions : list of ndarray
        Each pixel's block and each block's folds, see `held_out_blocks`.
    loss : BackgroundLoss
    path : tuple of float
        Smoothings, falling.
    """
    n_blocks = partitions[0].size
    support, count = np.zeros((len(path), n_blocks)), np.zeros(n_blocks)
    for folds in partitions:
        for fold in np.unique(folds):
            held_out = (folds.ravel() == fold)[labels]
            if held_out.any() and not held_out.all():
                support += _held_out_support(problem, noise, labels, held_out, loss, path, n_blocks)
                weight = problem.weights.sum(dim=1).cpu().numpy()
                count += np.bincount(labels[held_out], weight[held_out], n_blocks)
    return _smoothest_near_best(np.asarray(path), support, count)


def _held_out_support(problem, noise, labels, held_out, loss, path, n_blocks) -> np.ndarray:
    """Return the summed sky support of each held-out block for each smoothing, each fit started from the last."""
    test = torch.as_tensor(held_out, device=noise.device)
    fitted, kept = problem.rows(~test), problem.rows(test)
    support = np.zeros((len(path), n_blocks))
    coef = None
    for k, smoothing in enumerate(path):
        penalised = replace(fitted, penalty=bending_penalty(smoothing, loss, noise.shape[1]))
        coef = minimize_mm(penalised, loss, coef, max_iter=_STEPS, tol=_TOL).coef
        sigmas = (kept.values - kept.design @ coef.to(kept.design)) / noise[test]
        score = (kept.weights * sky_support(sigmas)).sum(dim=1)
        support[k] = np.bincount(labels[held_out], score.cpu().numpy(), n_blocks)
    return support


def held_out_blocks(usable: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the block of each usable pixel of a grid, and the partitions of the blocks into folds."""
    labels, blocks = block_labels(*usable.shape)
    return labels[usable], diagonal_folds(blocks)


def _smoothest_near_best(path: np.ndarray, support: np.ndarray, count: np.ndarray) -> SmoothingPath:
    seen = count > 0
    share = support[:, seen] / count[seen]
    weight = count[seen] / count[seen].sum()
    score = share @ weight
    best = int(np.argmax(score))
    difference = share - share[best]
    mean = difference @ weight
    n = max(int(seen.sum()), 2)
    variance = ((difference - mean[:, None]) ** 2) @ weight
    error = np.sqrt(variance / (n - 1))
    near = np.flatnonzero(-mean <= _STANDARD_ERRORS * error)
    return SmoothingPath(path, score, error, int(near[0]))
