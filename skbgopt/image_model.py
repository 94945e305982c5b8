"""What a fitted spline does to images: `SplineImageModel`."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from . import _persistence
from ._threads import single_threaded
from ._validation import TakesImages, as_channels, check_image, unwrap_image, work_dtype
from .correction import correct_image
from .frame import ImageFrame
from .lattice import TOLERANCE, Lattice, evaluate_on_lattice
from .masks import PixelSelection
from .metrics import background_r2, sky_loss
from .splines import Spline

# Error allowed in the interpolation of the standard error's logarithm, as a share of its range.
_ERROR_TOLERANCE = 1e-2
# Points whose standard errors are evaluated at once: each has dozens of terms.
_POINTS_AT_ONCE = 4096


class SplineImageModel(TakesImages, TransformerMixin, RegressorMixin, BaseEstimator):
    """All of `BackgroundSplineRegressor` that comes after the fit: predict, transform, score, save and load.

    Needs the parameters ``missing_values``, ``correction`` and ``level``, and the attributes that a fit leaves.
    """

    __metadata_request__score = {"mask": True, "sample_weight": True}

    def predict(self, X, return_std=False, out=None):
        """Return the background on the grid of X, in linear units.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Only its shape and dtype matter; the frame fitted is laid on it.
        return_std : bool, default=False
            Return the standard error of the background as well (see `skbgopt.uncertainty`). Not for
            ``solver="adam"``.
        out : ndarray of X's shape, float, optional
            Where the background goes (also an array mapped from a file), so that no second image is held.

        Returns
        -------
        background : ndarray of X's shape
            Finite everywhere; float64 for images of float64 or of integers of more than 16 bits, float32 else. `out`
            itself, if given.
        std : ndarray of X's shape
            Its standard error, positive, in the same units. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If X has other channels than the image fitted, `out` is no array of floats of its shape, or a standard
            error is wanted where the solver has none.
        """
        image = self._check_fitted_image(X)
        if return_std and self.error_coef_ is None:
            raise ValueError(
                f"{type(self).__name__} knows the standard error of a background fitted by solver='mm' only, this one "
                f"was fitted by solver={self.solver!r}: fit it with solver='mm'."
            )
        dtype = work_dtype(image.dtype)
        if out is None:
            out = np.empty(image.shape, dtype)
        elif isinstance(out, np.ndarray) and not out.flags.writeable:
            raise ValueError("The 'out' parameter of predict is read-only: leave it out for a new array.")
        elif not isinstance(out, np.ndarray) or out.shape != image.shape or out.dtype.kind != "f":
            came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(
                f"The 'out' parameter of predict must be an array of floats of shape {image.shape}, "
                f"got {came}: leave it out for a new one."
            )
        self._lattice(image.shape[:2]).render_into(as_channels(out), dtype)
        return (out, self._standard_error(image.shape[:2], dtype).reshape(image.shape)) if return_std else out

    def transform(self, X, copy=True):
        """Return the image without its background.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
        copy : bool, default=True
            False writes the result over X where X is a writable array of float32 or float64 (also one mapped from
            a file), so that no second image is held; where it is not, a new one is returned all the same.

        Returns
        -------
        ndarray of X's shape (np.ma with its mask for np.ma input)
            Linear, nothing clipped. Missing pixels come back as they are; masked ones are corrected like others.
        """
        return self._correct(X, copy, inverse=False)

    def fit_transform(self, X, y=None, *, mask=None, sample_weight=None, copy=True):
        """Fit the background of an image and return the image without it.

        Parameters
        ----------
        X, y, mask, sample_weight
            As in `fit`.
        copy
            As in `transform`.

        Returns
        -------
        ndarray of X's shape (np.ma with its mask for np.ma input)
        """
        return self.fit(X, y, mask=mask, sample_weight=sample_weight).transform(X, copy=copy)

    def inverse_transform(self, X, copy=True):
        """Put the background back: the inverse of `transform`.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Without its background.
        copy
            As in `transform`.

        Returns
        -------
        ndarray of X's shape (np.ma with its mask for np.ma input)
        """
        return self._correct(X, copy, inverse=True)

    def score(self, X, y=None, *, mask=None, sample_weight=None):
        """Return how well the background fits: higher is better.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
        y : array-like of X's shape, optional
            The true background, if known.
        mask, sample_weight
            As in `fit`.

        Returns
        -------
        float
            With y, R^2 over the usable pixels. Without, minus `skbgopt.metrics.sky_loss`: from 0 (all is sky)
            to -1, in linear units over the sky noise and so comparable between any two settings. It is measured
            on pixels that were fitted, so it rewards a model that follows nebulae: it cannot choose a smoothing,
            ``smoothing="auto"`` can.
        """
        selection = self._select(X, mask, sample_weight)
        background = self.predict(unwrap_image(X)[0])
        if y is None:
            return -sky_loss(selection, background)
        return background_r2(selection, background, check_image(y, f"The score of {type(self).__name__}"))

    def save(self, path):
        """Write parameters and fitted model to an .npz file without pickles (see `load`).

        Parameters
        ----------
        path : str or Path
            As it is, no suffix is added; a file that is there is replaced, once the new one is whole.

        Raises
        ------
        ValueError
            If parameters were set since the fit that are not allowed, or not those of the fit's spline and blocks.
        """
        check_is_fitted(self)
        # Parameters may have been set since the fit, and `load` takes allowed ones only.
        self._validate_params()
        _persistence.save(self, path)

    @classmethod
    def load(cls, path):
        """Return the estimator that `save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        BackgroundSplineRegressor
            Fitted.

        Raises
        ------
        ValueError
            If the file is not such a model, or one that cannot be right.
        """
        return _persistence.load(cls, path)

    def _select(self, X, mask, sample_weight):
        return PixelSelection.from_input(X, mask, sample_weight, self.missing_values, type(self).__name__)

    def _lattice(self, shape) -> Lattice:
        frame = ImageFrame(*self.image_shape_[:2])
        return self._evaluate(lambda rows, columns: frame.axes(rows, columns, shape), shape)

    def _evaluate(self, axes, shape, tolerance=TOLERANCE) -> Lattice:
        """Return the background on a grid, whose positions ``axes`` takes to the frame's coordinates."""
        spline = self._spline(self.coef_)

        def model(rows, columns):
            values = self.curve_.invert(spline(_grid_points(*axes(rows, columns))).numpy())
            return values.reshape(len(rows), len(columns), -1)

        with single_threaded():
            return evaluate_on_lattice(model, shape, tolerance)

    def _spline(self, coef) -> Spline:
        """Return the spline of some coefficients on the control points: kernel weights, then the tail."""
        n = len(self.control_points_)
        centres = ImageFrame(*self.image_shape_[:2]).from_pixels(self.control_points_)
        return Spline.from_numpy(centres, coef[:n], coef[n:], self.order_, self.degree_)

    def _standard_error(self, shape, dtype):
        """Return the standard error of the background on an image of so many pixels, all channels."""
        frame, background = ImageFrame(*self.image_shape_[:2]), self._spline(self.coef_)
        roots = [self._spline(coef) for coef in self.error_coef_]

        def log_error(rows, columns):
            points = _grid_points(*frame.axes(rows, columns, shape))
            bands = []
            for band in points.split(_POINTS_AT_ONCE):
                value = background(band).numpy()
                error = np.stack([root(band).square().sum(dim=1).sqrt().numpy() for root in roots], axis=1)
                # Where the units of the fit are not linear, half the range from one error below to one above.
                bands.append((self.curve_.invert(value + error) - self.curve_.invert(value - error)) / 2)
            # Of the logarithm, so that an interpolated error is positive as well; over that of the level, as whose
            # multiple it is in the range of float32 in any units.
            error = np.hypot(np.concatenate(bands) / self.level_std_, 1)
            return np.log(error).reshape(len(rows), len(columns), -1)

        with single_threaded():
            lattice = evaluate_on_lattice(log_error, shape, _ERROR_TOLERANCE)
        return np.exp(lattice.render(np.float32)) * self.level_std_.astype(dtype)

    def _check_fitted_image(self, X):
        check_is_fitted(self)
        image = check_image(unwrap_image(X)[0], type(self).__name__)
        if as_channels(image).shape[2] != self.image_shape_[2]:
            raise ValueError(
                f"{type(self).__name__} was fitted on {self.image_shape_[2]} channel(s), got an image of shape "
                f"{image.shape}: fit it on such an image first."
            )
        return image

    def _correct(self, X, copy, inverse):
        self._validate_params()
        image = self._check_fitted_image(X)
        dtype = work_dtype(image.dtype)
        in_place = not copy and image.dtype.newbyteorder("=") == dtype and image.flags.writeable
        out = image if in_place else np.empty(image.shape, dtype=dtype)
        correct_image(
            as_channels(image),
            self._lattice(image.shape[:2]),
            self.background_level_,
            as_channels(out),
            kind=self.correction,
            level=self.level,
            inverse=inverse,
            missing_values=self.missing_values,
        )
        return np.ma.array(out, mask=np.ma.getmaskarray(X)) if isinstance(X, np.ma.MaskedArray) else out


def _grid_points(y, x):
    """Return the points at all pairs of coordinates along the two axes."""
    return torch.from_numpy(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2))
