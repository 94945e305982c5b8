"""The noise of the sky, from differences of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

# Differences of an image's pixels looked at for its noise: a relative error of 0.2 % of sigma.
_N_DIFFERENCES = 500_000
# Values looked at for their step; they have one if each is met more often than this on average.
_N_SAMPLES = 1 << 16
_LEAST_TIES = 2


def sky_noise(image: np.ndarray, share: float = 0.5, lag: int = 1, steps: np.ndarray | None = None) -> np.ndarray:
    """Estimate the standard deviation of the noise of each channel.

    From second differences a - 2 b + c of pixels in a row or column, in which any linear gradient cancels: the
    given quantile of their moduli over that of a normal distribution. Stars and edges sit in the largest
    differences.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        NaN where there is no value.
    share : float in (0, 1), default=0.5
        The quantile; lower trusts only the calmest part of the image.
    lag : int, default=1
        Distance of the pixels compared.
    steps : ndarray of shape (n_channels,), optional
        Of the values, where they are rounded to multiples (0 where not), as `value_steps` finds them.

    Returns
    -------
    ndarray of shape (n_channels,)
        0 where the image is too small or has no scatter.
    """
    reference = float(ndtri(0.5 + share / 2)) * np.sqrt(6.0)
    steps = np.zeros(image.shape[2]) if steps is None else steps
    quantiles = [_quantile_of_moduli(image[:, :, c], share, lag, step) for c, step in enumerate(steps)]
    return np.array(quantiles) / reference


def value_steps(samples: Sequence[np.ndarray]) -> np.ndarray:
    """Return the step of the values of each channel, if they are multiples of one (as whole numbers are), else 0.

    The least distance of two values that are no rarer than others: a few pixels that were mended may lie in between.

    Parameters
    ----------
    samples : sequence of ndarray
        Values of each channel, float, without NaN.
    """
    steps = np.zeros(len(samples))
    for c, sample in enumerate(samples):
        some = sample[:: max(1, len(sample) // _N_SAMPLES)].astype(float)
        values, counts = np.unique(some, return_counts=True)
        if len(some) > _LEAST_TIES * len(values):
            step = np.diff(values[counts >= counts.mean()]).min(initial=np.inf)
            # The last digit of floats is no step.
            if np.finfo(sample.dtype).eps * np.abs(values).max() < step < np.inf:
                steps[c] = step
    return steps


def _quantile_of_moduli(channel: np.ndarray, share: float, lag: int, step: float) -> float:
    # Whole rows (columns) at a stride: neighbours must stay neighbours.
    stride = max(1, channel.size // _N_DIFFERENCES)
    moduli = []
    for lines in (channel[::stride], channel.T[::stride]):
        if lines.shape[1] > 2 * lag:
            lines = lines.astype(float, copy=False)
            bend = lines[:, : -2 * lag] - 2 * lines[:, lag:-lag] + lines[:, 2 * lag :]
            moduli.append(np.abs(bend[np.isfinite(bend)]))
    values = np.concatenate(moduli) if moduli else np.empty(0)
    if not len(values):
        return 0.0
    position = min(int(share * len(values)), len(values) - 1)
    found = float(np.partition(values, position)[position])
    if not step:
        return found
    # As many equal moduli of whole numbers are spread over the step around them.
    middle = step * round(found / step)
    low, high = max(middle - step / 2, 0.0), middle + step / 2
    below = np.count_nonzero(values < low)
    inside = np.count_nonzero(values < high) - below
    return float(low + (high - low) * (share * len(values) - below) / (inside or 1))
