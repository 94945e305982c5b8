"""Images as samples: `EachImage` fits every image of a list or stack for itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, TransformerMixin, clone
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed

from .image_samples import ImageSample, image_samples, is_list_of_images, is_stack

# A stack of one-channel images has no last axis as short as this; an image with its channels last has.
_MOST_CHANNELS = 4

_MASKED: dict[str, bool | str | None] = {"mask": True, "sample_weight": True}


def _estimator_has(method: str) -> Callable[[Any], bool]:
    return lambda each: hasattr(each.estimator, method)


# Images are no tables, and scikit-learn's wrapping of outputs would hide whether the estimator can transform.
class EachImage(  # type: ignore[call-arg]
    TransformerMixin, RegressorMixin, MetaEstimatorMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Fit an estimator of one image to each image of a list or stack, in parallel.

    Nothing is carried from one image to the next, nor from `fit` to `predict`: every image is fitted where it
    is seen, by a clone of the estimator. So images are samples, and `GridSearchCV`, `cross_val_score` and the like
    work on them. As nothing is learned from the images of the other folds, the folds of a search only group the
    scores: two cost as much as ten. How a choice suits images that took no part in it, a `cross_val_score` of the
    search tells.

    Parameters
    ----------
    estimator : estimator of one image
        A `BackgroundSplineRegressor`, or a Pipeline of image transformers with one in it.
    n_jobs : int or None, default=None
        Images fitted at the same time; None is 1 unless in a `joblib.parallel_config`, -1 is one for each core.
        joblib's workers share the cores; ``parallel_config("dask")`` and the like spread them over machines.
        Choose 1 where a search around it already runs in parallel.

    Attributes
    ----------
    n_images_in_ : int
        Images seen in `fit`.

    Notes
    -----
    In a search, images that carry their masks (numpy.ma or NaN) always keep them. ``search.fit(images, mask=masks)``
    needs metadata routing, ``sklearn.set_config(enable_metadata_routing=True)``: without, scikit-learn hands the
    masks to fit alone. A Pipeline as the estimator needs it too where the images do not carry the masks.

    Each task runs in the number of threads that torch has here, at most in its worker's share of the cores. The
    results are the same bit by bit for any ``n_jobs`` (but for ``solver="adam"``, whose sums torch rounds differently
    for another number of threads).

    Examples
    --------
    >>> from skbgopt import BackgroundSplineRegressor, make_sky_image
    >>> from skbgopt.each_image import EachImage
    >>> images = [make_sky_image("ha", shape=shape, random_state=0).image for shape in [(120, 160), (100, 200)]]
    >>> corrected = EachImage(BackgroundSplineRegressor(smoothing=1e-4)).fit_transform(images)
    >>> [image.shape for image in corrected]
    [(120, 160), (100, 200)]
    """

    __metadata_request__fit = _MASKED
    __metadata_request__predict = _MASKED
    __metadata_request__transform = _MASKED
    __metadata_request__score = _MASKED

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "n_jobs": [Integral, None],
    }

    def __init__(self, estimator, *, n_jobs=None):
        self.estimator = estimator
        self.n_jobs = n_jobs

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        """Check parameters, images and masks; there is nothing to learn.

        Parameters
        ----------
        X : list of images, or array-like of shape (n_images, height, width) or (n_images, height, width, n_channels)
            Each image as `estimator` takes it; those of a list may differ in shape.
        y : None, list of ndarray or ndarray, optional
            True backgrounds, which only `score` uses.
        mask : list of one for each image (or None), stack, or one of shape (height, width) for all, optional
            True = excluded.
        sample_weight : like mask, optional
            In [0, 1], 1 = use fully.

        Returns
        -------
        self : EachImage

        Raises
        ------
        ValueError
            If a parameter is not allowed, X is a single image, or images and masks differ in number.
        """
        self._validate_params()
        samples = _samples(X, y, mask, sample_weight)
        self.n_images_in_ = len(samples)
        self._had_masks = any(sample.metadata for sample in samples)
        return self

    def fit_each(self, X, *, mask=None, sample_weight=None):
        """Return the estimators fitted, one for each image.

        Parameters
        ----------
        X, mask, sample_weight
            As in `fit`.

        Returns
        -------
        list of estimators

        Raises
        ------
        ValueError, TypeError
            If an image cannot be fitted; its place is named.
        """
        return self._each(_itself, X, None, mask, sample_weight)

    @available_if(_estimator_has("predict"))
    def predict(self, X, *, mask=None, sample_weight=None, return_std=False):
        """Fit each image and return the backgrounds.

        Parameters
        ----------
        X, mask, sample_weight
            As in `fit`.
        return_std : bool, default=False
            Return the standard errors of the backgrounds as well.

        Returns
        -------
        backgrounds : list of ndarray, or a stack if X is one
        std : like backgrounds
            Only with ``return_std=True``.
        """
        if not return_std:
            return _as_given(self._each(_predict, X, None, mask, sample_weight), X)
        pairs = self._each(_predict_with_std, X, None, mask, sample_weight)
        return tuple(_as_given(list(parts), X) for parts in zip(*pairs, strict=True))

    @available_if(_estimator_has("transform"))
    def transform(self, X, *, mask=None, sample_weight=None):
        """Fit each image and return the images without their backgrounds.

        Parameters
        ----------
        X, mask, sample_weight
            As in `fit`.

        Returns
        -------
        list of ndarray, or a stack if X is one
        """
        return _as_given(self._each(_transform, X, None, mask, sample_weight), X)

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X, y=None, *, mask=None, sample_weight=None):
        """Fit each image and return the images without their backgrounds.

        Parameters
        ----------
        X, y, mask, sample_weight
            As in `fit`.

        Returns
        -------
        list of ndarray, or a stack if X is one
        """
        fitted = self.fit(X, y, mask=mask, sample_weight=sample_weight)
        return fitted.transform(X, mask=mask, sample_weight=sample_weight)

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, *, mask=None, sample_weight=None):
        """Fit each image and return the mean of the estimators' scores.

        Parameters
        ----------
        X, mask, sample_weight
            As in `fit`.
        y : list of ndarray, or ndarray, optional
            The true backgrounds, if known.

        Returns
        -------
        float
            Of `BackgroundSplineRegressor`: with y, R^2; without, 0 at best and -1 at worst. That one is measured on
            pixels that were fitted, so it rewards models that follow nebulae: search with y where truth is known.
        """
        return float(np.mean(self._each(_score, X, y, mask, sample_weight)))

    def _each(self, result, X, y, mask, sample_weight):
        self._validate_params()
        samples = _samples(X, y, mask, sample_weight)
        if getattr(self, "_had_masks", False) and mask is None and sample_weight is None:
            _warn_of_forgotten_masks()
        n_threads = torch.get_num_threads()
        tasks = (delayed(_fit_one)(self.estimator, sample, result, n_threads) for sample in samples)
        return Parallel(n_jobs=self.n_jobs)(tasks)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        tags.requires_fit = False
        return tags


