"""The choice of the smoothing by held-out blocks of sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .folds import block_labels, diagonal_folds
from .losses import BackgroundLoss
from .solvers import minimize_mm

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
    design: Tensor,
    energies: Tensor,
    values: Tensor,
    weights: Tensor,
    noise: Tensor,
    grid: tuple[np.ndarray, np.ndarray],
    loss: BackgroundLoss,
    path: tuple[float, ...] = SMOOTHING_PATH,
) -> SmoothingPath:
    """Score each smoothing of the path on held-out blocks; take the smoothest near the best.

    Parameters
    ----------
    design, energies, values, weights, loss
        As for `minimize_mm`; rows are the usable reduced pixels.
    noise : Tensor of shape (n_pixels, n_channels)
        Standard deviation of the values.
    grid : (ndarray, ndarray)
        Each pixel's block, and each block's fold for each partition, see `held_out_blocks`.
    path : tuple of float
        Smoothings, falling.
    """
    labels, partitions = grid
    n_blocks = partitions[0].size
    support = np.zeros((len(path), n_blocks))
    count = np.zeros(n_blocks)
    block = torch.as_tensor(labels, device=values.device)
    for folds in partitions:
        for fold in np.unique(folds):
            held_out = torch.as_tensor(folds.ravel() == fold, device=values.device)[block]
            if not held_out.any() or held_out.all():
                continue
            train, test = ~held_out, held_out
            coef = None
            parts = [part[train] for part in (design, values, weights)]
            test_design, test_values, test_weights, test_noise = (
                part[test] for part in (design, values, weights, noise)
            )
            for k, smoothing in enumerate(path):
                result = minimize_mm(
                    parts[0],
                    energies,
                    parts[1],
                    parts[2],
                    loss,
                    smoothing,
                    max_iter=_STEPS,
                    tol=_TOL,
                    start=coef,
                )
                coef = result.coef
                residual = (test_values - test_design @ coef.to(design)) / test_noise
                score = (test_weights * sky_support(residual)).sum(dim=1)
                support[k] += np.bincount(labels[test.cpu().numpy()], score.cpu().numpy(), n_blocks)
            count += np.bincount(labels[test.cpu().numpy()], test_weights.sum(dim=1).cpu().numpy(), n_blocks)
    return _smoothest_near_best(np.asarray(path), support, count)


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
