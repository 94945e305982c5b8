"""Estimators that several test files use."""

from skbgopt import BackgroundSplineRegressor


def quick(**parameters):
    """An estimator that fits in a few hundredths of a second."""
    return BackgroundSplineRegressor(**{"smoothing": 1e-4, "n_control_points": 16, "mask_objects": False, **parameters})
