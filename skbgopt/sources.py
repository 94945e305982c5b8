"""Stars and extended objects, found by sep (the core of SExtractor) and masked."""

from __future__ import annotations

import threading
from numbers import Integral, Real

import numpy as np
import sep
from scipy.ndimage import distance_transform_edt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from ._validation import MISSING_CONSTRAINT, TakesImages, as_channels, check_image, check_mask, is_missing, unwrap_image
from .noise import sky_noise

# Pixels brighter than this, in units of the sky noise, are found just as well, and sep's float32 does not overflow.
_BRIGHTEST = 1e5
# The least local rms of the mean of n channels, in units of 1 / sqrt(n), which is expected: clipped black is no sky.
_LEAST_RMS = 0.5
# sep's pixel buffer is a setting of the whole process.
_PIXEL_BUFFER = threading.Lock()


class SourceMasker(TakesImages, TransformerMixin, BaseEstimator):
    """Mask the stars and extended objects of an image, so that what follows fits the sky alone.

    In a Pipeline before `BackgroundSplineRegressor` the mask keeps the sources out of the fit, and the whole
    image is corrected. Sources are what sep finds above a local background: connected pixels of the image,
    smoothed by 3 x 3 pixels, averaged over the channels in units of their noise. One mask serves all channels.

    Parameters
    ----------
    nsigma : float, default=2.5
        Detection threshold in units of the noise of the smoothed image. Lower masks more of faint halos.
    n_pixels : int, default=5
        Smallest area of a source. Raise it if hot pixels or noise are masked.
    box_size : int, default=64
        Side of the boxes of the local background in pixels. Objects wider than a box are taken for background
        in part; larger boxes mask more of them, and begin to take steep gradients for sources.
    grow : float, default=0.5
        Growth of each source, in units of its depth: the greatest distance of its pixels from its edge. Bright
        stars, whose wings reach further, grow more. 0 for none.
    missing_values : float or None, default=0
        Pixels in which a channel equals it are masked, as non-finite ones are, and take no part in the detection;
        None for none. So do those that a masked array or NDData masks.

    Attributes
    ----------
    n_features_in_ : int
        Width of the image seen in fit. Nothing else is learned: `transform` and `mask` need no fit.

    Examples
    --------
    >>> from skbgopt import make_sky_image
    >>> from skbgopt.sources import SourceMasker
    >>> frame = make_sky_image("galaxy", shape=(200, 300), random_state=0)
    >>> masked = SourceMasker().fit_transform(frame.image)
    >>> type(masked).__name__, masked.shape
    ('MaskedArray', (200, 300, 3))
    """

    _parameter_constraints = {
        "nsigma": [Interval(Real, 0, None, closed="neither")],
        "n_pixels": [Interval(Integral, 1, 1_000_000, closed="both")],
        "box_size": [Interval(Integral, 8, 1_000_000, closed="both")],
        "grow": [Interval(Real, 0, 100, closed="both")],
        "missing_values": MISSING_CONSTRAINT,
    }

    def __init__(self, *, nsigma=2.5, n_pixels=5, box_size=64, grow=0.5, missing_values=0):
        self.nsigma = nsigma
        self.n_pixels = n_pixels
        self.box_size = box_size
        self.grow = grow
        self.missing_values = missing_values

    def fit(self, X, y=None):
        """Check the image; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
        y : None
            Ignored.

        Returns
        -------
        self : SourceMasker
        """
        self._validate_params()
        self._check(X, reset=True)
        return self

    def transform(self, X):
        """Return the image with its sources masked.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image, any real dtype; np.ma and NDData bring their own mask.

        Returns
        -------
        MaskedArray of X's shape and dtype
            A view of the data, not a copy; True = masked, in all channels alike.
        """
        image, excluded = self._check(X, reset=False)
        mask = self._detect(image, excluded)
        if image.ndim == 3:
            mask = np.repeat(mask[:, :, None], image.shape[2], axis=2)
        return np.ma.MaskedArray(image, mask=mask)

    def mask(self, X):
        """Return the mask alone, as the ``mask`` of `BackgroundSplineRegressor.fit`.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)

        Returns
        -------
        ndarray of bool, shape (height, width)
            True = source, missing, or masked in X.
        """
        return self._detect(*self._check(X, reset=False))

    def _check(self, X, reset):
        """Return the image and the pixels that are masked already."""
        who = type(self).__name__
        X, own_mask = unwrap_image(X)
        image = validate_data(self, X, reset=reset, dtype="numeric", allow_nd=True, ensure_all_finite=False)
        image = check_image(image, who)
        excluded = is_missing(image, self.missing_values)
        if own_mask is not None:
            excluded |= check_mask(own_mask, image.shape, who)
        return image, excluded

    def _detect(self, image, excluded):
        self._validate_params()
        if excluded.all():
            return excluded
        channels = as_channels(image)
        light = _mean_in_noise_units(channels, excluded)
        background = sep.Background(light, mask=excluded, bw=self.box_size, bh=self.box_size)
        light -= background.back()
        rms = np.maximum(background.rms(), np.float32(_LEAST_RMS / np.sqrt(channels.shape[2])))
        segmentation, sources = _extract(light, self.nsigma, err=rms, mask=excluded, minarea=self.n_pixels)
        return excluded | _grown(segmentation, sources, self.grow)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _mean_in_noise_units(channels: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Return the mean of the channels, each less its median over its noise; float32 of shape (height, width)."""
    usable = ~excluded
    mean = np.zeros(excluded.shape, dtype=np.float32)
    for c in range(channels.shape[2]):
        channel = channels[:, :, c]
        values = np.where(usable, channel, np.nan).astype(np.promote_types(channel.dtype, np.float32), copy=False)
        values -= np.median(values[usable])
        # Where half of the pixels are alike (coarse integers), what stands out from the scatter of all is a source.
        values /= sky_noise(values[:, :, None])[0] or np.nanstd(values) or 1
        mean += np.clip(np.where(usable, values, 0), -_BRIGHTEST, _BRIGHTEST) / channels.shape[2]
    return mean


def _extract(light: np.ndarray, nsigma: float, **settings):
    """Return sep's segmentation map (k + 1 in the pixels of source k, else 0) and its table of sources."""
    # One threshold means no deblending: a mask needs no parts of sources, and crowded fields would exceed the limit
    # of sub-objects.
    settings |= {"deblend_nthresh": 1, "clean": False, "segmentation_map": True}
    with _PIXEL_BUFFER:
        before = sep.get_extract_pixstack()
        try:
            while True:
                try:
                    sources, segmentation = sep.extract(light, nsigma, **settings)
                    return segmentation, sources
                except Exception as error:  # sep has no narrower one
                    if "pixel buffer full" not in str(error):
                        raise
                    sep.set_extract_pixstack(2 * sep.get_extract_pixstack())
        finally:
            sep.set_extract_pixstack(before)


def _grown(segmentation: np.ndarray, sources: np.ndarray, grow: float) -> np.ndarray:
    """Return the pixels that are no further from a source than `grow` times its depth."""
    height, width = segmentation.shape
    mask = segmentation > 0
    for k, source in enumerate(sources if grow > 0 else ()):
        top, bottom, left, right = source["ymin"], source["ymax"] + 1, source["xmin"], source["xmax"] + 1
        inside = np.pad(segmentation[top:bottom, left:right] == k + 1, 1)
        radius = grow * distance_transform_edt(inside).max()
        reach = int(radius)
        window = (
            slice(max(top - reach, 0), min(bottom + reach, height)),
            slice(max(left - reach, 0), min(right + reach, width)),
        )
        mask[window] |= distance_transform_edt(segmentation[window] != k + 1) <= radius
    return mask