def _samples(X, y, mask, sample_weight) -> list[ImageSample]:
    samples = image_samples(_images(X), "EachImage", y=y, mask=mask, sample_weight=sample_weight)
    if any(np.asarray(sample.y).dtype == bool for sample in samples):
        raise ValueError("EachImage takes true backgrounds as y, got booleans: pass masks by their name, mask=masks.")
    return samples


def _images(X) -> list:
    """Return the images of a list or stack.

    Raises
    ------
    ValueError
        If X is a single image, or empty.
    """
    if not (_is_stack_of_images(X) if is_stack(X) else is_list_of_images(X)):
        came = f"an array of shape {X.shape}" if hasattr(X, "shape") else f"a {type(X).__name__}"
        raise ValueError(
            "EachImage takes a list of images, or a stack whose first axis counts them, "
            f"got {came}: pass [image] for a single image."
        )
    if not len(X):
        raise ValueError("EachImage takes at least one image, got none.")
    return list(X)


def _is_stack_of_images(X: np.ndarray) -> bool:
    return X.ndim == 4 or (X.ndim == 3 and X.shape[2] > _MOST_CHANNELS)


def _fit_one(estimator, sample: ImageSample, result: Callable[[Any, ImageSample], Any], n_threads: int):
    """Fit a clone to one image and return only what is asked of it, as workers send it back."""
    with _torch_threads(n_threads), sample.named_in_errors():
        return result(clone(estimator).fit(sample.image, **sample.metadata), sample)


def _itself(fitted, sample: ImageSample):
    return fitted


def _predict(fitted, sample: ImageSample):
    return fitted.predict(sample.image)


def _predict_with_std(fitted, sample: ImageSample):
    return fitted.predict(sample.image, return_std=True)


def _transform(fitted, sample: ImageSample):
    return fitted.transform(sample.image)


def _score(fitted, sample: ImageSample):
    return fitted.score(sample.image, sample.y, **sample.metadata)


@contextmanager
def _torch_threads(at_most: int) -> Iterator[None]:
    """Let torch run in at most so many threads; it does not know in a worker what was set in the main process."""
    before = torch.get_num_threads()
    if before <= at_most:
        yield
        return
    torch.set_num_threads(at_most)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _as_given(results: list, X):
    """Return the results as a stack if X is one."""
    if not is_stack(X):
        return results
    return np.ma.stack(results) if isinstance(X, np.ma.MaskedArray) else np.stack(results)


def _warn_of_forgotten_masks() -> None:
    # In one place and in the same words, so that Python shows it once and not for each fold of a search.
    warnings.warn(
        "EachImage was given masks or weights in fit and none here, where each image is fitted again without: "
        "pass mask= here too, or let the images carry their masks as numpy.ma or NaN.",
        UserWarning,
        stacklevel=1,
    )
