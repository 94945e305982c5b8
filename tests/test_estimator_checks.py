"""scikit-learn's estimator checks, on every public estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skbgopt.testing import all_estimators, example_estimators, expected_failed_checks

pytestmark = pytest.mark.usefixtures("quick_reference")


@parametrize_with_checks(example_estimators(), expected_failed_checks=expected_failed_checks, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    """Every check holds but those that cannot, and those fail indeed."""
    check(estimator)


def test_no_estimator_is_forgotten():
    """Each public class with a fit is checked."""
    assert {type(estimator) for estimator in example_estimators()} == {cls for _, cls in all_estimators()}
    assert {"BackgroundSplineRegressor", "MidtonesStretch", "BlockReducer"} <= {name for name, _ in all_estimators()}


@pytest.mark.parametrize("name", ["PolyharmonicSplineRegressor", "MidtonesStretch", "BlockReducer"])
def test_plain_estimators_need_no_exception(name):
    """The regressor of coordinates and the transformers pass all checks, the reducer where it keeps the rows."""
    examples = [estimator for estimator in example_estimators() if type(estimator).__name__ == name]
    assert expected_failed_checks(examples[0]) == {}


def test_every_exception_has_its_reason():
    """Reasons are sentences without an end, and no check is listed for nothing."""
    for estimator in example_estimators():
        for check, reason in expected_failed_checks(estimator).items():
            assert check.startswith("check_")
            assert len(reason.split()) > 4
