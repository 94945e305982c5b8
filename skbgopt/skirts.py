"""Skirts: the faint light around objects, below what shows as one, that would lift a background at their edges.

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

from .losses import BackgroundLoss
from .solvers import MMProblem, MMResult, by_column, minimize_mm

if TYPE_CHECKING:
    from .fitting import FitSettings

# Standard deviations of the blur, as shares of the shorter side.
_WIDTHS = (0.055, 0.11)
# An object's light counts up to this many sigma of a reduced pixel: a bright core has no wider skirt for it.
_BRIGHTEST_OBJECT = 5.0
# On all but a twentieth of the sky skirts are no brighter than this many sigma of a reduced pixel, two thirds of what
# shows as an object (skbgopt.objects): what a misfit asks for is not believed.
_BRIGHTEST, _BRIGHTER = 0.4, 0.05
# Price of a skirt of 1 sigma in the mean square: what a spline can do as well is left to the spline.
_RIDGE = 1e-4
_LEAST = 1e-9


def blurred_objects(residual_sigmas: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Return maps of the light of objects, blurred, shape (n_rows, n_columns, n_widths).

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel.
    objects : ndarray of shape (n_rows, n_columns)
        How far each reduced pixel is an object, 0 to 1; 0 where there is no value.
    """
    light = np.clip(residual_sigmas.mean(axis=2), 0, _BRIGHTEST_OBJECT) * objects
    widths = [share * min(light.shape) for share in _WIDTHS]
    return np.stack([gaussian_filter(light, width, mode="constant") for width in widths], axis=2)


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
        Of a problem much like this one.
    settings : FitSettings

    Returns
    -------
    ndarray of shape (n_widths, n_channels)
        Not negative.
    """
    n_widths = blurred.shape[1]
    rms = np.sqrt(sky @ blurred**2 / max(sky.sum(), 1))
    columns = blurred / np.maximum(rms, _LEAST)
    # The solver multiplies energies by the penalty of the bending.
    ridge = np.full(n_widths, _RIDGE / max(problem.penalty, _LEAST))
    wider = replace(
        problem,
        design=by_column(torch.cat([problem.design, torch.from_numpy(columns).to(problem.design)], dim=1)),
        energies=torch.cat([problem.energies, torch.from_numpy(ridge).to(problem.energies)]),
    )
    coef = torch.cat([start.coef, start.coef.new_zeros(n_widths, start.coef.shape[1])])
    found = minimize_mm(wider, loss, coef, max_iter=settings.max_iter, tol=settings.tol)
    factors = np.maximum(found.coef[-n_widths:].numpy(), 0)
    if (sky > 0.5).any():
        high = np.quantile((columns @ factors)[sky > 0.5], 1 - _BRIGHTER, axis=0)
        factors *= np.minimum(_BRIGHTEST / np.maximum(high, _LEAST), 1)
    return factors / np.maximum(rms, _LEAST)[:, None]
