"""The estimators as parts of scikit-learn's compositions, with metadata routing on and off."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import gaussian
from sklearn import config_context
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skbgopt import (
    BackgroundSplineRegressor,
    BlockReducer,
    MidtonesStretch,
    PolyharmonicSplineRegressor,
    make_sky_image,
)
from skbgopt.each_image import EachImage
from tests.shared import quick


@pytest.fixture(scope="module")
def frame():
    """A frame without missing pixels, its sides multiples of 8."""
    return make_sky_image("oiii", shape=(160, 240), random_state=1)


@pytest.fixture(scope="module")
def mask(frame):
    """A third of the frame, made bright in `spoilt`."""
    mask = np.zeros(frame.image.shape, dtype=bool)
    mask[:, :80] = True
    return mask


@pytest.fixture(scope="module")
def spoilt(frame, mask):
    """The frame with light where the mask is."""
    return frame.image + (mask * 3 * frame.image.mean()).astype(np.float32)


def masked(step, mask, enabled):
    """The mask as fit of a Pipeline takes it: by the name of the step without routing, by its own with it."""
    return {"mask" if enabled else f"{step}__mask": mask}


# Pipelines of images.

BEFORE = [
    ("scipy", FunctionTransformer(ndimage.median_filter, kw_args={"size": 3})),
    ("skimage", FunctionTransformer(gaussian, kw_args={"sigma": 1.0})),
    ("numpy", FunctionTransformer(np.flipud, inverse_func=np.flipud, check_inverse=False)),
    ("blocks", BlockReducer(factor=2)),
]


@pytest.mark.parametrize(("name", "step"), BEFORE, ids=[name for name, _ in BEFORE])
def test_a_pipeline_is_its_steps_one_after_another(frame, routing, name, step):
    """A transformer before the regressor, the stretch after it: as by hand; predict gives the background."""
    image = frame.image
    pipe = Pipeline([("before", step), ("bg", quick()), ("stretch", MidtonesStretch())])
    prepared = step.fit_transform(image)
    expected = MidtonesStretch().fit_transform(quick().fit_transform(prepared))
    np.testing.assert_array_equal(pipe.fit_transform(image), expected)
    np.testing.assert_array_equal(pipe.fit(image).transform(image), expected)
    background = Pipeline([("before", step), ("bg", quick())]).fit(image).predict(image)
    np.testing.assert_array_equal(background, quick().fit(prepared).predict(prepared))


def test_functions_after_the_regressor(frame, routing):
    """Functions of numpy and scipy take the subtracted image."""
    after = make_pipeline(quick(), FunctionTransformer(np.sqrt), FunctionTransformer(ndimage.gaussian_filter, kw_args={"sigma": 1}))  # noqa: E501  # fmt: skip
    expected = ndimage.gaussian_filter(np.sqrt(quick().fit_transform(frame.image)), sigma=1)
    np.testing.assert_array_equal(after.fit_transform(frame.image), expected)


def test_a_pipeline_can_be_undone(frame, routing):
    """inverse_transform of a Pipeline brings the image back."""
    flip = FunctionTransformer(np.flipud, inverse_func=np.flipud, check_inverse=False)
    pipe = make_pipeline(flip, quick()).fit(frame.image)
    restored = pipe.inverse_transform(pipe.transform(frame.image))
    np.testing.assert_allclose(restored, frame.image, rtol=0, atol=4 * np.finfo(np.float32).eps * frame.image.max())


def test_scores_of_a_pipeline(frame, routing):
    """A Pipeline scores as its last step does, with and without a known background."""
    pipe = make_pipeline(FunctionTransformer(), quick()).fit(frame.image)
    model = quick().fit(frame.image)
    assert pipe.score(frame.image) == model.score(frame.image)
    assert pipe.score(frame.image, frame.background) == model.score(frame.image, frame.background)


def test_the_mask_of_a_pipeline(spoilt, mask, routing):
    """A mask and weights reach the regressor's fit, unasked for with routing and by the step's name without."""

    def new():
        return Pipeline([("same", FunctionTransformer()), ("bg", quick())])

    expected = quick().fit(spoilt, mask=mask).predict(spoilt)
    found = new().fit(spoilt, **masked("bg", mask, routing)).predict(spoilt)
    np.testing.assert_array_equal(found, expected)
    weights = (~mask).astype(np.float32)
    key = "sample_weight" if routing else "bg__sample_weight"
    np.testing.assert_array_equal(new().fit(spoilt, **{key: weights}).predict(spoilt), expected)
    assert not np.array_equal(found, quick().fit(spoilt).predict(spoilt))


def test_fit_transform_with_a_mask(spoilt, mask, routing):
    """fit_transform of a Pipeline takes the mask as fit does, wherever in it the regressor stands."""
    expected = quick().fit(spoilt, mask=mask).transform(spoilt)
    last = Pipeline([("same", FunctionTransformer()), ("bg", quick())])
    np.testing.assert_array_equal(last.fit_transform(spoilt, **masked("bg", mask, routing)), expected)
    first = Pipeline([("bg", quick()), ("stretch", MidtonesStretch())])
    stretched = MidtonesStretch().fit_transform(expected)
    np.testing.assert_array_equal(first.fit_transform(spoilt, **masked("bg", mask, routing)), stretched)
    np.testing.assert_array_equal(first.fit(spoilt, **masked("bg", mask, routing)).transform(spoilt), stretched)


def test_a_score_with_a_mask(spoilt, mask, frame):
    """With routing a Pipeline's score takes the mask too."""
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(quick()).fit(spoilt, mask=mask)
        expected = quick().fit(spoilt, mask=mask).score(spoilt, frame.background, mask=mask)
        assert pipe.score(spoilt, frame.background, mask=mask) == expected


