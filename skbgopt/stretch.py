"""The stretch: a delinearisation that spends most of the range on the faint sky.

Per channel: subtract the pedestal, divide by a quantile, clip to [0, 1], then the midtones transfer function

    MTF(x) = (1 - m) x / ((1 - t^-1 m) x + (t^-1 - 1) m)

that maps 0, m, 1 to 0, t, 1; the balance m is the median of the clipped values, so that the sky goes to the target
t. MTF is the histogram transformation of PixInsight's documentation (J. Conejero).

And the units of a fit to values that are not stretched: those of the noise, bent where there is a glow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from ._validation import (
    MISSING_CONSTRAINT,
    TakesImages,
    as_channels,
    channel_samples,
    check_image,
    check_mask,
    is_missing,
    unwrap_image,
    work_dtype,
)

# The pedestal is the order statistic at this share of the pixels, the minimum where there are fewer than its
# inverse: one cold pixel must not move the stretch of the whole frame.
_PEDESTAL_SHARE = 1e-4
# The dark and the bright end of a background are these quantiles from its ends. It has a glow where the bright end lies
# this many times as far from the median as the dark one. The curve's knee is at this share of the way from end to end,
# and at no fewer sigma: noise must not be bent (docs/method.md has the tables).
DARK = 0.05
_GLOW_RATIO = 1.25
_KNEE = 0.65
_LEAST_KNEE = 10.0
# A curve makes some copies in double precision of what it is given.
_BAND_VALUES = 1 << 17
# A model may run away where it sees nothing, but not out of the numbers.
_MOST_KNEES = 15.0


@dataclass(frozen=True)
class MidtonesCurve:
    """The stretch of one or several channels, and its inverse.

    Attributes
    ----------
    pedestal, scale, midtones : ndarray of shape (n_channels,)
        What goes to 0; the distance from there to what goes to 1; the normalised value that goes to ``target``.
    target : float
    """

    pedestal: np.ndarray
    scale: np.ndarray
    midtones: np.ndarray
    target: float = 0.25

    @classmethod
    def from_samples(
        cls, samples: list[np.ndarray], quantile: float, target: float = 0.25, shown: list[np.ndarray] | None = None
    ) -> MidtonesCurve:
        """Measure the curve on the usable values of each channel.

        With `shown`, more values of each channel, the scale is large enough for their quantile as well.
        """
        points = np.array([_order_statistics(channel, quantile) for channel in samples])
        if shown is not None and shown is not samples:
            brightest = [_order_statistics(channel, quantile)[2] for channel in shown]
            points[:, 2] = np.maximum(points[:, 2], brightest)
        measured = np.array([_measure(*point) for point in points])
        return cls(measured[:, 0], measured[:, 1], measured[:, 2], target)

    def normalise(self, values: np.ndarray) -> np.ndarray:
        """Return (value - pedestal) / scale; channels in the last axis."""
        return (values - self.pedestal) / self.scale

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Stretch linear values, clipped to [0, 1]; channels in the last axis, NaN stays NaN."""
        x = np.clip(self.normalise(values), 0, 1)
        r, m = 1 / self.target, self.midtones
        # Rounding can carry the value of 1 beyond it, and out of a threshold_max of 1.
        return np.clip((1 - m) * x / ((1 - r * m) * x + (r - 1) * m), 0, 1)

    def invert(self, stretched: np.ndarray) -> np.ndarray:
        """Return the linear values. Outside [0, 1] the inverse goes on along its tangents.

        The formula itself has a pole at (1 - m) / (1 - r m), which a model may cross.
        """
        r, m = 1 / self.target, self.midtones
        y = np.clip(stretched, 0, 1)
        x = (r - 1) * m * y / ((1 - m) - (1 - r * m) * y)
        beyond = np.maximum(stretched - 1, 0) * ((1 - m) / ((r - 1) * m))
        before = np.minimum(stretched, 0) * ((r - 1) * m / (1 - m))
        return self.pedestal + self.scale * (x + beyond + before)

    def difference(self, stretched: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far stretched values lie apart, in the units of the loss: stretched ones."""
        return stretched - other


@dataclass(frozen=True)
class LinearCurve:
    """Values in units of a scale (the sky noise) above an offset; stands where a `MidtonesCurve` may stand."""

    offset: np.ndarray
    scale: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return (value - offset) / scale; channels in the last axis."""
        return (values - self.offset) / self.scale

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Return the linear values."""
        return self.offset + self.scale * scaled

    def difference(self, scaled: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far scaled values lie apart, in the units of the loss: those of the scale."""
        return scaled - other


@dataclass(frozen=True)
class AsinhCurve(LinearCurve):
    """The same near the offset, and like the logarithm beyond a knee (Lupton, Gunn and Szalay 1999, AJ 118, 1406).

    Attributes
    ----------
    knee : ndarray of shape (n_channels,)
        In units of the scale.
    """

    knee: np.ndarray

    @classmethod
    def of_glow(cls, background: np.ndarray, scale: np.ndarray) -> AsinhCurve | None:
        """Return the curve in which a background bends less, None where that is a straight one.

        A glow rises the faster the brighter it is, so that most of the sky is darker than the middle of its range.

        Parameters
        ----------
        background : ndarray of shape (n_pixels, n_channels)
            Near the true one.
        scale : ndarray of shape (n_channels,)
        """
        low, middle, high = np.quantile(background / scale, [DARK, 0.5, 1 - DARK], axis=0)
        if (high - middle).sum() <= _GLOW_RATIO * (middle - low).sum():
            return None
        return cls(low * scale, scale, np.maximum(_KNEE * (high - low), _LEAST_KNEE))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return knee asinh((value - offset) / (scale knee)); channels in the last axis."""
        return self.knee * np.arcsinh(super().apply(values) / self.knee)

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Return the linear values."""
        return super().invert(self.knee * np.sinh(np.clip(scaled / self.knee, -_MOST_KNEES, _MOST_KNEES)))

    def difference(self, scaled: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far scaled values lie apart, in units of the scale."""
        return (self.invert(scaled) - self.invert(other)) / self.scale


def _order_statistics(values: np.ndarray, quantile: float) -> tuple[float, float, float]:
    """Return pedestal, median and quantile of one channel; 0 and no range where there is no value."""
    n = len(values)
    if n == 0:
        return 0.0, 0.0, 0.0
    positions = [int(_PEDESTAL_SHARE * n), n // 2, min(int(quantile * (n - 1) + 0.5), n - 1)]
    parted = np.partition(values, positions)
    pedestal, median, top = (float(parted[k]) for k in positions)
    return pedestal, median, top


def _measure(pedestal: float, median: float, top: float) -> tuple[float, float, float]:
    """Return pedestal, scale and midtones of one channel."""
    scale = top - pedestal
    if not scale > 0:
        return pedestal, 1.0, 0.25
    return pedestal, scale, float(np.clip((median - pedestal) / scale, 1e-6, 1 - 1e-6))


def _bands(channels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views of the rows, so many at once that what a curve makes of them stays small."""
    rows_at_once = max(1, _BAND_VALUES // (channels.shape[1] * channels.shape[2]))
    for start in range(0, len(channels), rows_at_once):
        yield channels[start : start + rows_at_once]


class MidtonesStretch(TakesImages, TransformerMixin, BaseEstimator):
    """Stretch a linear image so that its sky lands on a quarter of the range.

    A masked array tells the sky from what is not: its pedestal and its median are those of the pixels that are not
    masked. What is masked is shown all the same, so the scale is large enough for it too: behind a `SourceMasker`
    stars and galaxies are not clipped to white, and a median at the target has the same contrast at any scale.

    Parameters
    ----------
    quantile : float in (0, 1], default=0.99
        The quantile of each channel (above its pedestal) that becomes 1; brighter pixels are clipped. Lower is
        a stronger stretch. Clipping stars is fine, clipping the brightest part of a gradient hides it. Of the
        quantile with and that without the masked pixels the larger counts.
    target : float in [0.001, 0.999], default=0.25
        Where the median goes.
    missing_values : float or None, default=0
        Pixels equal to it take no part and come back as they are; None for none. Non-finite ones never do.

    Attributes
    ----------
    curve_ : MidtonesCurve
        Pedestal, scale and midtones balance of each channel.
    n_features_in_ : int
        Width of the image seen in fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skbgopt import MidtonesStretch
    >>> image = np.random.default_rng(0).normal(1000.0, 10.0, size=(50, 60))
    >>> round(float(np.median(MidtonesStretch().fit_transform(image))), 2)
    0.25
    """

    _parameter_constraints = {
        "quantile": [Interval(Real, 0, 1, closed="right")],
        "target": [Interval(Real, 0.001, 0.999, closed="both")],
        "missing_values": MISSING_CONSTRAINT,
    }

    def __init__(self, *, quantile=0.99, target=0.25, missing_values=0):
        self.quantile = quantile
        self.target = target
        self.missing_values = missing_values

    def fit(self, X, y=None):
        """Measure pedestal, scale and midtones of each channel.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Any real dtype; np.ma and NDData bring their own mask.
        y : None
            Ignored.

        Returns
        -------
        self : MidtonesStretch
        """
        self._validate_params()
        X, mask = unwrap_image(X)
        X = self._image(X, reset=True)
        excluded = is_missing(X, self.missing_values)
        present = sky = channel_samples(X, excluded)
        if mask is not None:
            excluded = excluded | check_mask(mask, X.shape, type(self).__name__)
            sky = present if excluded.all() else channel_samples(X, excluded)
        self.curve_ = MidtonesCurve.from_samples(sky, self.quantile, self.target, shown=present)
        return self

    def transform(self, X):
        """Return the stretched image in [0, 1].

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear, with as many channels as that of `fit`.

        Returns
        -------
        ndarray of X's shape (np.ma with its mask for np.ma input)
            float64 for float64, float32 else. Missing pixels come back as they are.
        """
        check_is_fitted(self)
        return self._map(X, self.curve_.apply, self.missing_values)

    def inverse_transform(self, X):
        """Return the linear image of a stretched one.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            As from `transform`.

        Returns
        -------
        ndarray of X's shape (np.ma with its mask for np.ma input)
            float64 for float64, float32 else. What was clipped stays clipped, 0 is the pedestal.
        """
        check_is_fitted(self)
        return self._map(X, self.curve_.invert, None)

    def _map(self, image, curve, missing_values):
        X = self._image(unwrap_image(image)[0], reset=False)
        channels = as_channels(X)
        if channels.shape[2] != len(self.curve_.scale):
            raise ValueError(
                f"{type(self).__name__} was fitted on {len(self.curve_.scale)} channel(s), "
                f"got {channels.shape[2]}: fit it on such an image first."
            )
        mapped = np.empty(X.shape, X.dtype)
        bands, of_mapped = (_bands(array) for array in (channels, as_channels(mapped)))
        for band, out in zip(bands, of_mapped, strict=True):
            out[:] = curve(band)
            missing = is_missing(band, missing_values)
            out[missing] = band[missing]
        return np.ma.array(mapped, mask=np.ma.getmaskarray(image)) if isinstance(image, np.ma.MaskedArray) else mapped

    def _image(self, X, reset):
        dtype = work_dtype(check_image(X, type(self).__name__).dtype)
        return validate_data(self, X, reset=reset, dtype=dtype, allow_nd=True, ensure_all_finite=False)
