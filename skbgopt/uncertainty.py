"""How sure a fitted background is: the covariance of its coefficients.

The background is an M-estimator: it minimises sum_p loss(residual_p) + c'Pc / 2 over the coefficients c, P the
price of bending. With the score psi_p (minus the loss's slope at pixel p), the functions b_p and the curvature
H = sum_p h_p b_p b_p', its covariance is the sandwich [1]_

    (H + P)^-1 S (H + P)^-1,   S = sum over blocks of s s',   s = sum of psi_p b_p over the pixels of a block,

whose blocks are large, so that residuals that hang together (stars, texture) count as what they are [2]_. A
smoothing spline is biased towards the smooth as well. Its coefficients have a prior of covariance t P^-1 in the
Bayesian reading [3]_, under which the bias (H + P)^-1 P c has the covariance t (H + P)^-1 P (H + P)^-1; this is
added, so that the bands cover the truth on average over the image [4]_.

References
----------
.. [1] P. J. Huber, "The behavior of maximum likelihood estimates under nonstandard conditions", Proc. Fifth
   Berkeley Symposium (1967).
.. [2] K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73
   (1986).
.. [3] G. Wahba, "Bayesian confidence intervals for the cross-validated smoothing spline", Journal of the Royal
   Statistical Society B 45 (1983).
.. [4] D. Nychka, "Bayesian confidence intervals for smoothing splines", Journal of the American Statistical
   Association 83 (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .losses import BackgroundLoss, Shares
from .solvers import MMProblem
from .splines import SplineBasis

# Scores and curvatures are summed over cells, in which the functions hardly change, and the cells over blocks.
_CELLS = 2500
_CELLS_PER_BLOCK_SIDE = 4
# Step, in spreads of the residuals, of the slope of the score: the loss has a cusp at each pixel, of which only
# the mean over many has a curvature.
_SCORE_STEP = 0.5
# As in the solver, where a function that no weighted pixel sees is kept at rest.
_RIDGE = 1e-9
# Directions with less than this share of the variance are left out.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class _Cells:
    """Cells of a grid of pixels: the functions in their middles, the cell of each pixel, the block of each cell."""

    design: np.ndarray
    of_pixel: np.ndarray
    block: np.ndarray

    @classmethod
    def of(cls, basis: SplineBasis, y: np.ndarray, x: np.ndarray) -> _Cells:
        """Cut the grid at all pairs of y and x into cells."""
        side = int(np.ceil((len(y) * len(x) / _CELLS) ** 0.5))
        rows, columns = (np.arange(len(axis)) // side for axis in (y, x))
        middles = [np.bincount(cell, axis) / np.bincount(cell) for cell, axis in ((rows, y), (columns, x))]
        points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
        n_rows, n_columns = map(len, middles)
        at = [np.arange(n) // _CELLS_PER_BLOCK_SIDE for n in (n_rows, n_columns)]
        return cls(
            basis.design(torch.from_numpy(points)).numpy(),
            (rows[:, None] * n_columns + columns).ravel(),
            (at[0][:, None] * (at[1][-1] + 1) + at[1]).ravel(),
        )

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums over each cell of values of the pixels, shape (n_pixels,)."""
        return np.bincount(self.of_pixel, values, len(self.design))


def covariances(
    problem: MMProblem, basis: SplineBasis, y: np.ndarray, x: np.ndarray, loss: BackgroundLoss, coef: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariances of a fit's coefficients from noise, and from the bias of the smoothing.

    Parameters
    ----------
    problem : MMProblem
        What was minimised last, on the whole grid of reduced pixels.
    basis : SplineBasis
    y, x : ndarray
        Coordinates of the grid's rows and columns.
    loss : BackgroundLoss
    coef : Tensor of shape (n_functions, n_channels)
        The minimiser.

    Returns
    -------
    noise, bias : ndarray of shape (n_channels, n_functions, n_functions)
    """
    cells = _Cells.of(basis, y, x)
    score, curvature = _score_and_curvature(problem, loss, problem.design @ coef.to(problem.values))
    bending = 2 * problem.penalty * basis.energies.cpu().numpy()
    parts = [
        _covariances(cells, cells.sums(score[:, c]), cells.sums(curvature[:, c]), bending, coef[:, c].cpu().numpy())
        for c in range(coef.shape[1])
    ]
    noise, bias = (np.stack(part) for part in zip(*parts, strict=True))
    return noise, bias


def error_coefficients(basis: SplineBasis, covariance: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """Return splines whose root of the sum of squares is the standard error of a background.

    Parameters
    ----------
    basis : SplineBasis
    covariance : ndarray of shape (n_channels, n_functions, n_functions)
    everywhere : ndarray of shape (n_channels,)
        A standard error that is the same at every pixel.

    Returns
    -------
    ndarray of shape (n_channels, n_control_points + n_monomials, n_splines)
        Plain coefficients as in `Spline`: kernel weights, then the tail.
    """
    plain = np.concatenate([basis.kernel_map.cpu().numpy(), basis.tail_map.cpu().numpy()])
    constant = np.zeros((len(everywhere), len(plain), 1))
    constant[:, len(basis.centres), 0] = everywhere
    return np.concatenate([plain @ _roots(covariance), constant], axis=2)


def _score_and_curvature(problem: MMProblem, loss: BackgroundLoss, model: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return minus the slope of the loss at each pixel and channel, and its mean curvature around there."""
    values, shares = problem.values, Shares.of(problem.weights)

    def score(of_model: Tensor) -> np.ndarray:
        return loss.majorise(values, of_model, shares)[1].downhill.cpu().numpy().astype(float)

    residual = torch.where(problem.weights > 0, values - model, torch.nan)
    middle = residual.nanmedian(dim=0).values
    spread = (residual - middle).abs().nanmedian(dim=0).values
    step = (_SCORE_STEP * spread).clamp_min(1e-6 * loss.eps)
    curvature = (score(model - step) - score(model + step)) / (2 * step.cpu().numpy())
    return score(model), curvature


def _covariances(
    cells: _Cells, score: np.ndarray, curvature: np.ndarray, bending: np.ndarray, coef: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both covariances of the coefficients of a channel."""
    hessian = (cells.design * curvature[:, None]).T @ cells.design
    ridge = _RIDGE * hessian.diagonal().mean()
    penalty = np.diag(bending + ridge)
    # On an image without noise a curvature is 0, and with it the matrix.
    inverse = np.linalg.pinv(hessian + penalty, hermitian=True)
    by_block = np.zeros((cells.block[-1] + 1, len(coef)))
    np.add.at(by_block, cells.block, cells.design * score[:, None])
    # The variance of the prior under which so many coefficients come out with this price of bending.
    bent = bending > 0
    free = float((inverse @ hessian).diagonal()[bent].sum())
    prior = float(bending @ coef**2) / free if free > 0 else 0.0
    return inverse @ (by_block.T @ by_block) @ inverse, prior * inverse @ penalty @ inverse


def _roots(covariance: np.ndarray) -> np.ndarray:
    """Return matrices R with R R' = covariance, all with as many columns as the one that needs most."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    kept = int((values > _NEGLIGIBLE * values.sum(axis=1, keepdims=True)).sum(axis=1).max())
    n = values.shape[1]
    return vectors[:, :, n - kept :] * np.sqrt(values[:, None, n - kept :])
