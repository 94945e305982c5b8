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
.. [5] R. M. Bell and D. F. McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage
   samples", Survey Methodology 28 (2002).
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
# Pixels that the curvature is taken from, at least.
_CURVATURE_PIXELS = 16384
# Step, in spreads of the residuals, of the slope of the score.
_SCORE_STEP = 0.5
# The curvature is at least this share of the majoriser's; what few pixels tell of it may even be negative.
_LOWEST_CURVATURE = 0.1
# A block has no larger share than this in what is known of a direction.
_LARGEST_SHARE = 0.9
# As in the solver, where a function that no weighted pixel sees is kept at rest.
_RIDGE = 1e-9
# Directions with less than this share of the variance are left out.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class _Cells:
    """Cells of a grid of pixels, block by block.

    Attributes
    ----------
    design : ndarray of shape (n_blocks, n_cells_a_block, n_functions)
        The functions in the middles of the cells.
    of_pixel : ndarray of int, shape (n_pixels,)
        The cell of each pixel.
    """

    design: np.ndarray
    of_pixel: np.ndarray

    @classmethod
    def of(cls, basis: SplineBasis, y: np.ndarray, x: np.ndarray) -> _Cells:
        """Cut the grid at all pairs of y and x into cells."""
        side = int(np.ceil((len(y) * len(x) / _CELLS) ** 0.5))
        middles, blocks, places = [], [], []
        for axis in (y, x):
            cell = np.arange(len(axis)) // side
            middle = np.bincount(cell, axis) / np.bincount(cell)
            # The last block is filled with cells that have no pixel.
            middles.append(np.pad(middle, (0, -len(middle) % _CELLS_PER_BLOCK_SIDE), mode="edge"))
            blocks.append(cell // _CELLS_PER_BLOCK_SIDE)
            places.append(cell % _CELLS_PER_BLOCK_SIDE)
        n_rows, n_columns = (len(middle) // _CELLS_PER_BLOCK_SIDE for middle in middles)
        points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1)
        points = points.reshape(n_rows, _CELLS_PER_BLOCK_SIDE, n_columns, _CELLS_PER_BLOCK_SIDE, 2).swapaxes(1, 2)
        design = basis.design(torch.from_numpy(points.reshape(-1, 2))).numpy()
        block = blocks[0][:, None] * n_columns + blocks[1]
        place = places[0][:, None] * _CELLS_PER_BLOCK_SIDE + places[1]
        n_places = _CELLS_PER_BLOCK_SIDE**2
        return cls(design.reshape(-1, n_places, basis.n_functions), (block * n_places + place).ravel())

    def sums(self, values: np.ndarray, chosen: slice = slice(None)) -> np.ndarray:
        """Return the sums over each cell of values of the chosen pixels, shape (n_blocks, n_cells_a_block)."""
        n_blocks, n_places, _ = self.design.shape
        return np.bincount(self.of_pixel[chosen], values, n_blocks * n_places).reshape(n_blocks, n_places)


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
    bending = 2 * problem.penalty * basis.energies.cpu().numpy()
    model = problem.design @ coef.to(problem.values)
    score = loss.majorise(problem.values, model, problem.shares)[1].downhill.cpu().numpy()
    thinned = slice(None, None, max(1, len(score) // _CURVATURE_PIXELS))
    curvatures = _curvatures(problem.values[thinned], model[thinned], problem.weights[thinned], loss)
    parts = []
    for c, of_channel in enumerate(coef.cpu().numpy().T):
        curvature, highest = (cells.sums(part[:, c], thinned) for part in curvatures)
        parts.append(_covariances(cells.design, cells.sums(score[:, c]), curvature, highest, bending, of_channel))
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


def _curvatures(values: Tensor, model: Tensor, weights: Tensor, loss: BackgroundLoss) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvature of the loss around the model at each pixel and channel, and that of the majoriser.

    The loss has a cusp at each pixel: only the mean over many has a curvature, which is the majoriser's or less.
    """
    shares = Shares.of(weights)
    residual = torch.where(weights > 0, values - model, torch.nan)
    middle = residual.nanmedian(dim=0).values
    spread = (residual - middle).abs().nanmedian(dim=0).values
    step = (_SCORE_STEP * spread).clamp_min(1e-6 * loss.eps)
    below, here, above = (loss.majorise(values, at, shares)[1] for at in (model - step, model, model + step))
    curvature = (below.downhill - above.downhill) / (2 * step)
    return curvature.cpu().numpy(), here.curvature.cpu().numpy()


def _covariances(
    design: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
    highest_curvature: np.ndarray,
    bending: np.ndarray,
    coef: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return both covariances of the coefficients of a channel, from what the cells of each block sum up to."""
    hessian, highest = (_gram(design, part) for part in (curvature, highest_curvature))
    penalty = np.diag(bending + _RIDGE * highest.diagonal().mean())
    root = _inverse_root(hessian + penalty, highest + penalty)
    inverse = root @ root.T
    scores = _block_scores(design @ root, score, curvature)
    # The variance of the prior under which so many coefficients come out with this price of bending.
    bent = bending > 0
    free = float((1 - (inverse @ penalty).diagonal())[bent].sum())
    prior = float(bending @ coef**2) / free if free > 0 else 0.0
    return root @ (scores.T @ scores) @ root.T, prior * inverse @ penalty @ inverse


def _gram(design: np.ndarray, weights: np.ndarray) -> np.ndarray:
    functions = design.reshape(-1, design.shape[-1])
    return (functions * weights.reshape(-1, 1)).T @ functions


def _inverse_root(matrix: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Return R with R R' = the inverse of a matrix, which is raised to at least a share of another."""
    triangle = np.linalg.cholesky(highest)
    relative = np.linalg.solve(triangle, np.linalg.solve(triangle, matrix).T)
    values, vectors = np.linalg.eigh(relative)
    return np.linalg.solve(triangle.T, vectors) / np.sqrt(np.maximum(values, _LOWEST_CURVATURE))


def _block_scores(design: np.ndarray, score: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return the score of each block, as it would be of a fit that had not seen the block, by half.

    A fit draws the scores of the pixels it sees towards zero. With K the share of a block in the curvature, the
    scores over (I - K)^(1/2) have the right covariance where they are independent [5]_.

    Parameters
    ----------
    design : ndarray of shape (n_blocks, n_cells, n_functions)
        In coordinates in which H + P is the identity.
    score, curvature : ndarray of shape (n_blocks, n_cells)
    """
    # K lies in the span of the block's cells, of which there are fewer than functions.
    span, triangle = np.linalg.qr(design.swapaxes(1, 2))
    shares, turn = np.linalg.eigh((triangle * curvature[:, None, :]) @ triangle.swapaxes(1, 2))
    turned = turn.swapaxes(1, 2) @ (triangle @ score[:, :, None])
    turned /= np.sqrt(1 - np.minimum(shares, _LARGEST_SHARE))[:, :, None]
    return (span @ turn @ turned)[:, :, 0]


def _roots(covariance: np.ndarray) -> np.ndarray:
    """Return matrices R with R R' = covariance, all with as many columns as the one that needs most."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    kept = int((values > _NEGLIGIBLE * values.sum(axis=1, keepdims=True)).sum(axis=1).max())
    n = values.shape[1]
    return vectors[:, :, n - kept :] * np.sqrt(values[:, None, n - kept :])
