"""From a prepared image to its background spline: range, control points, basis, smoothing, solver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .control_points import grid_control_points, random_control_points
from .losses import BackgroundLoss
from .moving import move_control_points
from .objects import sky_weights
from .preparation import PreparedImage
from .smoothing import SmoothingPath, choose_smoothing, held_out_blocks
from .solvers import (
    Callback,
    MMProblem,
    MMResult,
    anneal,
    bending_penalty,
    interpolate,
    minimize_adam,
    minimize_mm,
)
from .splines import Spline, SplineBasis, monomials, spline_basis, tail_degree
from .stretch import LinearCurve, MidtonesCurve

# Residuals up to this many standard deviations of a reduced pixel count as sky (METHOD: the loss scale).
_NOISE_SCALE = 2.0
# Pixels over which the basis is made orthonormal, and on which the smoothing is chosen; both hardly gain from more.
_BASIS_PIXELS = 4096
_CHOICE_PIXELS = 6000
# The stages of a fit run on a sample of this many pixels, only the last goes on to all of them.
_STAGE_PIXELS = 8192
# Pixels that the control points are moved on, for each of them.
_MOVING_PIXELS_PER_POINT = 50
# Times that objects are masked and the sky fitted again; the alpha of the last.
_OBJECT_PASSES = 3
_LAST_ALPHA = 1.0
# Blocks along the shorter axis and standard errors of the choice of the smoothing: at first, when nebulae still
# reward models that follow them and only wide blocks tell, and once they are masked (docs/method.md has the table).
_FIRST_CHOICE = (3, 0.5)
_SECOND_CHOICE = (5, 0.0)


@dataclass(frozen=True)
class FitSettings:
    """The parameters of `BackgroundSplineRegressor` that concern the fit, under the same names."""

    n_control_points: int
    order: int
    degree: int | None
    init: str
    smoothing: float | str
    alpha: float
    loss_scale: float | str
    solver: str
    learning_rate: float
    max_iter: int
    tol: float
    mask_objects: bool | str
    move_control_points: bool


@dataclass(frozen=True)
class FittedBackground:
    """A spline in the units of a curve.

    Attributes
    ----------
    spline : Spline
        float64, on the CPU, in the frame's coordinates.
    curve : LinearCurve or MidtonesCurve
        Its ``invert`` takes the spline's values to linear units.
    smoothing : float
    path : SmoothingPath or None
    loss : float
    loss_curve : list of float
    n_iter : int
    objects : ndarray of bool
        Reduced pixels taken for extended objects.
    """

    spline: Spline
    curve: LinearCurve | MidtonesCurve
    smoothing: float
    path: SmoothingPath | None
    loss: float
    loss_curve: list[float]
    n_iter: int
    objects: np.ndarray


@dataclass(frozen=True)
class _Pixels:
    """The usable reduced pixels: coordinates, values in the units of the fit, weights, noise in those units."""

    points: Tensor
    values: Tensor
    weights: Tensor
    noise: Tensor


def fit_background(
    prepared: PreparedImage,
    settings: FitSettings,
    device: torch.device,
    random_state: np.random.RandomState,
    callback: Callback | None = None,
) -> FittedBackground:
    """Fit the spline.

    Raises
    ------
    ValueError
        If fewer reduced pixels are usable than the spline has coefficients, or a channel is constant.
    """
    curve, loss = _range_and_loss(prepared, settings)
    pixels = _usable_pixels(prepared, curve)
    degree = tail_degree(settings.order, settings.degree)
    _check_enough(prepared, pixels, settings.n_control_points, degree)
    centres = torch.from_numpy(_control_points(pixels.points.numpy(), settings, random_state))
    solve = _solve_adam if settings.solver == "adam" else _solve_mm
    return solve(prepared, pixels, centres, degree, curve, loss, settings, device, callback)


def _range_and_loss(
    prepared: PreparedImage, settings: FitSettings
) -> tuple[LinearCurve | MidtonesCurve, BackgroundLoss]:
    """Return the units of the fit, and the loss in them."""
    if not isinstance(settings.loss_scale, str):
        return prepared.curve, BackgroundLoss(eps=settings.loss_scale, alpha=settings.alpha)
    # The published colour term is quadratic in a range of 1; in units of the noise that range is scale / noise.
    colour = float(np.mean(prepared.block_noise / prepared.curve.scale))
    curve = LinearCurve(_floor(prepared), prepared.block_noise)
    return curve, BackgroundLoss(eps=_NOISE_SCALE, alpha=settings.alpha, colour=colour)


def _floor(prepared: PreparedImage) -> np.ndarray:
    """Return the level below which the sky is not expected: the pedestal, if that is anywhere near the sky.

    Values far below it (which mark missing pixels in some files) must not take the digits of float32.
    """
    values = prepared.values[prepared.usable]
    if not len(values):
        return prepared.curve.pedestal
    low, middle = np.quantile(values, [0.05, 0.5], axis=0)
    return np.maximum(prepared.curve.pedestal, low - 10 * (middle - low))


def _usable_pixels(prepared: PreparedImage, curve: LinearCurve | MidtonesCurve) -> _Pixels:
    usable = prepared.usable
    linear = prepared.values[usable]
    half = 0.5 * prepared.block_noise
    noise = curve.apply(linear + half) - curve.apply(linear - half)
    # Where the stretch clips there is no noise left; such pixels must not seem infinitely far from any model.
    noise = np.maximum(noise, 1e-3 * np.median(noise, axis=0)) if len(noise) else noise
    arrays = (prepared.coordinates[usable], curve.apply(linear), prepared.weights[usable], noise)
    return _Pixels(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def _check_enough(prepared: PreparedImage, pixels: _Pixels, n_control_points: int, degree: int) -> None:
    needed = max(n_control_points, monomials(torch.zeros(1, 2), degree).shape[1])
    found = int((pixels.weights > 0).sum(dim=0).min()) if len(pixels.points) else 0
    if found < needed:
        raise ValueError(
            f"Only {found} reduced pixels are usable, {needed} are needed for {n_control_points} control points "
            f"and degree {degree}; {prepared.describe_excluded()}. "
            "Lower n_control_points or downscale_factor, or exclude less."
        )
    constant = np.flatnonzero(np.ptp(pixels.values.numpy(), axis=0) == 0)
    if len(constant):
        raise ValueError(
            f"Channel {constant[0]} is constant where it is usable, there is no background to fit; "
            f"{prepared.describe_excluded()}."
        )


def _control_points(points: np.ndarray, settings: FitSettings, random_state: np.random.RandomState) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    if settings.init == "grid":
        return grid_control_points(settings.n_control_points, low, high)
    return random_control_points(settings.n_control_points, low, high, random_state)


def _solve_mm(prepared, pixels, centres, degree, curve, loss, settings, device, callback) -> FittedBackground:
    basis = spline_basis(centres, _every(pixels.points, _BASIS_PIXELS), settings.order, degree)
    problem = _problem(basis, pixels, device)
    solver = _MMSolver(prepared, pixels, basis, problem, loss, settings, callback)
    path, smoothing = None, settings.smoothing
    if smoothing == "auto":
        path = solver.choose(problem, loss, *_FIRST_CHOICE)
        smoothing = path.choice
    solution = solver.solve(smoothing)
    if settings.smoothing == "auto" and (solution.sky < 1).any():
        # With the objects masked, held-out blocks are sky, and their score is that of the background alone.
        path = solver.choose(solver.weighed(solution.sky), solver.gentle_loss, *_SECOND_CHOICE)
        if path.choice != smoothing:
            smoothing = path.choice
            solution = solver.solve(smoothing)
    spline = solution.basis.spline(solution.coef.cpu())
    objects = prepared.usable & (solution.sky < 0.5)
    return FittedBackground(spline, curve, smoothing, path, solution.loss, solution.curve, solution.n_iter, objects)


@dataclass(frozen=True)
class _MMSolution:
    basis: SplineBasis
    coef: Tensor
    loss: float
    curve: list[float]
    n_iter: int
    sky: np.ndarray


@dataclass(frozen=True)
class _MMSolver:
    """The stages of a fit by majorise-minimise on one set of pixels."""

    prepared: PreparedImage
    pixels: _Pixels
    basis: SplineBasis
    problem: MMProblem
    loss: BackgroundLoss
    settings: FitSettings
    callback: Callback | None

    @property
    def gentle_loss(self) -> BackgroundLoss:
        """The loss once objects are masked: what is left is sky with noise on both sides.

        The low quantile of a large alpha would be a needlessly noisy estimate of it.
        """
        return replace(self.loss, alpha=min(self.loss.alpha, _LAST_ALPHA))

    def choose(
        self, problem: MMProblem, fit_loss: BackgroundLoss, blocks_short: int, standard_errors: float
    ) -> SmoothingPath:
        """Choose the smoothing by held-out blocks, on a sample of the pixels."""
        labels, partitions = held_out_blocks(self.prepared.usable, blocks_short)
        stride = max(1, len(labels) // _CHOICE_PIXELS)
        rows = slice(None, None, stride)
        return choose_smoothing(problem.rows(rows), labels[rows], partitions, fit_loss, self.loss, standard_errors)

    def weighed(self, sky: np.ndarray) -> MMProblem:
        """Return the problem with the weights of a map of the sky."""
        share = torch.from_numpy(sky[self.prepared.usable]).to(self.problem.weights)
        return replace(self.problem, weights=self.problem.weights * share[:, None])

    def solve(self, smoothing: float) -> _MMSolution:
        """Fit at one smoothing: anneal, move the control points if asked to, minimise, mask objects."""
        penalty = bending_penalty(smoothing, self.loss, self.pixels.values.shape[1])
        basis, problem = self.basis, replace(self.problem, penalty=penalty)
        found = anneal(problem, self.loss)
        start = found.coef
        if self.settings.move_control_points:
            basis, start = _move(basis, start.cpu(), self.pixels, self.loss, penalty)
            problem = replace(_problem(basis, self.pixels, problem.values.device), penalty=penalty)
        result = self._minimize(problem, self.loss, start, to_the_end=not self._masks_objects)
        n_iter = found.n_iter + result.n_iter
        sky = np.ones(self.prepared.usable.shape)
        if self._masks_objects:
            solver = replace(self, basis=basis, problem=problem)
            result, sky = solver._fit_without_objects(result.coef)
            n_iter += result.n_iter
        return _MMSolution(basis, result.coef, result.loss, result.curve, n_iter, sky)

    @property
    def _masks_objects(self) -> bool:
        if self.settings.mask_objects == "auto":
            return self.settings.loss_scale == "noise"
        return bool(self.settings.mask_objects)

    def _minimize(self, problem: MMProblem, loss: BackgroundLoss, start: Tensor, to_the_end: bool) -> MMResult:
        """Minimise on a sample of the pixels and, if to the end, from there on all of them."""
        max_iter, tol = self.settings.max_iter, self.settings.tol
        sample = problem.sample(_STAGE_PIXELS)
        result = minimize_mm(sample, loss, start, max_iter=max_iter, tol=tol, callback=self.callback)
        if sample is problem or not to_the_end:
            return result
        # From the sample's solution it is not far, and no valley is left to cross.
        final = minimize_mm(problem, loss, result.coef, max_iter=max_iter, tol=tol, patience=1, callback=self.callback)
        return replace(final, n_iter=final.n_iter + result.n_iter)

    def _fit_without_objects(self, coef: Tensor) -> tuple[MMResult, np.ndarray]:
        """Mask what lies coherently above the model and fit again, the last time with the gentle loss."""
        usable, problem = self.prepared.usable, self.problem
        noise = self.pixels.noise.to(problem.values)
        sky, n_iter = np.ones(usable.shape), 0
        losses = (*[self.loss] * (_OBJECT_PASSES - 1), self.gentle_loss)
        for k, loss in enumerate(losses):
            residual = np.zeros((*usable.shape, noise.shape[1]))
            residual[usable] = ((problem.values - problem.design @ coef.to(problem.design)) / noise).cpu().numpy()
            found = sky_weights(residual, usable)
            if found[usable].sum() >= problem.design.shape[1]:
                sky = found
            result = self._minimize(self.weighed(sky), loss, coef, to_the_end=k == len(losses) - 1)
            coef, n_iter = result.coef, n_iter + result.n_iter
        return replace(result, n_iter=n_iter), sky


def _problem(basis: SplineBasis, pixels: _Pixels, device: torch.device) -> MMProblem:
    design, values, weights = (
        part.to(device, torch.float32) for part in (basis.design(pixels.points), pixels.values, pixels.weights)
    )
    return MMProblem(design, basis.energies, values, weights, penalty=0.0)


def _move(basis: SplineBasis, coef: Tensor, pixels: _Pixels, loss: BackgroundLoss, penalty: float):
    n_sample = _MOVING_PIXELS_PER_POINT * len(basis.centres)
    points, values, weights = (_every(part, n_sample) for part in (pixels.points, pixels.values, pixels.weights))
    return move_control_points(basis, coef, points, values, weights, loss, penalty)


def _solve_adam(prepared, pixels, centres, degree, curve, loss, settings, device, callback) -> FittedBackground:
    start = interpolate(centres, _values_at(prepared, pixels, centres), settings.order, degree)
    points, values, weights = (
        part.to(device, torch.float32) for part in (pixels.points, pixels.values, pixels.weights)
    )
    result = minimize_adam(
        points, values, weights, start.to(device, torch.float32), loss,
        learning_rate=settings.learning_rate, max_iter=settings.max_iter, tol=settings.tol, callback=callback,
    )  # fmt: skip
    spline = result.spline.to("cpu", torch.float64)
    objects = np.zeros(prepared.usable.shape, dtype=bool)
    return FittedBackground(spline, curve, 0.0, None, result.loss, result.curve, result.n_iter, objects)


def _values_at(prepared: PreparedImage, pixels: _Pixels, centres: Tensor) -> Tensor:
    """Return the value of the reduced pixel nearest to each centre, the median where that one is not usable."""
    grid = prepared.coordinates
    flat = grid.reshape(-1, 2)
    rows = np.abs(grid[:, :1, 0] - centres[:, 0].numpy()).argmin(axis=0)
    columns = np.abs(grid[:1, :, 1].T - centres[:, 1].numpy()).argmin(axis=0)
    index = np.full(len(flat), -1)
    index[prepared.usable.ravel()] = np.arange(len(pixels.points))
    nearest = index[rows * grid.shape[1] + columns]
    at = pixels.values[torch.from_numpy(nearest)]
    median = pixels.values.median(dim=0).values
    return torch.where(torch.from_numpy(nearest >= 0)[:, None], at, median)


def _every(points: Tensor, at_most: int) -> Tensor:
    return points[:: max(1, len(points) // at_most)]
