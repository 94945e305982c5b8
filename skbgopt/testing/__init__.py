"""Checks for estimators of images, those of other authors too, beside scikit-learn's own."""

from ._estimators import all_estimators, example_estimators, expected_failed_checks
from ._image_checks import check_image_estimator, image_estimator_checks

__all__ = [
    "all_estimators",
    "check_image_estimator",
    "example_estimators",
    "expected_failed_checks",
    "image_estimator_checks",
]
