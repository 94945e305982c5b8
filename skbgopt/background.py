"""The background of an image: `BackgroundSplineRegressor`."""

from __future__ import annotations

from dataclasses import fields, replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from ._device import on_device
from ._validation import MISSING_CONSTRAINT
from .callbacks import CallbackSupportMixin, fit_steps, with_callbacks
from .diagnosis import diagnose
from .fitting import FitSettings, fit_background
from .image_model import SplineImageModel
from .preparation import PreparedImage, prepare_image
from .smoothing import SMOOTHING_PATH

# The stiffest smoothings give almost the same model: a warm start among them looks at so many, or it would never see
# that a softer one is better.
_PAST_THE_PLATEAU = 4


class BackgroundSplineRegressor(CallbackSupportMixin, SplineImageModel):
    """Model the sky background of a linear image by a polyharmonic spline and remove it.

    The spline is fitted to every usable pixel of the block-reduced image by minimising a robust, asymmetric
    loss (see `skbgopt.losses`), which lets the model pass below stars and nebulae. The background is in the
    image's own linear units. The method and the loss are Sergio Diaz's (bgoptimizer, 2021); the solver, the loss
    scale, the object masks and the choice of the smoothing are ours.

    Parameters
    ----------
    n_control_points : int, default=64
        The finest structure that the spline could follow; more cost time, the smoothing decides the rest.
    order : int, default=4
        Of the kernel: 1 is r, 2 is r^2 log r (the thin plate), 3 is r^3, 4 is r^4 log r, ...
    degree : int or None, default=None
        Of the polynomial that bends at no cost; None for the smallest that the order needs: 1 (a plane) up to
        order 3, 2 (a parabola, which vignettes and glows nearly are) for orders 4 and 5, and so on.
    init : {"grid", "random"}, default="grid"
        Where the control points stand (begin, for ``solver="adam"``).
    smoothing : float or "auto", default="auto"
        Price of bending, 1e-7 (almost free) to 10 (almost a polynomial). "auto" tries seven on held-out blocks and
        takes the best; one that bends more easily has to be better for it. Where dust is found to fill the frame it is
        0.01. Only for ``solver="mm"``.
    quantile : float in (0, 1], default=0.99
        Of the stretch: what of each channel's values becomes 1. Lower is a stronger stretch. It must not clip
        the brightest part of the gradient. With ``loss_scale="noise"`` it matters for the thresholds only.
    threshold_min, threshold_max : float, default=0.001, 1.0
        Reduced pixels whose stretched value is outside are not used.
    missing_values : float or None, default=0
        Pixels in which a channel equals it are missing (empty borders after registration); None for none.
        Non-finite ones always are.
    downscale_factor : int, default=8
        Side of the blocks in pixels. Blocks of a median hide stars smaller than half of them.
    downscale_func : {"median", "mean"}, default="median"
        The mean has four fifths of the median's noise, and every star in it: for images that show none.
    alpha : float, default=5.0
        Price of a model above the pixels against one below; the model settles at the 1 / (2 + 2 alpha)
        quantile of the sky.
    loss_scale : "noise" or float, default="noise"
        What counts as sky: residuals of this size or less. "noise" fits linear values in units of the noise of
        a reduced pixel, with a scale of 2. A number fits stretched values with that scale; 0.001 is published.
    solver : {"mm", "adam"}, default="mm"
        "mm" is majorise-minimise on fixed control points, fast; a step may raise the loss, after which it goes back to
        the best so far. "adam" is the published gradient descent on everything, control points included.
    learning_rate : float, default=0.001
        Of ``solver="adam"``: how far a step moves a coefficient, in the units of the fit, and a control point, in half
        the image's longer side, at first. It is halved, down to 0.0001, where 50 epochs gain less than 0.0001.
    max_iter : int, default=1000
        Steps (epochs) at most.
    tol : float, default=5e-5
        Stop when steps gain less, 3 of "mm" in a row or 100 of "adam". Of the loss, which is a mean of logarithms: 5e-5
        is as much in any units of the image.
    mask_objects : bool or "auto", default="auto"
        Mask what lies coherently above the model and fit again, and the stars of a crowded field ("mm" only). "auto":
        with the noise scale.
    move_control_points : bool, default=False
        Let ``solver="mm"`` move the control points as well: a lower loss where they are few and free.
    warm_start : bool, default=False
        Let ``smoothing="auto"`` try only the choice of the fit before and the ones beside it, if that was on an image
        of the same shape: for frames of one night, in half the time. All else is fitted afresh, since from the
        spline before, fits on rich fields end in worse valleys of the loss.
    correction : {"subtract", "divide"}, default="subtract"
        What `transform` does: subtract the background, or divide by the background over its median (for
        vignetting, which multiplies).
    level : {"median", "zero"}, default="median"
        What becomes of the sky's level: the background's median of each channel stays, or the sky goes to 0.
    device : str, default="auto"
        "cpu", "cuda", "mps", ...; "auto" takes the first of cuda, mps, cpu that works.
    random_state : int, RandomState or None, default=None
        For ``init="random"``.
    verbose : int, default=0
        1 shows a progress bar while fitting.

    Attributes
    ----------
    control_points_ : ndarray of shape (n_control_points, 2)
        Rows and columns, in pixels of the image fitted.
    coef_ : ndarray of shape (n_control_points + n_monomials, n_channels)
        Kernel weights, then the polynomial's coefficients, in the frame's coordinates and the fitted units.
    smoothing_ : float
        The smoothing used; 0 for ``solver="adam"``.
    smoothing_path_ : SmoothingPath or None
        Scores of the smoothings tried by "auto"; None of another smoothing, where dust fills the frame, and of a model
        loaded from a file.
    stretch_ : MidtonesCurve
        Pedestal, scale and midtones balance of each channel.
    curve_ : LinearCurve, AsinhCurve or MidtonesCurve
        The units of the fit: of the noise (bent where there is a glow), or stretched for a number as ``loss_scale``.
    loss_ : float
        The loss of the solution, without the price of bending.
    loss_curve_ : list of float
        What the solver minimised last, step by step: for "mm" the loss and the price of bending, the least so far.
    n_iter_ : int
        Steps (epochs) in all of the fits at the smoothing used: to find objects, and without them.
    noise_ : ndarray of shape (n_channels,)
        Standard deviation of the sky from pixel to pixel.
    block_noise_ : ndarray of shape (n_channels,)
        Standard deviation of a reduced pixel of the sky.
    background_level_ : ndarray of shape (n_channels,)
        Median of the background over the usable pixels.
    excluded_ : dict of str to int
        Pixels that each reason excluded; a pixel counts for each of its reasons. "stars" is one in crowded fields, and
        "dark border" where fewer frames of a stack overlap; what there is none of may have no key.
    object_mask_ : ndarray of bool
        Reduced pixels that were taken for extended objects and their halos.
    reduced_chi2_ : ndarray of shape (n_channels,)
        Mean square of what is left of the sky's reduced pixels, over their noise; more than 3 standard deviations
        count as 3. Near 1 where the background leaves noise and faint stars only.
    overshoot_fraction_ : float
        Share of the usable reduced pixels that lie more than 3 standard deviations below the background in any
        channel: 0.1 to 0.4 % by chance. Objects only add light, so more says that the background is too high there.
    level_std_ : ndarray of shape (n_channels,), or None
        Standard error of the background's level, the part of its standard error that all pixels of a channel share.
    error_coef_ : ndarray of shape (n_channels, n_control_points + n_monomials, n_directions), or None
        Splines as in ``coef_`` whose root of the sum of squares is the standard error of each channel's background,
        but for that of its level. None for ``solver="adam"``, as the other.
    image_shape_ : tuple of int
    n_features_in_ : int
        Width of the image. Images of any size may be predicted: the frame is laid on them.

    Examples
    --------
    >>> from skbgopt import BackgroundSplineRegressor, make_sky_image
    >>> frame = make_sky_image("galaxy", shape=(200, 300), random_state=0)
    >>> BackgroundSplineRegressor().fit_transform(frame.image).shape
    (200, 300, 3)
    """

    __metadata_request__fit = {"mask": True, "sample_weight": True}
    _parameter_constraints = {
        "n_control_points": [Interval(Integral, 1, None, closed="left")],
        "order": [Interval(Integral, 1, 9, closed="both")],
        "degree": [Interval(Integral, 0, 9, closed="both"), None],
        "init": [StrOptions({"grid", "random"})],
        "smoothing": [Interval(Real, 0, 1e9, closed="both"), StrOptions({"auto"})],
        "quantile": [Interval(Real, 0, 1, closed="right")],
        "threshold_min": [Interval(Real, None, None, closed="neither")],
        "threshold_max": [Interval(Real, None, None, closed="neither")],
        "missing_values": MISSING_CONSTRAINT,
        "downscale_factor": [Interval(Integral, 1, None, closed="left")],
        "downscale_func": [StrOptions({"median", "mean"})],
        "alpha": [Interval(Real, 0, 1e6, closed="both")],
        "loss_scale": [Interval(Real, 1e-9, 1e9, closed="both"), StrOptions({"noise"})],
        "solver": [StrOptions({"mm", "adam"})],
        "learning_rate": [Interval(Real, 0, 10, closed="right")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "mask_objects": ["boolean", StrOptions({"auto"})],
        "move_control_points": ["boolean"],
        "warm_start": ["boolean"],
        "correction": [StrOptions({"subtract", "divide"})],
        "level": [StrOptions({"median", "zero"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_control_points=64,
        order=4,
        degree=None,
        init="grid",
        smoothing="auto",
        quantile=0.99,
        threshold_min=0.001,
        threshold_max=1.0,
        missing_values=0,
        downscale_factor=8,
        downscale_func="median",
        alpha=5.0,
        loss_scale="noise",
        solver="mm",
        learning_rate=0.001,
        max_iter=1000,
        tol=5e-5,
        mask_objects="auto",
        move_control_points=False,
        warm_start=False,
        correction="subtract",
        level="median",
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_control_points = n_control_points
        self.order = order
        self.degree = degree
        self.init = init
        self.smoothing = smoothing
        self.quantile = quantile
        self.threshold_min = threshold_min
        self.threshold_max = threshold_max
        self.missing_values = missing_values
        self.downscale_factor = downscale_factor
        self.downscale_func = downscale_func
        self.alpha = alpha
        self.loss_scale = loss_scale
        self.solver = solver
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.mask_objects = mask_objects
        self.move_control_points = move_control_points
        self.warm_start = warm_start
        self.correction = correction
        self.level = level
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        """Fit the background of an image.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image, any real dtype; np.ma and NDData bring their own mask. More than 16 channels must not be more
            than rows, nor than 500: such an array is taken for a stack of images, which is refused; see `EachImage`.
        y : None
            Ignored.
        mask : array-like of bool, shape (height, width), optional
            True = excluded.
        sample_weight : array-like of shape (height, width) or X's, optional
            In [0, 1], 1 = use fully.

        Returns
        -------
        self : BackgroundSplineRegressor

        Raises
        ------
        ValueError
            If a parameter, shape or weight is out of range, or too little usable sky is left.

        Warns
        -----
        BackgroundWarning
            If the background looks wrong: hardly any pixel is taken for sky, the stretch or the thresholds cut the
            background off, many control points lie where all is masked, or the background leaves the data's range.
        sklearn.exceptions.ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        if y is not None and np.asarray(y).dtype == bool:
            raise ValueError("fit takes no y, and ignores it: pass a mask by its name, fit(X, mask=mask).")
        return self.fit_prepared(self.prepare(X, mask=mask, sample_weight=sample_weight))

    def prepare(self, X, *, mask=None, sample_weight=None) -> PreparedImage:
        """Return what `fit` would fit: the reduced image with its weights, stretch and noise.

        Estimators that differ in other parameters than ``missing_values``, ``quantile``, the thresholds, the
        downscaling and whether they mask objects prepare the same, once.

        Parameters
        ----------
        X, mask, sample_weight
            As in `fit`, as are the errors.

        Returns
        -------
        PreparedImage
            For `fit_prepared`.
        """
        self._validate_params()
        prepared = prepare_image(
            self._select(X, mask, sample_weight),
            quantile=self.quantile,
            downscale_factor=int(self.downscale_factor),
            downscale_func=self.downscale_func,
            sky_only=self._fit_settings().masks_objects,
        )
        return prepared.within_thresholds(self.threshold_min, self.threshold_max)

    @with_callbacks
    def fit_prepared(self, prepared):
        """Fit the background of an image that `prepare` has prepared; errors and warnings are those of `fit`.

        Parameters
        ----------
        prepared : PreparedImage
            From `prepare`, of this estimator or one with the same parameters of the preparation.

        Returns
        -------
        self : BackgroundSplineRegressor

        Raises
        ------
        TypeError
            If it is something else, such as an image.
        """
        self._validate_params()
        if not isinstance(prepared, PreparedImage):
            raise TypeError(
                f"fit_prepared takes what prepare returns, got a {type(prepared).__name__}: fit takes images."
            )
        settings = self._settings(prepared)
        with fit_steps(self) as callback:
            fitted = on_device(
                self.device,
                lambda device: fit_background(
                    prepared, settings, device, check_random_state(self.random_state), callback
                ),
            )
        diagnosis = diagnose(prepared, fitted, settings, (self.threshold_min, self.threshold_max))
        self._record(prepared, fitted, diagnosis)
        diagnosis.warn()
        return self

    def _fit_settings(self) -> FitSettings:
        parameters = self.get_params(deep=False)
        names = {field.name for field in fields(FitSettings)} & parameters.keys()
        return FitSettings(**{name: parameters[name] for name in names})

    def _settings(self, prepared) -> FitSettings:
        settings = self._fit_settings()
        same_shape = getattr(self, "image_shape_", None) == _image_shape(prepared)
        if self.warm_start and same_shape and self.smoothing_path_ is not None:
            chosen = SMOOTHING_PATH.index(self.smoothing_)
            tried = SMOOTHING_PATH[max(chosen - 1, 0) : max(chosen + 2, _PAST_THE_PLATEAU)]
            return replace(settings, smoothings=tried)
        return settings

    def _record(self, prepared, fitted, diagnosis):
        frame, spline = prepared.frame, fitted.spline
        self.control_points_ = frame.to_pixels(spline.centres.numpy())
        self.coef_ = np.concatenate([spline.kernel_coef.numpy(), spline.tail_coef.numpy()])
        self.smoothing_, self.smoothing_path_ = fitted.smoothing, fitted.path
        self.loss_, self.loss_curve_, self.n_iter_ = fitted.loss, fitted.loss_curve, fitted.n_iter
        self.stretch_, self.curve_, self._units = prepared.curve, fitted.curve, fitted.units
        self.noise_, self.block_noise_ = prepared.noise, prepared.block_noise
        self.excluded_ = prepared.excluded
        self.object_mask_ = fitted.objects
        self.error_coef_, self.level_std_ = fitted.error_coef, fitted.level_std
        self.order_, self.degree_ = spline.order, spline.degree
        self.image_shape_ = _image_shape(prepared)
        self.n_features_in_ = frame.width
        self.background_level_ = fitted.level
        self.reduced_chi2_, self.overshoot_fraction_ = diagnosis.reduced_chi2, diagnosis.overshoot_fraction


def _image_shape(prepared: PreparedImage) -> tuple[int, int, int]:
    return prepared.frame.height, prepared.frame.width, prepared.values.shape[2]
