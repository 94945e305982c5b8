"""From a prepared image to its background spline: range, control points, basis, smoothing, solver."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import comb

import numpy as np
import torch
from torch import Tensor

from ._threads import single_threaded
from .adam import interpolate, minimize_adam
from .control_points import grid_control_points, random_control_points
from .losses import BackgroundLoss
from .preparation import FitUnits, PreparedImage
from .sky_level import sky_level
from .smoothing import SMOOTHING_PATH, SmoothingPath
from .solvers import Callback, MMResult
from .splines import Spline, spline_basis, tail_degree
from .stages import StagedFit, StagedSolution, every, grid_pixels
from .stretch import LinearCurve, MidtonesCurve
from .uncertainty import covariances, error_coefficients

# Residuals up to this many standard deviations of a reduced pixel count as sky (docs/method.md: the loss scale).
_NOISE_SCALE = 2.0
# Share of that scale within which residuals are as good as none. With 0.01 flips and units tip the fit into other
# valleys, with 0.3 the choice of the smoothing goes astray.
_NOISE_ROUNDING = 0.1
# Pixels over which the basis is made orthonormal; it hardly gains from more.
_BASIS_PIXELS = 4096


@dataclass(frozen=True)
class FitSettings:
    """The parameters of `BackgroundSplineRegressor` that concern the fit, and the smoothings that "auto" tries."""

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
    smoothings: tuple[float, ...] = SMOOTHING_PATH

    @property
    def masks_objects(self) -> bool:
        """Whether extended objects, and the stars of crowded fields, are masked."""
        wanted = self.loss_scale == "noise" if self.mask_objects == "auto" else bool(self.mask_objects)
        return wanted and self.solver == "mm"


@dataclass(frozen=True)
class FittedBackground:
    """A spline in the units of a curve.

    Attributes
    ----------
    spline : Spline
        float64, on the CPU, in the frame's coordinates.
    curve : LinearCurve or MidtonesCurve
        Its ``invert`` takes the spline's values to linear units.
    level : ndarray of shape (n_channels,)
        Median of the background over the usable pixels, in linear units.
    smoothing : float
    path : SmoothingPath or None
    loss : float
    loss_curve : list of float
    n_iter : int
    objects : ndarray of bool
        Reduced pixels taken for extended objects.
    background : ndarray of shape (n_rows, n_columns, n_channels)
        On the reduced pixels, in linear units.
    error_coef : ndarray, or None
        See `error_coefficients`; None where the solver has none.
    level_std : ndarray of shape (n_channels,), or None
        Standard error of the level, in linear units.
    units : FitUnits or None
        With the curve before the level was put right; None where stretched values were fitted.
    """

    spline: Spline
    curve: LinearCurve | MidtonesCurve
    level: np.ndarray
    smoothing: float
    path: SmoothingPath | None
    loss: float
    loss_curve: list[float]
    n_iter: int
    objects: np.ndarray
    background: np.ndarray
    error_coef: np.ndarray | None
    level_std: np.ndarray | None
    units: FitUnits | None = None


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
    degree = tail_degree(settings.order, settings.degree)
    _check_enough(prepared, curve, settings.n_control_points, degree)
    centres = torch.from_numpy(_control_points(prepared, settings, random_state))
    solve = _solve_adam if settings.solver == "adam" else _solve_mm
    # Adam works on all pixels at every step, which gains from several threads.
    with nullcontext() if settings.solver == "adam" else single_threaded():
        return solve(prepared, centres, degree, curve, loss, settings, device, callback)


def _range_and_loss(
    prepared: PreparedImage, settings: FitSettings
) -> tuple[LinearCurve | MidtonesCurve, BackgroundLoss]:
    """Return the units of the fit, and the loss in them."""
    if not isinstance(settings.loss_scale, str):
        return prepared.curve, BackgroundLoss(eps=settings.loss_scale, alpha=settings.alpha)
    # The published colour term is quadratic in a range of 1; in units of the noise that range is scale / noise.
    colour = float(np.mean(prepared.block_noise / prepared.curve.scale))
    curve = LinearCurve(_floor(prepared), prepared.block_noise)
    # Unlike stretched values, linear ones may be negative: no floor.
    loss = BackgroundLoss(_NOISE_SCALE, settings.alpha, colour, floor=False, rounding=_NOISE_ROUNDING)
    return curve, loss


def _floor(prepared: PreparedImage) -> np.ndarray:
    """Return the level below which the sky is not expected: the pedestal, if that is anywhere near the sky.

    Values far below it (which mark missing pixels in some files) must not take the digits of float32.
    """
    values = prepared.values[prepared.usable]
    if not len(values):
        return prepared.curve.pedestal
    low, middle = np.quantile(values, [0.05, 0.5], axis=0)
    return np.maximum(prepared.curve.pedestal, low - 10 * (middle - low))


def _check_enough(
    prepared: PreparedImage, curve: LinearCurve | MidtonesCurve, n_control_points: int, degree: int
) -> None:
    needed = max(n_control_points, comb(degree + 2, 2))
    of_channels = np.count_nonzero(prepared.weights, axis=(0, 1))
    found = int(of_channels.min())
    if found < needed:
        where = f" in channel {of_channels.argmin()}" if np.ptp(of_channels) > 0 else ""
        raise ValueError(
            f"Only {found} reduced pixels are usable{where}, {needed} are needed for {n_control_points} control points "
            f"and degree {degree}; {prepared.describe_excluded()}. {_advice(prepared)}"
        )
    usable = prepared.usable
    linear = prepared.values[usable]
    varies = np.ptp(curve.apply(np.stack([linear.min(axis=0), linear.max(axis=0)])), axis=0) > 0
    if not varies.all():
        raise ValueError(
            f"Channel {np.argmin(varies)} is constant where it is usable, there is no background to fit; "
            f"{prepared.describe_excluded()}."
        )


def _advice(prepared: PreparedImage) -> str:
    if prepared.excluded.get("outside the thresholds", 0) > prepared.frame.height * prepared.frame.width / 2:
        return "Widen the thresholds; if some pixels are far brighter than all else, mask them or lower quantile."
    return "Lower n_control_points or downscale_factor, or exclude less."


def _control_points(prepared: PreparedImage, settings: FitSettings, random_state: np.random.RandomState) -> np.ndarray:
    usable = prepared.usable
    axes = prepared.y[usable.any(axis=1)], prepared.x[usable.any(axis=0)]
    low, high = (np.array([end(axis) for axis in axes]) for end in (np.min, np.max))
    if settings.init == "grid":
        return grid_control_points(settings.n_control_points, low, high)
    return random_control_points(settings.n_control_points, low, high, random_state)


def _solve_mm(prepared, centres, degree, curve, loss, settings, device, callback) -> FittedBackground:
    pixels = grid_pixels(prepared, curve)
    basis = spline_basis(centres, every(pixels.points, _BASIS_PIXELS), settings.order, degree)
    solver = StagedFit(prepared, pixels, curve, loss, settings, device, callback)
    if isinstance(curve, LinearCurve):
        solver = solver.for_background(basis) if prepared.units is None else _as_known(solver, prepared.units)
    stages = solver.stages(basis)
    path, smoothing = None, solver.settings.smoothing
    if isinstance(smoothing, str):
        path, solution = solver.solve_at_best(stages)
        smoothing = path.choice
    else:
        solution = solver.solve(stages, smoothing)
    solution = solver.without_halos(solver.without_skirts(solution))
    return _judged(solver, solution, solver.finish(solution), smoothing, path)


def _as_known(solver: StagedFit, units: FitUnits) -> StagedFit:
    """Return the fit as an earlier one of the same image had it."""
    if units.calm is not None and solver.settings.masks_objects:
        solver = solver.in_dust(units.calm)
    return solver.in_units(units.curve, units.eps)


def _judged(
    solver: StagedFit, solution: StagedSolution, result: MMResult, smoothing: float, path: SmoothingPath | None
) -> FittedBackground:
    """Return what was found with its level put right and its standard errors."""
    prepared, stages, curve = solver.prepared, solution.stages, solver.curve
    objects = prepared.usable & (solution.sky < 0.5)
    on_grid = solver.on_grid(stages, result.coef)
    residual = prepared.residual_sigmas(curve.invert(on_grid))
    sky = prepared.usable & ~objects
    found = sky_level(residual[sky], prepared.weights[sky], solver.loss.alpha, len(result.coef), prepared.crowded)
    units = FitUnits(curve, solver.loss.eps, solver.calm) if isinstance(curve, LinearCurve) else None
    if isinstance(curve, LinearCurve):
        curve = replace(curve, offset=curve.offset + found.offset * prepared.block_noise)
        level_std = found.error
    else:
        # The published fit is left as it is, and this much wrong.
        level_std = np.hypot(found.offset, found.error)
    background = curve.invert(on_grid)
    level = np.median(background[prepared.usable], axis=0)
    noise = np.ptp(curve.apply(np.stack([level - prepared.block_noise, level + prepared.block_noise])), axis=0) / 2
    parts = covariances(stages.grid, stages.basis, prepared.y, prepared.x, solver.loss, result.coef)
    covariance = np.sum(parts, axis=0)
    errors = error_coefficients(stages.basis, covariance, found.unevenness * noise)
    return FittedBackground(
        stages.basis.spline(result.coef), curve, level, smoothing, path, result.loss, result.curve, result.n_iter,
        objects, background, errors, level_std * prepared.block_noise, units,
    )  # fmt: skip


def _solve_adam(prepared, centres, degree, curve, loss, settings, device, callback) -> FittedBackground:
    pixels = grid_pixels(prepared, curve, prepared.usable.size)
    start = interpolate(centres, _values_at(prepared, curve.apply(prepared.values), centres), settings.order, degree)
    points, sky, weights = (
        part.to(device, torch.float32) for part in (pixels.points, pixels.sample_values, pixels.sample_weights)
    )
    result = minimize_adam(
        points, sky, weights, start.to(device, torch.float32), loss,
        learning_rate=settings.learning_rate, max_iter=settings.max_iter, tol=settings.tol, callback=callback,
    )  # fmt: skip
    spline = result.spline.to("cpu", torch.float64)
    everywhere = np.stack(np.meshgrid(prepared.y, prepared.x, indexing="ij"), axis=-1).reshape(-1, 2)
    background = curve.invert(spline(torch.from_numpy(everywhere)).numpy()).reshape(prepared.values.shape)
    level = np.median(background[prepared.usable], axis=0)
    objects = np.zeros(prepared.usable.shape, dtype=bool)
    return FittedBackground(
        spline, curve, level, 0.0, None, result.loss, result.curve, result.n_iter, objects, background, None, None
    )


def _values_at(prepared: PreparedImage, values: np.ndarray, centres: Tensor) -> Tensor:
    """Return the value of the reduced pixel nearest to each centre, the median where that one is not usable."""
    y, x = centres.numpy().T
    rows, columns = (np.abs(axis[:, None] - at).argmin(axis=0) for axis, at in ((prepared.y, y), (prepared.x, x)))
    usable = prepared.usable
    median = np.median(values[usable], axis=0)
    return torch.from_numpy(np.where(usable[rows, columns, None], values[rows, columns], median))
