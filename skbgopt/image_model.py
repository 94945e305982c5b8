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


class SplineImageModel(TakesImages, TransformerMixin, RegressorMixin, BaseEstimator):
    """All of `BackgroundSplineRegressor` that comes after the fit: predict, transform, score, save and load.

    Needs the parameters ``missing_values``, ``correction`` and ``level``, and the attributes that a fit leaves.
    """

    __metadata_request__score = {"mask": True, "sample_weight": True}

    def predict(self, X, out=None):
        """Return the background on the grid of X, in linear units.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Only its shape and dtype matter; the frame fitted is laid on it.
        out : ndarray of X's shape, float, optional
            Where the background goes (also an array mapped from a file), so that no second image is held.

        Returns
        -------
        ndarray of X's shape
            Finite everywhere; float64 for float64 images, float32 else. `out` itself, if given.

        Raises
        ------
        ValueError
            If X has other channels than the image fitted, or `out` is no array of floats of its shape.
        """
        image = self._check_fitted_image(X)
        dtype = work_dtype(image.dtype)
        if out is None:
            out = np.empty(image.shape, dtype)
        elif not isinstance(out, np.ndarray) or out.shape != image.shape or out.dtype.kind != "f":
            came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(
                f"The 'out' parameter of predict must be an array of floats of shape {image.shape}, "
                f"got {came}: leave it out for a new one."
            )
        self._lattice(image.shape[:2]).render_into(as_channels(out), dtype)
        return out

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
        """Fit the background of an image and return the image without it; see `fit` and `transform`."""
        return self.fit(X, y, mask=mask, sample_weight=sample_weight).transform(X, copy=copy)

    def inverse_transform(self, X, copy=True):
        """Put the background back: the inverse of `transform`."""
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
        """Write parameters and fitted model to an .npz file without pickles (see `load`)."""
        check_is_fitted(self)
        _persistence.save(self, path)

    @classmethod
    def load(cls, path):
        """Return the estimator that `save` wrote.

        Raises
        ------
        ValueError
            If the file is not such a model.
        """
        return _persistence.load(cls, path)

    def _select(self, X, mask, sample_weight):
        return PixelSelection.from_input(X, mask, sample_weight, self.missing_values, type(self).__name__)

    def _lattice(self, shape) -> Lattice:
        frame = ImageFrame(*self.image_shape_[:2])
        return self._evaluate(lambda rows, columns: frame.axes(rows, columns, shape), shape)

    def _evaluate(self, axes, shape, tolerance=TOLERANCE) -> Lattice:
        """Return the background on a grid, whose positions ``axes`` takes to the frame's coordinates."""
        frame, n = ImageFrame(*self.image_shape_[:2]), len(self.control_points_)
        centres = frame.from_pixels(self.control_points_)
        spline = Spline.from_numpy(centres, self.coef_[:n], self.coef_[n:], self.order_, self.degree_)

        def model(rows, columns):
            points = np.stack(np.meshgrid(*axes(rows, columns), indexing="ij"), axis=-1).reshape(-1, 2)
            values = self.curve_.invert(spline(torch.from_numpy(points)).numpy())
            return values.reshape(len(rows), len(columns), -1)

        with single_threaded():
            return evaluate_on_lattice(model, shape, tolerance)

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