def test_masked_arrays_pass_through(spoilt, mask, routing):
    """An image that carries its mask keeps it through a Pipeline, to the regressor and out of it."""
    image = np.ma.array(spoilt, mask=mask)
    found = make_pipeline(quick(), MidtonesStretch()).fit_transform(image)
    np.testing.assert_array_equal(found.mask, mask)
    corrected = quick().fit(spoilt, mask=mask).transform(spoilt)
    expected = MidtonesStretch().fit_transform(np.ma.array(corrected, mask=mask))
    np.testing.assert_array_equal(found.data, expected.data)


def test_nested_parameters(frame, routing):
    """Parameters of a step are read and set through its name, and take effect."""
    pipe = Pipeline([("bg", quick()), ("stretch", MidtonesStretch())])
    pipe.set_params(bg__quantile=0.9, bg__smoothing=0.1, stretch__target=0.4).fit(frame.image)
    assert pipe.get_params()["bg__quantile"] == pipe["bg"].quantile == 0.9
    assert pipe["bg"].smoothing_ == 0.1
    assert pipe["stretch"].curve_.target == 0.4


def test_steps_are_cached(tmp_path, frame, mask, routing, monkeypatch):
    """With memory= the fit of a step before the last is read back: same image and mask, no second fit."""
    fits = []
    fit_prepared = BackgroundSplineRegressor.fit_prepared
    monkeypatch.setattr(
        BackgroundSplineRegressor, "fit_prepared", lambda self, part: fits.append(1) or fit_prepared(self, part)
    )
    pipe = Pipeline([("bg", quick()), ("stretch", MidtonesStretch())], memory=str(tmp_path))
    first = pipe.fit_transform(frame.image, **masked("bg", mask, routing))
    again = pipe.set_params(stretch__target=0.25).fit_transform(frame.image, **masked("bg", mask, routing))
    np.testing.assert_array_equal(first, again)
    assert len(fits) == 1
    assert not np.array_equal(pipe.fit_transform(frame.image), again)
    assert len(fits) == 2


def test_outputs_stay_images(frame, routing):
    """Images are no tables: a global wish for data frames changes nothing, one for a step says that it cannot."""
    pipe = make_pipeline(quick(), MidtonesStretch())
    expected = pipe.fit_transform(frame.image)
    with config_context(transform_output="pandas"):
        np.testing.assert_array_equal(pipe.fit_transform(frame.image), expected)
        assert isinstance(pipe.fit_transform(frame.image), np.ndarray)
    with pytest.raises(ValueError, match="Unable to configure output for BackgroundSplineRegressor"):
        pipe.set_output(transform="pandas")


