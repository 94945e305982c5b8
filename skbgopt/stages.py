"""A fit by majorise-minimise in stages: on a sample first and on all pixels last, and again without the objects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ._threads import thread_map
from .grid_design import GridDesign
from .halos import halos
from .losses import BackgroundLoss
from .moving import move_control_points
from .objects import sky_weights
from .preparation import PreparedImage
from .skirts import blurred_objects, fit_skirts
from .smoothing import SmoothingPath, choose_smoothing, held_out_blocks, pixel_cost
from .solvers import Callback, MMProblem, MMResult, anneal, bending_penalty, by_column, minimize_mm
from .splines import SplineBasis
from .stretch import DARK, AsinhCurve, LinearCurve, MidtonesCurve
from .texture import calm_sky

if TYPE_CHECKING:
    from .fitting import FitSettings

# The stages of a fit run on a sample of this many pixels, only the last goes on to all of them.
_STAGE_PIXELS = 8192
# That of the fits which show how strong a gradient is, and whether there is a glow.
_FIRST_SMOOTHING = 1e-4
# A gradient is strong that has this many sigma of a reduced pixel from its dark end to its bright one. The loss is
# wider in proportion to the root: so grows the noise of the light itself (docs/method.md has the table).
_STRONG = 250.0
# The smoothing is chosen on this many: from more, models that bend learn to foresee more of the nebulae.
_CHOICE_PIXELS = 5000
# An object is what this share of the models agrees on: the stiff ones mask what they miss of a sky that bends.
_AGREED = 0.8
# On fewer pixels the threads of fits wait for each other rather than work.
_LEAST_THREADED = 4000
# Pixels that the control points are moved on, for each of them.
_MOVING_PIXELS_PER_POINT = 50
# Times that objects are masked and the sky fitted again.
_OBJECT_PASSES = 3
# The background may move by this many sigma of a reduced pixel, in the root mean square, where the halos of large
# objects are left out: their light is fainter, and a background that moves by more has lost its hold on the sky.
_MOST_MOVED = 0.5
# "auto" where dust fills the frame, of which held-out blocks choose none that is better (docs/method.md).
_SMOOTHING_IN_DUST = 1e-2


@dataclass(frozen=True)
class GridPixels:
    """Reduced pixels: values in the units of the fit and weights, of the whole grid and of a sample of the usable.

    Attributes
    ----------
    values, weights : Tensor of shape (n_grid, n_channels), float32
    index : ndarray of int, shape (n_sample,)
        Where the sample lies in the grid, row by row.
    points : Tensor of shape (n_sample, 2), float64
    sample_values, sample_weights : Tensor of shape (n_sample, n_channels), float64
    """

    values: Tensor
    weights: Tensor
    index: np.ndarray
    points: Tensor
    sample_values: Tensor
    sample_weights: Tensor


def grid_pixels(
    prepared: PreparedImage, curve: LinearCurve | MidtonesCurve, n_sample: int = _STAGE_PIXELS
) -> GridPixels:
    """Return the pixels with a sample of at least so many of the usable ones, or all of them."""
    n_channels = prepared.values.shape[2]
    index = np.flatnonzero(prepared.usable)
    index = index[:: max(1, len(index) // n_sample)]
    points = np.stack([prepared.y[index // len(prepared.x)], prepared.x[index % len(prepared.x)]], axis=1)
    linear, weights = (part.reshape(-1, n_channels) for part in (prepared.values, prepared.weights))
    sample = (points, curve.apply(linear[index]), weights[index].astype(float))
    return GridPixels(_by_channel(curve.apply(linear)), _by_channel(weights), index, *map(torch.from_numpy, sample))


def _counted(prepared: PreparedImage, curve: LinearCurve | MidtonesCurve, calm: np.ndarray | None) -> GridPixels:
    """Return the pixels, which in dust count for as much as they are calm."""
    if calm is not None:
        prepared = replace(prepared, weights=prepared.weights * calm[:, :, None].astype(prepared.weights.dtype))
    return grid_pixels(prepared, curve)


def _by_channel(array: np.ndarray) -> Tensor:
    """Return a float32 tensor of the same shape whose channels lie one after another: sums over them are faster."""
    return torch.from_numpy(np.ascontiguousarray(array.T, dtype=np.float32)).T


@dataclass(frozen=True)
class Stages:
    """The problem on the sample, where most of the fit happens, and on the whole grid, where it ends."""

    basis: SplineBasis
    sample: MMProblem
    grid: MMProblem

    def penalised(self, penalty: float) -> Stages:
        """Return the problems with a penalty."""
        sample = replace(self.sample, penalty=penalty)
        return Stages(self.basis, sample, replace(self.grid, penalty=penalty, sample=sample))

    def weighed(self, sky: np.ndarray, index: np.ndarray) -> Stages:
        """Return the problems with their weights times a map of the sky."""
        share = torch.from_numpy(sky.reshape(-1, 1))
        weights = self.sample.weights * share[torch.from_numpy(index)].to(self.sample.weights)
        sample = replace(self.sample, weights=weights)
        grid = replace(self.grid, weights=self.grid.weights * share.to(self.grid.weights), sample=sample)
        return Stages(self.basis, sample, grid)

    def without(self, light: np.ndarray, index: np.ndarray) -> Stages:
        """Return the problems with a map of light taken off their values."""
        share = torch.from_numpy(light.reshape(-1, light.shape[2]))
        values = self.sample.values - share[torch.from_numpy(index)].to(self.sample.values)
        sample = replace(self.sample, values=values)
        grid = replace(self.grid, values=self.grid.values - share.to(self.grid.values), sample=sample)
        return Stages(self.basis, sample, grid)


@dataclass(frozen=True)
class StagedSolution:
    """What was minimised last, on which pixels, and found on the sample of them."""

    stages: Stages
    result: MMResult
    sky: np.ndarray


@dataclass(frozen=True)
class StagedFit:
    """The stages of a fit by majorise-minimise on one set of pixels."""

    prepared: PreparedImage
    pixels: GridPixels
    curve: LinearCurve | MidtonesCurve
    loss: BackgroundLoss
    settings: FitSettings
    device: torch.device
    callback: Callback | None
    # How much each reduced pixel counts where dust fills the frame, None elsewhere.
    calm: np.ndarray | None = None
    # What was found already, by smoothing.
    solutions: dict[float, StagedSolution] = field(default_factory=dict)

    def stages(self, basis: SplineBasis) -> Stages:
        """Return the problems of a basis, without penalty."""
        pixels, device = self.pixels, self.device
        parts = (basis.design(pixels.points), pixels.sample_values, pixels.sample_weights)
        # In double precision on the CPU: in single a hair can tip a step, and with it the valley. Other devices are
        # slow in double, or know none.
        dtype = torch.float64 if device.type == "cpu" else torch.float32
        design, values, weights = (by_column(part.to(device, dtype)) for part in parts)
        sample = MMProblem(design, basis.energies, values, weights, 0.0)
        on_grid: Any = GridDesign.of(basis, self.prepared.y, self.prepared.x, device)
        grid = MMProblem(on_grid, basis.energies, pixels.values.to(device), pixels.weights.to(device), 0.0, sample)
        return Stages(basis, sample, grid)

    def on_grid(self, stages: Stages, coef: Tensor) -> np.ndarray:
        """Return the model on the grid in the units of the fit, shape (n_rows, n_columns, n_channels)."""
        model = stages.grid.design @ coef.to(stages.grid.values)
        return model.cpu().numpy().reshape(self.prepared.values.shape)

    def for_background(self, basis: SplineBasis) -> StagedFit:
        """Return the fit with what the range and the shape of a first background ask for.

        Dust that fills the frame asks for a lower envelope of its smooth places. A strong gradient wants a wider loss,
        as a spline misses it by more than the noise; a glow wants units in which it bends less, if they meet the pixels
        better.
        """
        prepared, usable, noise = self.prepared, self.prepared.usable, self.prepared.block_noise
        solution, background = self._first(basis)
        calm = None
        if self.calm is None and self.settings.masks_objects and not prepared.crowded:
            calm = calm_sky(prepared.residual_sigmas(background), usable)
        if calm is not None:
            return self.in_dust(calm).for_background(basis)
        strength = np.ptp(np.quantile(background[usable] / noise, [DARK, 1 - DARK], axis=0), axis=0).mean() / _STRONG
        if strength > 1:
            wider = self.in_units(self.curve, self.loss.eps * strength**0.5)
            solution, background = wider._first(basis)
        else:
            wider = self
        curve = AsinhCurve.of_glow(background[usable], noise)
        if curve is None:
            return wider
        bent = wider.in_units(curve, wider.loss.eps)
        again = bent.solve(bent.stages(basis), _FIRST_SMOOTHING)
        return bent if bent._cost(again) < wider._cost(solution) else wider

    def in_units(self, curve: LinearCurve | MidtonesCurve, eps: float) -> StagedFit:
        """Return the fit in other units, with another scale of the loss."""
        loss = self.loss.with_eps(eps)
        return replace(self, curve=curve, loss=loss, pixels=_counted(self.prepared, curve, self.calm), solutions={})

    def in_dust(self, calm: np.ndarray) -> StagedFit:
        """Return the fit of a lower envelope, to which pixels count by a map (`calm_sky`)."""
        settings = self.settings
        if settings.smoothing == "auto":
            settings = replace(settings, smoothing=_SMOOTHING_IN_DUST)
        return replace(
            self, pixels=_counted(self.prepared, self.curve, calm), calm=calm, solutions={},
            loss=replace(self.loss, envelope=True), settings=settings,
        )  # fmt: skip

    def _first(self, basis: SplineBasis) -> tuple[StagedSolution, np.ndarray]:
        """Return a fit, and its background on the grid in linear units, shape (n_rows, n_columns, n_channels)."""
        solution = self.solve(self.stages(basis), _FIRST_SMOOTHING)
        return solution, self.curve.invert(self.on_grid(solution.stages, solution.result.coef))

    def solve(self, stages: Stages, smoothing: float) -> StagedSolution:
        """Fit the sample at one smoothing: anneal, move the control points if asked to, minimise, mask objects."""
        if smoothing not in self.solutions:
            self.solutions[smoothing] = self._solve(stages, smoothing)
        return self.solutions[smoothing]

    def _solve(self, stages: Stages, smoothing: float) -> StagedSolution:
        penalty = bending_penalty(smoothing, self.loss, self.pixels.values.shape[1])
        stages = stages.penalised(penalty)
        found = anneal(stages.sample, self.loss)
        start: Tensor = found.coef
        gram: Tensor | None = found.gram
        if self.settings.move_control_points:
            basis, start = self._move(stages.basis, start, penalty)
            stages, gram = self.stages(basis).penalised(penalty), None
        result = self._minimize(stages.sample, start, gram)
        result = replace(result, n_iter=found.n_iter + result.n_iter)
        if self.settings.masks_objects:
            return self._without_objects(stages, result)
        return StagedSolution(stages, result, np.ones(self.prepared.usable.shape))

    def solve_at_best(self, stages: Stages) -> tuple[SmoothingPath, StagedSolution]:
        """Fit the sample at each smoothing of the settings, and choose among the solutions by held-out blocks."""
        smoothings = self.settings.smoothings
        n_sample = len(self.pixels.index)
        # Other devices work on their own, and not all may be called from several threads.
        each = thread_map if self.device.type == "cpu" and n_sample >= _LEAST_THREADED else map
        solutions = list(each(lambda smoothing: self.solve(stages, smoothing), smoothings))
        rows = np.linspace(0, n_sample - 1, min(n_sample, _CHOICE_PIXELS)).round().astype(int)
        at = self.pixels.index[rows]
        cuts = [(labels.ravel()[at], folds) for labels, folds in held_out_blocks(self.prepared.usable.shape)]
        chosen = torch.from_numpy(rows)
        # Single precision will do: nothing is built on these fits but a choice among seven.
        problems = [solution.stages.sample.rows(chosen).to(torch.float32) for solution in solutions]
        results = [solution.result for solution in solutions]
        weights = self.pixels.sample_weights[chosen]
        objects = np.mean([solution.sky.ravel()[at] < 0.5 for solution in solutions], axis=0)
        path = choose_smoothing(
            smoothings, problems, results, weights, objects <= _AGREED, cuts, self.loss, self.curve, each
        )
        return path, solutions[path.best]

    def without_skirts(self, solution: StagedSolution) -> StagedSolution:
        """Fit the sample again without the light that objects add to the sky around them."""
        prepared = self.prepared
        objects = 1 - solution.sky
        # The stretched values of the published fit are no sums of light.
        if not (objects.any() and isinstance(self.curve, LinearCurve)):
            return solution
        stages, result, index = solution.stages, solution.result, self.pixels.index
        noise = prepared.block_noise
        background = self.curve.invert(self.on_grid(stages, result.coef))
        blurred = blurred_objects(prepared.residual_sigmas(background), objects, prepared.usable)
        # What a sigma of light is there in the units of the fit.
        unit = (self.curve.apply(background + noise) - self.curve.apply(background)).mean(axis=2, keepdims=True)
        maps, sky = (part.reshape(objects.size, -1)[index] for part in (blurred * unit, solution.sky))
        skirts = blurred @ fit_skirts(stages.sample, maps, sky[:, 0], self.loss, result, self.settings)
        values = np.where(prepared.usable[:, :, None], prepared.values, 0)
        light = self.curve.apply(values) - self.curve.apply(values - skirts * noise)
        stages = stages.without(light, index)
        again = self._minimize(stages.sample, result.coef, result.gram)
        return StagedSolution(stages, replace(again, n_iter=result.n_iter + again.n_iter), solution.sky)

    def without_halos(self, solution: StagedSolution) -> StagedSolution:
        """Fit the sample again without the surroundings of large objects, where the sky that is left can do it."""
        prepared, usable = self.prepared, self.prepared.usable
        # Dust that fills the frame has no surroundings.
        if self.calm is not None or not isinstance(self.curve, LinearCurve) or np.all(solution.sky == 1):
            return solution
        stages, result, noise = solution.stages, solution.result, prepared.block_noise
        background = self.curve.invert(self.on_grid(stages, result.coef))
        halo = halos(prepared.residual_sigmas(background), solution.sky, usable)
        sky = np.where(halo, 0, solution.sky)
        if not halo.any() or sky[usable].sum() < stages.basis.n_functions:
            return solution
        stages = stages.weighed(np.where(halo, 0, 1), self.pixels.index)
        again = self._minimize(stages.sample, result.coef, result.gram)
        moved = (self.curve.invert(self.on_grid(stages, again.coef)) - background)[usable] / noise
        if np.sqrt(np.mean(moved**2)) > _MOST_MOVED:
            return solution
        return StagedSolution(stages, replace(again, n_iter=result.n_iter + again.n_iter), sky)

    def finish(self, solution: StagedSolution) -> MMResult:
        """Go on from the sample to all pixels."""
        result = solution.result
        if len(self.pixels.index) == np.count_nonzero(self.prepared.usable):
            return result
        # From the sample's solution it is not far, and no valley is left to cross.
        final = self._minimize(solution.stages.grid, result.coef, result.gram, patience=1)
        return replace(final, n_iter=result.n_iter + final.n_iter)

    def _cost(self, solution: StagedSolution) -> float:
        """Return the mean cost of the pixels of the sample, objects too."""
        design = solution.stages.sample.design
        model = design @ solution.result.coef.to(design)
        residual = self.curve.difference(self.pixels.sample_values.numpy(), model.cpu().numpy())
        return float(np.average(pixel_cost(residual, self.loss), weights=self.pixels.sample_weights.numpy()))

    def _move(self, basis: SplineBasis, coef: Tensor, penalty: float) -> tuple[SplineBasis, Tensor]:
        pixels, n_sample = self.pixels, _MOVING_PIXELS_PER_POINT * len(basis.centres)
        parts = (pixels.points, pixels.sample_values, pixels.sample_weights)
        points, values, weights = (every(part, n_sample) for part in parts)
        return move_control_points(basis, coef, points, values, weights, self.loss, penalty)

    def _minimize(self, problem: MMProblem, start: Tensor, gram: Tensor | None, patience: int = 3) -> MMResult:
        settings = self.settings
        return minimize_mm(
            problem, self.loss, start, gram,
            max_iter=settings.max_iter, tol=settings.tol, patience=patience, callback=self.callback,
        )  # fmt: skip

    def _without_objects(self, stages: Stages, result: MMResult) -> StagedSolution:
        """Mask what lies coherently above the model and fit again, several times."""
        prepared = self.prepared
        usable, sky = prepared.usable, np.ones(prepared.usable.shape)
        for _ in range(_OBJECT_PASSES):
            background = self.curve.invert(self.on_grid(stages, result.coef))
            found = sky_weights(prepared.residual_sigmas(background), prepared.weights)
            if found[usable].sum() >= stages.basis.n_functions:
                sky = found
            weighed = stages.weighed(sky, self.pixels.index)
            again = self._minimize(weighed.sample, result.coef, result.gram)
            result = replace(again, n_iter=result.n_iter + again.n_iter)
        return StagedSolution(weighed, result, sky)


def every(points: Tensor, n_points: int) -> Tensor:
    """Return every k-th point, at least so many or all."""
    return points[:: max(1, len(points) // n_points)]
