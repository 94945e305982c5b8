"""The public estimators, quick instances of them, and what scikit-learn checks of them that cannot hold."""

from __future__ import annotations

import inspect

from sklearn.base import BaseEstimator

import skbgopt

# What fits the images of scikit-learn's checks, of some 20 x 3 pixels, in a hundredth of a second.
_TINY_IMAGES = {
    "n_control_points": 3,
    "order": 1,
    "smoothing": 1e-3,
    "quantile": 1.0,
    "threshold_min": -1.0,
    "missing_values": None,
    "downscale_factor": 1,
    "max_iter": 20,
    "mask_objects": False,
}
_EXAMPLES: dict[str, list[dict]] = {
    "BackgroundSplineRegressor": [_TINY_IMAGES],
    "PolyharmonicSplineRegressor": [{"n_control_points": 9, "max_iter": 50}],
    "BlockReducer": [{"factor": 1}, {"factor": 2}],
    "BackgroundSearchCV": [{"param_distributions": {"smoothing": (1e-5, 1.0, "log")}, "n_trials": 2, "cv": 2}],
}

_ROWS = "the rows of an image are not samples: their order and their neighbours matter"
_WIDTH = "images of another width than the one fitted may be predicted: the frame is laid on them"
_WEIGHTS = "a weight belongs to a pixel, not to a row, and is 1 at most"
_TRUTH = "there is no target: fit ignores y, and the y of score is a background of the image's shape"
_BACKGROUND = {
    "check_methods_sample_order_invariance": _ROWS,
    "check_methods_subset_invariance": _ROWS,
    "check_n_features_in_after_fitting": _WIDTH,
    "check_transformer_general": _WIDTH,
    "check_sample_weights_pandas_series": _WEIGHTS,
    "check_sample_weights_not_an_array": _WEIGHTS,
    "check_sample_weights_list": _WEIGHTS,
    "check_sample_weights_shape": _WEIGHTS,
    "check_sample_weights_not_overwritten": _WEIGHTS,
    "check_sample_weight_equivalence_on_dense_data": _WEIGHTS,
    "check_all_zero_sample_weights_error": _WEIGHTS,
    "check_fit_score_takes_y": _TRUTH,
    "check_pipeline_consistency": _TRUTH,
    "check_regressors_train": _TRUTH,
    "check_supervised_y_2d": _TRUTH,
    "check_supervised_y_no_nan": _TRUTH,
}
_FEWER_ROWS = "a reduced image has fewer rows than the image"
_REDUCED = {
    "check_transformer_general": _FEWER_ROWS,
    "check_transformer_data_not_an_array": _FEWER_ROWS,
    "check_methods_sample_order_invariance": _ROWS,
    "check_methods_subset_invariance": _ROWS,
}


def all_estimators() -> list[tuple[str, type[BaseEstimator]]]:
    """Return the name and the class of every public estimator, by name.

    Returns
    -------
    list of (str, type)
        As `sklearn.utils.discovery.all_estimators` does for scikit-learn.
    """
    public = [(name, getattr(skbgopt, name)) for name in sorted(skbgopt.__all__)]
    return [(name, cls) for name, cls in public if inspect.isclass(cls) and issubclass(cls, BaseEstimator)]


def example_estimators() -> list[BaseEstimator]:
    """Return instances of every public estimator that fit small images in hundredths of a second.

    Returns
    -------
    list of estimators
        At least one of each class, not fitted. Those that wrap an estimator wrap a `BackgroundSplineRegressor`.
    """
    return [_make(cls, parameters) for name, cls in all_estimators() for parameters in _EXAMPLES.get(name, [{}])]


def _make(cls: type[BaseEstimator], parameters: dict) -> BaseEstimator:
    wraps = "estimator" in inspect.signature(cls).parameters
    part = {"estimator": skbgopt.BackgroundSplineRegressor(**_TINY_IMAGES)} if wraps else {}
    return cls(**part, **parameters)


def expected_failed_checks(estimator: BaseEstimator) -> dict[str, str]:
    """Return which of scikit-learn's estimator checks cannot hold for an estimator of ours, and why.

    Parameters
    ----------
    estimator : estimator
        An instance, for what holds may depend on its parameters.

    Returns
    -------
    dict of str to str
        Reasons by the names of the checks, as `sklearn.utils.estimator_checks.parametrize_with_checks` takes them.
    """
    if isinstance(estimator, skbgopt.BackgroundSplineRegressor | skbgopt.BackgroundSearchCV):
        return _BACKGROUND
    if isinstance(estimator, skbgopt.BlockReducer) and estimator.factor > 1:
        return _REDUCED
    return {}
