"""The noise of the sky, from differences of neighbours."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

# Differences of an image's pixels looked at for its noise: a relative error of 0.2 % of sigma.
_N_DIFFERENCES = 500_000


def sky_noise(image: np.ndarray, share: float = 0.5, lag: int = 1) -> np.ndarray:
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

    Returns
    -------
    ndarray of shape (n_channels,)
        0 where the image is too small or has no scatter.
    """
    reference = float(ndtri(0.5 + share / 2)) * np.sqrt(6.0)
    return np.array([_quantile_of_moduli(image[:, :, c], share, lag) for c in range(image.shape[2])]) / reference


def _quantile_of_moduli(channel: np.ndarray, share: float, lag: int) -> float:
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
    return float(np.partition(values, position)[position])