def test_a_picture_of_the_composition(frame, routing):
    """The HTML of a Pipeline names its steps, before and after fit."""
    pipe = Pipeline([("bg", quick()), ("stretch", MidtonesStretch())])
    for estimator in (pipe, pipe.fit(frame.image), EachImage(pipe)):
        html = estimator._repr_html_()
        assert all(name in html for name in ("BackgroundSplineRegressor", "MidtonesStretch"))


def test_a_union_of_images_sets_them_side_by_side(frame, mask, routing):
    """FeatureUnion joins along the columns of an image: the subtracted image beside the smoothed one."""
    smooth = FunctionTransformer(ndimage.gaussian_filter, kw_args={"sigma": 2})
    union = FeatureUnion([("bg", quick()), ("smooth", smooth)])
    found = union.fit_transform(frame.image)
    width = frame.image.shape[1]
    np.testing.assert_array_equal(found[:, :width], quick().fit_transform(frame.image))
    np.testing.assert_array_equal(found[:, width:], smooth.fit_transform(frame.image))
    if routing:
        with_mask = union.fit_transform(frame.image, mask=mask)[:, :width]
        np.testing.assert_array_equal(with_mask, quick().fit_transform(frame.image, mask=mask))


# The regressor of coordinates.


@pytest.fixture(scope="module")
def samples():
    """Coordinates, a third column that says nothing, and a positive plane over the first two."""
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(0, 100, size=(300, 2)), rng.normal(size=300)])
    return points, 5 + points[:, :2] @ [0.02, 0.01]


def test_columns_of_coordinates(samples, routing):
    """ColumnTransformer picks and scales the coordinates of a table; a plane is still a plane."""
    points, plane = samples
    columns = ColumnTransformer([("xy", StandardScaler(), [0, 1])])
    model = make_pipeline(columns, PolyharmonicSplineRegressor(n_control_points=16)).fit(points, plane)
    np.testing.assert_allclose(model.predict(points), plane, atol=1e-6)


def test_tables_of_coordinates(samples, routing):
    """With set_output the coordinates reach the spline as a pandas table with its names."""
    points, plane = samples
    scaler = StandardScaler()
    model = make_pipeline(scaler, PolyharmonicSplineRegressor(n_control_points=16)).set_output(transform="pandas")
    model.fit(points[:, :2], plane)
    assert list(model[-1].feature_names_in_) == ["x0", "x1"]
    np.testing.assert_allclose(model.predict(points[:, :2]), plane, atol=1e-6)


def test_a_union_of_features(samples, routing):
    """FeatureUnion adds features to the coordinates, here their logarithm, and the spline takes them all."""
    points, plane = samples
    features = FeatureUnion([("same", FunctionTransformer()), ("log", FunctionTransformer(np.log1p))])
    model = make_pipeline(features, PolyharmonicSplineRegressor(n_control_points=16)).fit(points[:, :2], plane)
    assert model[-1].n_features_in_ == 4
    np.testing.assert_allclose(model.predict(points[:, :2]), plane, atol=1e-6)


def test_a_transformed_target(samples, routing):
    """A spline of the logarithm reproduces the exponential of a plane, with weights too."""
    points, plane = samples
    model = TransformedTargetRegressor(
        PolyharmonicSplineRegressor(n_control_points=16), func=np.log, inverse_func=np.exp
    )
    values = np.exp(plane)
    np.testing.assert_allclose(model.fit(points[:, :2], values).predict(points[:, :2]), values, rtol=1e-6)
    assert model.set_params(regressor__order=2).regressor.order == 2
    if routing:
        model.set_params(regressor=model.regressor.set_fit_request(sample_weight=True))
    values[:20] *= 9
    weights = np.r_[np.zeros(20), np.ones(280)]
    found = model.fit(points[:, :2], values, sample_weight=weights).predict(points[:, :2])
    np.testing.assert_allclose(found, np.exp(plane), rtol=1e-6)
