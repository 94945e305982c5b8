"""Where the sky lies among the residuals of a fitted background, and how sure that is.

The loss leaves a background below the middle of the sky's pixels on purpose. They in turn lie above the sky: light
of faint stars lifts the medians of the blocks. It lifts some more than others, and only upwards, so it skews their
distribution, and the skewness tells how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from .quantiles import weighted_quantiles

# What stars lift the median of the sky's residuals by, over their skewness.
_LIFT = 1.8
# Standard error of that, and its scatter over an image, over the square of the skewness: the more crowded a field
# is, the more depends on how bright its stars are.
_CROWDING = 1.0
# The same lift where the stars that show are left out (docs/method.md: crowded fields), and its standard error, as
# nobody knows how many fainter ones there are, and its scatter over the image, both over the lift.
_LIFT_WITHOUT_STARS = 3.2
_GUESS, _SCATTER = 0.25, 0.15
# Standard error in sparse fields, times the root of the number of pixels.
_SAMPLING = 3.0
# No field of stars is more skewed (0.9 with 2.5 times the stars of the Milky Way): what is more are objects.
_MOST_SKEWNESS = 1.0
# The spline follows low pixels more than high ones, which narrows the distribution below it: what that does to the
# offset is the square of this times its coefficients for each pixel,
_OVERFIT = 15.0
# but nears one standard deviation with a rate of this in the coefficients for each pixel, on small images.
_SATURATION = 4.0
# Fewer pixels of sky tell no skewness.
_LEAST_PIXELS = 50


@dataclass(frozen=True)
class SkyLevel:
    """Where the sky lies above a background; each of shape (n_channels,).

    Attributes
    ----------
    offset : ndarray
        Of the sky from the background.
    error : ndarray
        Standard error of the offset.
    unevenness : ndarray
        Scatter over the image of what faint stars lift the background by.
    """

    offset: np.ndarray
    error: np.ndarray
    unevenness: np.ndarray


def sky_level(residual: np.ndarray, weights: np.ndarray, alpha: float, n_coefficients: int, crowded: bool) -> SkyLevel:
    """Return where the sky lies above a fitted background.

    The median of the residuals less 1.8 times (3.2 times in a crowded field) their skewness, upper width less lower
    width, from quantiles that neither stars nor remains of objects move much. Not higher than it would be without any
    star: there the background is the 1 / (2 + 2 alpha) quantile of the noise.

    Parameters
    ----------
    residual : ndarray of shape (n_pixels, n_channels)
        Reduced pixels less the background, of those that are sky.
    weights : ndarray of the same shape
        How much each counts.
    alpha : float
        Of the loss.
    n_coefficients : int
        Of the background.
    crowded : bool
        Whether the stars of a crowded field were left out.

    Returns
    -------
    SkyLevel
        In the noise of a reduced pixel, as the residuals.

    References
    ----------
    .. [1] L. Kish, "Survey Sampling", Wiley (1965): the effective sample size.
    """
    highest = -float(ndtri(1 / (2 + 2 * alpha)))
    n_channels = residual.shape[1]
    if np.count_nonzero(weights, axis=0).min() < _LEAST_PIXELS:
        return SkyLevel(np.zeros(n_channels), np.full(n_channels, max(highest, 1.0)), np.zeros(n_channels))
    channels = [(residual[weight > 0, c], weight[weight > 0] / weight.max()) for c, weight in enumerate(weights.T)]
    low, middle, high = np.transpose([weighted_quantiles(*channel, (0.1, 0.5, 0.75)) for channel in channels])
    # Pixels that all count alike and tell as much [1]_.
    n_pixels = np.array([weight.sum() ** 2 / (weight**2).sum() for _, weight in channels])
    # Of the width above the median over that below it, as those of normal distributions.
    skewness = np.clip((high - middle) / ndtri(0.75) - (middle - low) / ndtri(0.9), 0, _MOST_SKEWNESS)
    lift = (_LIFT_WITHOUT_STARS if crowded else _LIFT) * skewness
    offset = np.minimum(middle - lift, highest)
    if crowded:
        error, unevenness = _GUESS * lift, _SCATTER * lift
    else:
        error = unevenness = _CROWDING * skewness**2
    freedom = n_coefficients / n_pixels
    overfit = np.minimum((_OVERFIT * freedom) ** 2, -np.expm1(-_SATURATION * freedom))
    scatter = np.hypot(_SAMPLING / np.sqrt(n_pixels), overfit)
    return SkyLevel(offset, np.hypot(error, scatter), unevenness)
