"""Properties of parameters: each value out of range is refused in a sentence, no combination of others crashes."""

import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import make_constraint

from skbgopt import BackgroundSplineRegressor, BlockReducer, MidtonesStretch, PolyharmonicSplineRegressor
from skbgopt.testing import example_estimators
from tests.properties.strategies import (
    CHEAP,
    examples,
    parameters_of,
    samples_and_values,
    sky_images,
    values_outside,
)

# One estimator of each class.
ESTIMATORS = list({type(estimator).__name__: estimator for estimator in example_estimators()}.values())
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
# What the estimator of images may say to valid parameters that do not go together, or not with the image.
REFUSALS = (
    "reduced pixels are usable",
    "is constant",
    "changes sign",
    "'degree' parameter must be at least",
    "'threshold_min' parameter",
    "Parameters were set since the fit",
)


def is_refusal(error):
    """Whether an error is one of the sentences for what cannot be fitted."""
    return any(part in str(error) for part in REFUSALS) and str(error).endswith(".") and "\n" not in str(error)


def plane():
    """A small table or image, and a target for those who need one."""
    X = np.random.default_rng(0).normal(100, 5, (24, 24))
    return X, X[:, 0]


@each_estimator
@examples(60)
@given(data=st.data())
def test_every_parameter_out_of_range_is_refused(estimator, data):
    """The sentence names the parameter, the estimator, what is allowed, and the value."""
    constraints = type(estimator)._parameter_constraints
    checked = sorted(name for name, allowed in constraints.items() if allowed != "no_validation")
    name = data.draw(st.sampled_from(checked))
    value = data.draw(values_outside(constraints[name]))
    broken = clone(estimator).set_params(**{name: value})
    with pytest.raises(ValueError) as caught:
        broken.fit(*plane())
    sentence = str(caught.value)
    assert sentence.startswith(f"The {name!r} parameter of {type(estimator).__name__} must be")
    assert sentence.endswith(f"Got {value!r} instead.")
    for allowed in constraints[name]:
        rule = make_constraint(allowed)
        assert getattr(rule, "hidden", False) or str(rule) in sentence


@each_estimator
def test_every_parameter_is_constrained(estimator):
    """A parameter without a constraint would be searched by no property here."""
    assert set(type(estimator)._parameter_constraints) == set(estimator.get_params(deep=False))


def test_cheap_values_are_allowed():
    """The table of cheap values holds no parameter that is gone."""
    names = {name for estimator in ESTIMATORS for name in estimator.get_params(deep=False)}
    assert set(CHEAP) <= names


@examples(60)
@given(sky_images(), parameters_of(BackgroundSplineRegressor))
def test_no_combination_of_valid_parameters_crashes(image, parameters):
    """Every fit gives a finite background of the image's shape, or a sentence that says why not."""
    model = BackgroundSplineRegressor(**parameters)
    try:
        background = model.fit(image).predict(image)
        result = model.transform(image)
    except ValueError as error:
        assert is_refusal(error), error
        return
    assert background.shape == result.shape == image.shape
    assert np.isfinite(background).all()
    assert np.isfinite(model.loss_)
    assert len(model.control_points_) == parameters["n_control_points"]


@examples(60)
@given(samples_and_values(), parameters_of(PolyharmonicSplineRegressor))
def test_no_combination_of_valid_parameters_crashes_the_regressor(samples, parameters):
    """Every fit gives finite values, or says that the degree is too low for the order."""
    X, y = samples
    model = PolyharmonicSplineRegressor(**parameters)
    try:
        found = model.fit(X, y).predict(X)
    except ValueError as error:
        assert "parameter must be at least" in str(error)
        return
    assert found.shape == y.shape
    assert np.isfinite(found).all()
    target(float(np.log10(1 + np.abs(found).max())))


@examples(40)
@given(sky_images(), parameters_of(MidtonesStretch), parameters_of(BlockReducer))
@example(np.full((24, 24), 5.0), {"quantile": 1.0, "target": 0.5, "missing_values": None}, {})
def test_no_combination_of_valid_parameters_crashes_the_transformers(image, stretching, reducing):
    """Stretched images lie in [0, 1], reduced ones between the least and the largest value."""
    stretched = MidtonesStretch(**stretching).fit_transform(image)
    present = image != stretching["missing_values"]
    assert ((stretched[present] >= 0) & (stretched[present] <= 1)).all()
    reduced = BlockReducer(**reducing).fit_transform(image)
    known = reduced[np.isfinite(reduced)]
    assert ((known >= image.min() * (1 - 1e-6)) & (known <= image.max() * (1 + 1e-6))).all()


def test_the_tags_tell_images_from_samples():
    """The search above draws images for what takes images, samples for the rest."""
    tags = {type(estimator): get_tags(estimator).input_tags.three_d_array for estimator in ESTIMATORS}
    assert tags[BackgroundSplineRegressor] and tags[MidtonesStretch] and tags[BlockReducer]
    assert not tags[PolyharmonicSplineRegressor]
