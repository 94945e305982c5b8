"""Robust regression of values on coordinates by polyharmonic splines."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._device import on_device
from .control_points import grid_control_points, random_control_points
from .losses import BackgroundLoss
from .solvers import MMProblem, MMResult, bending_penalty, minimize_mm
from .splines import Spline, spline_basis, tail_degree


class PolyharmonicSplineRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Fit a polyharmonic spline to scattered values by a robust loss.

    The core of `BackgroundSplineRegressor` for coordinates in any number of dimensions. With ``alpha=0`` the
    loss is symmetric; it is redescending, so that outliers lose their say.

    Parameters
    ----------
    n_control_points : int, default=64
        At most as many as there are samples of positive weight are used.
    order : int, default=3
        Of the kernel: 1 is r, 2 is r^2 log r, 3 is r^3, ...
    degree : int or None, default=None
        Of the polynomial that bends at no cost; None for the smallest that the order needs.
    init : {"grid", "random"}, default="grid"
        Where the control points stand in the box of the samples of positive weight.
    smoothing : float, default=1e-6
        Price of bending. Coordinates are scaled so that the box's longest side has length 2.
    alpha : float, default=0.0
        Price of a model above the values against one below.
    loss_scale : float or "noise", default="noise"
        Residuals up to it count in proportion, larger ones ever less. "noise" takes twice the scatter between
        nearest neighbours, or 1e-3 of the range between the values' quartiles if that is more.
    max_iter : int, default=200
    tol : float, default=1e-6
        Stop when the loss gains less.
    device : str, default="auto"
    random_state : int, RandomState or None, default=None
        For ``init="random"``.

    Attributes
    ----------
    control_points_ : ndarray of shape (n_control_points, n_features)
    coef_ : ndarray of shape (n_control_points + n_monomials, n_outputs)
        Kernel weights, then polynomial coefficients, in scaled coordinates.
    loss_ : float
    loss_curve_ : list of float
    n_iter_ : int
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from skbgopt import PolyharmonicSplineRegressor
    >>> points = np.random.default_rng(0).uniform(size=(500, 2))
    >>> plane = 3 + points @ [1.0, 2.0]
    >>> model = PolyharmonicSplineRegressor(n_control_points=16).fit(points, plane)
    >>> bool(np.abs(model.predict(points) - plane).max() < 1e-6)
    True
    """

    _parameter_constraints = {
        "n_control_points": [Interval(Integral, 1, None, closed="left")],
        "order": [Interval(Integral, 1, 9, closed="both")],
        "degree": [Interval(Integral, 0, 9, closed="both"), None],
        "init": [StrOptions({"grid", "random"})],
        "smoothing": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "loss_scale": [Interval(Real, 0, None, closed="neither"), StrOptions({"noise"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_control_points=64,
        order=3,
        degree=None,
        init="grid",
        smoothing=1e-6,
        alpha=0.0,
        loss_scale="noise",
        max_iter=200,
        tol=1e-6,
        device="auto",
        random_state=None,
    ):
        self.n_control_points = n_control_points
        self.order = order
        self.degree = degree
        self.init = init
        self.smoothing = smoothing
        self.alpha = alpha
        self.loss_scale = loss_scale
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the spline.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Coordinates.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
            A weight of k counts as k copies, a weight of 0 as no sample at all.

        Returns
        -------
        self : PolyharmonicSplineRegressor
        """
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        used = weights > 0
        values = y[used].reshape(used.sum(), -1).astype(float)
        X, values, weights = _merge_copies(X[used], values, weights[used])
        self._single_output = y.ndim == 1
        low, high = X.min(axis=0), X.max(axis=0)
        self._centre = (low + high) / 2
        self._unit = float((high - low).max()) / 2 or 1.0
        points = (X - self._centre) / self._unit
        self._fit(points, values, weights, *((corner - self._centre) / self._unit for corner in (low, high)))
        return self

    def _fit(self, points, values, weights, low, high):
        degree = tail_degree(self.order, self.degree)
        n_points = min(self.n_control_points, len(points))
        if self.init == "grid":
            centres = grid_control_points(n_points, low, high)
        else:
            centres = random_control_points(n_points, low, high, check_random_state(self.random_state))
        distinct = torch.from_numpy(np.unique(points, axis=0))
        basis = spline_basis(torch.from_numpy(centres), distinct, self.order, degree)
        design = basis.design(torch.from_numpy(points))
        middle = np.median(values, axis=0)
        scale = self._scale(points, values)
        scaled = torch.from_numpy((values - middle) / scale)
        repeated = torch.from_numpy(np.repeat(weights[:, None], values.shape[1], axis=1))
        loss = BackgroundLoss(eps=1.0, alpha=self.alpha, colour=0.0, floor=False)
        penalty = bending_penalty(self.smoothing, loss, values.shape[1])

        def minimize(device: torch.device) -> MMResult:
            dtype = torch.float32 if device.type == "mps" else torch.float64
            on_it, values, weights = (part.to(device, dtype) for part in (design, scaled, repeated))
            problem = MMProblem(on_it, basis.energies, values, weights, penalty)
            return minimize_mm(problem, loss, max_iter=self.max_iter, tol=self.tol)

        result = on_device(self.device, minimize)
        spline = basis.spline(result.coef.cpu())
        tail = spline.tail_coef.numpy() * scale
        tail[0] += middle
        self.coef_ = np.concatenate([spline.kernel_coef.numpy() * scale, tail])
        self.control_points_ = centres * self._unit + self._centre
        self._order, self._degree = self.order, degree
        self.loss_, self.loss_curve_, self.n_iter_ = result.loss, result.curve, result.n_iter

    def _scale(self, points, values):
        """Return the scale of the loss, the same for all outputs so that they are weighed alike."""
        spread = float(np.ptp(values, axis=0).max()) or 1.0
        if self.loss_scale != "noise":
            if self.loss_scale < 1e-12 * spread:
                raise ValueError(
                    f"The 'loss_scale' parameter of {type(self).__name__} must be at least 1e-12 of the range of y, "
                    f"{1e-12 * spread:.3g}. Got {self.loss_scale} instead."
                )
            return self.loss_scale
        if len(points) < 3:
            return spread
        _, nearest = cKDTree(points).query(points, k=2)
        steps = np.abs(values - values[nearest[:, 1]])
        # No few outliers move the range between the quartiles, which is 0 where half of the values are alike.
        low, high = np.quantile(values, [0.25, 0.75], axis=0)
        middle_half = float((high - low).max()) or spread
        return max(2 * 1.4826 * float(np.median(steps)) / 2**0.5, 1e-3 * middle_half)

    def predict(self, X):
        """Return the spline at some coordinates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As y in fit.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        n = len(self.control_points_)
        centres = (self.control_points_ - self._centre) / self._unit
        spline = Spline.from_numpy(centres, self.coef_[:n], self.coef_[n:], self._order, self._degree)
        values = spline(torch.from_numpy((X - self._centre) / self._unit)).numpy()
        return values[:, 0] if self._single_output else values


def _merge_copies(points: np.ndarray, values: np.ndarray, weights: np.ndarray):
    """Return the distinct samples in a fixed order, each with the weight of its copies.

    So that a weight of k and k copies are the same problem, and the order of samples does not matter.
    """
    samples, inverse = np.unique(np.hstack([points, values]), axis=0, return_inverse=True)
    merged = np.bincount(inverse.ravel(), weights, len(samples))
    return samples[:, : points.shape[1]], samples[:, points.shape[1] :], merged
