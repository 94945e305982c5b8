"""Skirts, or wings: the faint light around objects, below what shows as one, that would lift a background there.

A background is drawn across an object from what it finds at the rim, so a little light there becomes much light under
the object. Where the rim is too faint to be masked it can still be measured: it falls off with the distance from the
object, and the sky does not. So maps of the objects' light, blurred by several widths, are fitted to the sky beside the
spline, and what they explain is taken off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from .losses import BackgroundLoss
from .objects import starless_light, thinned
from .solvers import MMProblem, MMResult, by_column, minimize_mm

if TYPE_CHECKING:
    from .fitting import FitSettings

# Standard deviations of the blur, as shares of the shorter side.
_WIDTHS = (0.055, 0.11)
# Light of objects counts from this many sigma of a reduced pixel on, less of which may be a misfit, and up to this many
# more, a bright core having no wider skirt for it.
_FAINTEST, _BRIGHTEST_OBJECT = 1.5, 5.0
# Where there are skirts they are not brighter on average than this many sigma: more would be masked (skbgopt.objects),
# and a misfit of the background asks for more.
_BRIGHTEST = 0.25
# Nor are they brighter than this share of the blurred light: around the few pixels of a bare sky that noise lifts,
# any factor would be found.
_LARGEST = 0.7
# Price of a skirt of 1 sigma in the mean square: what a spline can do as well is left to the spline.
_RIDGE = 1e-4
_LEAST = 1e-9


def blurred_objects(residual_sigmas: np.ndarray, objects: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return maps of the light of objects, blurred, shape (n_rows, n_columns, n_widths).

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where not usable.
    objects : ndarray of shape (n_rows, n_columns)
        How far each reduced pixel is an object, 0 to 1.
    usable : ndarray of bool, shape (n_rows, n_columns)
        Beyond these and the edges there is taken to be as much light as within.
    """
    starless, side = starless_light(residual_sigmas, usable)
    known, share = (thinned(part.astype(np.float32), side, "mean") for part in (usable, objects * usable))
    light = np.clip(starless - _FAINTEST, 0, _BRIGHTEST_OBJECT) * share
    maps = []
    for width in _WIDTHS:
        blurred, around = (
            gaussian_filter(part.astype(float), width * min(light.shape), mode="constant") for part in (light, known)
        )
        maps.append(torch.from_numpy(blurred / np.maximum(around, _LEAST)))
    whole = interpolate(torch.stack(maps)[None], scale_factor=side, mode="bilinear")[0]
    return whole[:, : usable.shape[0], : usable.shape[1]].permute(1, 2, 0).numpy()


def fit_skirts(
    problem: MMProblem,
    blurred: np.ndarray,
    sky: np.ndarray,
    loss: BackgroundLoss,
    start: MMResult,
    settings: FitSettings,
) -> np.ndarray:
    """Fit the spline and the skirts together, and return what the blurred maps are multiplied by.

    Parameters
    ----------
    problem : MMProblem
        With values in sigma of a reduced pixel, without the objects.
    blurred : ndarray of shape (n_pixels, n_widths)
        See `blurred_objects`.
    sky : ndarray of shape (n_pixels,)
        How far each pixel is sky.
    loss : BackgroundLoss
    start : MMResult
        Of the problem.
    settings : FitSettings

    Returns
    -------
    ndarray of shape (n_widths, n_channels)
        Not negative.
    """
    n_widths = blurred.shape[1]
    scale = np.maximum(np.sqrt(sky @ blurred**2 / max(sky.sum(), 1)), _LEAST)
    columns = blurred / scale
    # The solver multiplies energies by the penalty of the bending.
    ridge = np.full(n_widths, _RIDGE / max(problem.penalty, _LEAST))
    wider = replace(
        problem,
        design=by_column(torch.cat([problem.design, torch.from_numpy(columns).to(problem.design)], dim=1)),
        energies=torch.cat([problem.energies, torch.from_numpy(ridge).to(problem.energies)]),
    )
    coef = torch.cat([start.coef, start.coef.new_zeros(n_widths, start.coef.shape[1])])
    found = minimize_mm(wider, loss, coef, max_iter=settings.max_iter, tol=settings.tol)
    factors = np.maximum(found.coef[-n_widths:].numpy(), 0) / scale[:, None]
    skirts = blurred @ factors
    # The mean brightness over the sky, each pixel with its skirt as its weight.
    brightness = (sky @ skirts**2) / np.maximum(sky @ skirts, _LEAST)
    limits = (_BRIGHTEST / np.maximum(brightness, _LEAST), _LARGEST / np.maximum(factors.sum(axis=0), _LEAST))
    return factors * np.minimum(1, np.minimum(*limits))
