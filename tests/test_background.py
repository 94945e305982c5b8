"""The estimator of the background of an image."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skbgopt import (
    BackgroundSearchCV,
    BackgroundSplineRegressor,
    BlockReducer,
    ImageBlockKFold,
    gradient_left,
    make_sky_image,
)


def quick(**parameters):
    """An estimator that fits in a few hundredths of a second."""
    return BackgroundSplineRegressor(**{"smoothing": 1e-4, "n_control_points": 16, **parameters})


@pytest.fixture(scope="module")
def fitted(galaxy_frame):
    """A quick fit of the galaxy."""
    return quick().fit(galaxy_frame.image)


@pytest.mark.parametrize("kind", ["ha", "oiii", "milky_way", "galaxy"])
def test_most_of_the_gradient_is_removed(kind):
    """With the defaults at most a quarter of a known gradient is left on a frame of a tenth of a megapixel."""
    frame = make_sky_image(kind, shape=(320, 480), random_state=0)
    background = BackgroundSplineRegressor().fit(frame.image, mask=frame.mask).predict(frame.image)
    assert gradient_left(background, frame.background, frame.mask) < 0.25


@pytest.mark.parametrize("degree", [None, 2])
@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("smoothing", [1e-6, 1.0, "auto"])
def test_an_affine_sky_is_reproduced(smoothing, factor, degree):
    """A plane without noise and objects is its own background, within 1e-4 of its range."""
    y, x = np.mgrid[:100, :150]
    sky = np.stack([500 + 2.0 * x - y, 300 - 0.5 * x + 0.1 * y], axis=2)
    model = quick(smoothing=smoothing, downscale_factor=factor, degree=degree).fit(sky)
    error = np.abs(model.predict(sky) - sky).max(axis=(0, 1))
    assert (error <= 1e-4 * np.ptp(sky, axis=(0, 1))).all()


DTYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", "u1", "<u2", ">u2", "<i2", ">i2", "<i4", "<u4", "<i8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_real_dtype_and_byte_order(mono_frame, dtype):
    """Float64 and wide integers give float64, others float32, native; the background is that of the same numbers."""
    scaled = mono_frame.image / np.quantile(mono_frame.image, 0.999)
    image = np.clip(scaled * 250, 1, 255).astype(dtype)
    model = quick().fit(image)
    for result in (model.predict(image), model.transform(image), model.inverse_transform(image)):
        expected = np.float64 if dtype[1:] in ("f8", "i4", "u4", "i8") else np.float32
        assert result.dtype == expected
        assert result.dtype.isnative
        assert result.shape == image.shape
    # Without the yes-or-no of the object mask, which single precision may tip.
    stable = quick(mask_objects=False, smoothing=1e-2)
    reference = stable.fit(image.astype(np.float64)).predict(image.astype(np.float64))
    found = stable.fit(image).predict(image)
    # Fits in float32 and float64 images part in the last digits of single precision only.
    assert np.abs(found - reference).max() < 1e-3 * np.ptp(reference) + 1e-6 * reference.max()


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
def test_the_sky_of_high_integers_has_no_stairs(dtype):
    """Near 1.5e9 the steps of float32 are 128: model and result keep neither them nor what they would leave."""
    y, x = np.mgrid[:100, :150]
    sky, noise = 1.5e9 + 20.0 * x - 10.0 * y, np.random.default_rng(0).normal(0, 20, (100, 150))
    image = np.rint(sky + noise).astype(dtype)
    model = quick(smoothing=1e-2).fit(image)
    assert np.std(model.predict(image) - sky) < 2
    assert np.std(model.transform(image) - noise) < 2
    assert np.abs(np.diff(model.predict(image), axis=1) - 20).max() < 1


@pytest.mark.parametrize("shape", [(160, 240), (160, 240, 1), (160, 240, 2), (160, 240, 3), (160, 240, 4)])
def test_shapes(shape):
    """Two and three axes, any number of channels, come back as they are."""
    image = (100 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    model = quick().fit(image)
    assert model.predict(image).shape == model.transform(image).shape == shape
    n_channels = shape[2] if len(shape) == 3 else 1
    for attribute in (model.noise_, model.block_noise_, model.background_level_):
        assert attribute.shape == (n_channels,)
    assert model.image_shape_ == (160, 240, n_channels)


def test_one_channel_is_the_same_with_and_without_its_axis(mono_frame):
    """(h, w) and (h, w, 1) have the same background."""
    flat, deep = mono_frame.image, mono_frame.image[:, :, None]
    np.testing.assert_array_equal(quick().fit(flat).predict(flat), quick().fit(deep).predict(deep)[:, :, 0])


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "a view of every second": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed twice": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "channels first, moved": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 2, 0)), 0, 2),
    "nested lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_memory_layout_does_not_matter(layout):
    """The same numbers in another layout have the same background, bit by bit."""
    image = make_sky_image("galaxy", shape=(80, 120), dtype=np.float64, random_state=5).image
    other = layout(image)
    np.testing.assert_array_equal(quick().fit(other).predict(other), quick().fit(image).predict(image))


def test_input_is_not_modified(galaxy_frame):
    """Neither image nor mask nor weights are written to, even if they could not be."""
    image, mask = galaxy_frame.image.copy(), galaxy_frame.mask.copy()
    image[3, 4] = np.nan
    weight = np.random.default_rng(0).uniform(size=mask.shape).astype(np.float32)
    before = [part.copy() for part in (image, mask, weight)]
    for part in (image, mask, weight):
        part.flags.writeable = False
    model = quick().fit(image, mask=mask, sample_weight=weight)
    model.inverse_transform(model.transform(image))
    model.score(image, mask=mask, sample_weight=weight)
    for part, copy in zip((image, mask, weight), before, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_results_share_no_memory(fitted, galaxy_frame):
    """Writing into a result leaves image and model alone."""
    image = galaxy_frame.image
    background = fitted.predict(image)
    background[:] = 0
    assert not np.shares_memory(fitted.transform(image), image)
    assert (fitted.predict(image) != 0).any()


@pytest.mark.parametrize("correction", ["subtract", "divide"])
@pytest.mark.parametrize("level", ["median", "zero"])
def test_missing_pixels_stay_what_they_are(galaxy_frame, correction, level):
    """NaN stays NaN, infinity stays infinity, a border of zeros stays zero, there and back."""
    image = galaxy_frame.image.copy()
    border = (image == 0).any(axis=2)
    image[50:55, 60:70] = np.nan
    image[80, 90, 1] = np.inf
    model = quick(correction=correction, level=level).fit(image)
    for result in (model.transform(image), model.inverse_transform(image)):
        np.testing.assert_array_equal(result[border], image[border])
        np.testing.assert_array_equal(result[50:55, 60:70], image[50:55, 60:70])
        assert result[80, 90, 1] == np.inf
    assert np.isfinite(model.predict(image)).all()


def test_pixels_that_are_only_masked_are_corrected(galaxy_frame):
    """A mask hides pixels from the fit, not from the correction."""
    image = galaxy_frame.image
    mask = galaxy_frame.mask.copy()
    mask[40:60, 40:60] = True
    model = quick().fit(image, mask=mask)
    expected = image - model.predict(image) + model.background_level_
    np.testing.assert_allclose(model.transform(image)[40:60, 40:60], expected[40:60, 40:60], rtol=1e-5)


@pytest.mark.parametrize("some", [True, False], ids=["some masked", "none masked"])
def test_masked_arrays_come_back_with_their_mask(mono_frame, some):
    """np.ma in, np.ma out; masked values are corrected too."""
    mask = np.zeros(mono_frame.image.shape, bool)
    mask[10:20, 10:20] = some
    image = np.ma.array(mono_frame.image, mask=mask)
    model = quick().fit(image)
    result = model.transform(image)
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(np.ma.getmaskarray(result), mask)
    np.testing.assert_array_equal(result.data, model.transform(mono_frame.image))
    assert not isinstance(model.predict(image), np.ma.MaskedArray)


def test_subtract_is_the_image_less_the_background(colour_frame):
    """level="zero" leaves image - background; "median" adds the background's median of each channel."""
    image = colour_frame.image
    model = quick(level="zero").fit(image)
    background = model.predict(image)
    np.testing.assert_allclose(model.transform(image), image - background, atol=1e-12)
    model.set_params(level="median")
    np.testing.assert_allclose(model.transform(image), image - background + model.background_level_, atol=1e-12)


def test_divide_is_the_image_over_the_relative_background(colour_frame):
    """The image over background / median, its level kept or taken away."""
    image = colour_frame.image
    model = quick(correction="divide").fit(image)
    flat = image / (model.predict(image) / model.background_level_)
    np.testing.assert_allclose(model.transform(image), flat, rtol=1e-9)
    model.set_params(level="zero")
    np.testing.assert_allclose(model.transform(image), flat - model.background_level_, atol=1e-12)


def test_the_level_is_the_median_of_the_background(colour_frame):
    """background_level_ is the median of the background over the frame, within a hundredth of its range."""
    model = quick().fit(colour_frame.image)
    background = model.predict(colour_frame.image)
    median = np.median(background, axis=(0, 1))
    assert (np.abs(median - model.background_level_) < 0.01 * np.ptp(background, axis=(0, 1))).all()


def test_dividing_by_a_background_that_changes_sign_raises():
    """A sky around zero cannot be divided out."""
    _, x = np.mgrid[:80, :120]
    image = x - 60.0 + np.random.default_rng(0).normal(size=x.shape)
    model = quick(correction="divide", missing_values=None).fit(image)
    with pytest.raises(ValueError, match=r"changes\s+sign: use correction='subtract'"):
        model.transform(image)


@pytest.mark.parametrize("sign", [1, -1])
def test_dividing_by_a_background_of_one_sign(sign):
    """A sky that is negative everywhere divides as well as one that is positive."""
    _, x = np.mgrid[:80, :120]
    image = sign * (x + 100.0) + np.random.default_rng(0).normal(0, 0.3, x.shape)
    model = quick(correction="divide").fit(image)
    np.testing.assert_allclose(model.transform(image), np.median(image), rtol=0.02)


@pytest.mark.parametrize("parameters", [{}, {"init": "random"}, {"solver": "adam", "max_iter": 20}], ids=str)
def test_repeats_are_identical(galaxy_frame, parameters):
    """The same input, parameters and seed give the same model, bit by bit."""
    image = galaxy_frame.image
    models = [quick(random_state=3, **parameters).fit(image) for _ in range(2)]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    np.testing.assert_array_equal(models[0].predict(image), models[1].predict(image))
    again = models[0].fit(image)
    np.testing.assert_array_equal(again.coef_, models[1].coef_)


def test_the_default_repeats_itself(mono_frame):
    """So does the whole of the default fit."""
    models = [BackgroundSplineRegressor().fit(mono_frame.image) for _ in range(2)]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    assert models[0].smoothing_ == models[1].smoothing_


def test_the_seed_matters_for_random_points_only(mono_frame):
    """Other seeds give other random points, and the same grid."""
    points = [
        [quick(init=init, random_state=s).fit(mono_frame.image).control_points_ for s in (0, 1)]
        for init in ("random", "grid")
    ]
    assert not np.array_equal(*points[0])
    np.testing.assert_array_equal(*points[1])


@pytest.mark.parametrize("init", ["grid", "random"])
@pytest.mark.parametrize("n_control_points", [1, 2, 5, 32])
def test_control_points_are_as_many_as_asked_for_and_inside(mono_frame, init, n_control_points):
    """control_points_ are in pixels of the image fitted."""
    model = quick(init=init, n_control_points=n_control_points, order=3, degree=1, random_state=0).fit(mono_frame.image)
    assert model.control_points_.shape == (n_control_points, 2)
    assert (model.control_points_ >= 0).all()
    assert (model.control_points_ <= np.array(mono_frame.image.shape) - 1).all()
    assert model.coef_.shape == (n_control_points + 3, 1)


def test_fit_on_one_size_predict_at_another(fitted, galaxy_frame):
    """At twice the size four pixels average to the one that they replace; at any size it is finite."""
    height, width = galaxy_frame.image.shape[:2]
    background = fitted.predict(galaxy_frame.image)
    double = fitted.predict(np.zeros((2 * height, 2 * width, 3), np.float32))
    means = double.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(means, background, atol=1e-3 * np.ptp(background))
    for shape in ((1, 1, 3), (7, 300, 3)):
        assert np.isfinite(fitted.predict(np.zeros(shape))).all()


def test_only_shape_and_dtype_matter_to_predict(fitted, galaxy_frame):
    """The values of the image predicted do not."""
    image = galaxy_frame.image
    np.testing.assert_array_equal(fitted.predict(image), fitted.predict(np.full_like(image, np.nan)))


def test_another_number_of_channels_raises(fitted):
    """A model of three channels has no background for one or four."""
    for shape in ((160, 240), (160, 240, 4)):
        with pytest.raises(ValueError, match=r"fitted on 3 channel\(s\), got an image of shape"):
            fitted.predict(np.ones(shape))
        with pytest.raises(ValueError, match=r"fitted on 3 channel\(s\)"):
            fitted.transform(np.ones(shape))


@pytest.mark.parametrize("method", ["predict", "transform", "inverse_transform", "score"])
def test_before_fitting(method, galaxy_frame):
    """Every method that needs a model says so."""
    with pytest.raises(NotFittedError):
        getattr(BackgroundSplineRegressor(), method)(galaxy_frame.image)


def test_score_with_a_known_background_is_r2(fitted, galaxy_frame):
    """1 - rest / total over the usable pixels, all channels together."""
    image, truth, usable = galaxy_frame.image, galaxy_frame.background.astype(float), ~galaxy_frame.mask
    rest = ((truth - fitted.predict(image))[usable] ** 2).sum()
    total = ((truth[usable] - truth[usable].mean(axis=0)) ** 2).sum()
    assert fitted.score(image, truth) == pytest.approx(1 - rest / total, rel=1e-6)


def test_score_of_a_mono_frame_against_its_background(mono_frame):
    """Images of two axes are scored as well."""
    model = quick().fit(mono_frame.image)
    assert model.score(mono_frame.image, mono_frame.background) > 0.8


def test_score_without_a_background_prefers_the_better_model(mono_frame):
    """From -1 to 0, and higher for a good background than for one that is far too stiff or too high."""
    image = mono_frame.image
    good = quick(downscale_factor=4, smoothing=1e-5).fit(image)
    scores = {"good": good.score(image)}
    scores["stiff"] = quick(smoothing=1e6).fit(image).score(image)
    shifted = clone(good).fit(image + np.float32(10 * good.noise_[0]))
    scores["high"] = shifted.score(image)
    assert all(-1 <= score <= 0 for score in scores.values())
    assert scores["good"] > max(scores["stiff"], scores["high"])


def test_score_does_not_see_masked_pixels(fitted, galaxy_frame):
    """Values under a mask do not change the score."""
    mask = np.zeros(galaxy_frame.mask.shape, bool)
    mask[40:80, 40:80] = True
    spoiled = np.where(mask[:, :, None], np.float32(9), galaxy_frame.image)
    assert fitted.score(spoiled, mask=mask) == fitted.score(galaxy_frame.image, mask=mask)


def test_fit_transform_is_fit_then_transform(mono_frame):
    """Also with a mask."""
    image, mask = mono_frame.image, mono_frame.image > np.quantile(mono_frame.image, 0.9)
    np.testing.assert_array_equal(
        quick().fit_transform(image, mask=mask), quick().fit(image, mask=mask).transform(image)
    )


def test_prepare_and_fit_prepared_are_fit(mono_frame):
    """The two halves of a fit are the fit."""
    halves = quick()
    halves.fit_prepared(halves.prepare(mono_frame.image))
    np.testing.assert_array_equal(halves.coef_, quick().fit(mono_frame.image).coef_)


def test_noise_is_that_of_the_frame(colour_frame):
    """noise_ is the made noise, each channel's within 5 %."""
    np.testing.assert_allclose(quick().fit(colour_frame.image).noise_, colour_frame.noise, rtol=0.05)


def test_masked_objects_are_the_galaxy(colour_frame):
    """object_mask_ lies on the reduced grid and covers most of the bright extended light."""
    model = BackgroundSplineRegressor().fit(colour_frame.image)
    blocks = colour_frame.objects.reshape(30, 8, 45, 8, 3)
    light = np.median(np.moveaxis(blocks, 2, 1).reshape(30, 45, 64, 3), axis=2)
    bright = (light > 3 * colour_frame.noise).any(axis=2)
    assert model.object_mask_.shape == (30, 45)
    assert model.object_mask_[bright].mean() > 0.8


def test_parameters_are_not_touched_by_fit(mono_frame):
    """get_params is the same before and after, clone and set_params work."""
    model = quick(random_state=0)
    before = model.get_params()
    model.fit(mono_frame.image)
    assert model.get_params() == before == clone(model).get_params()
    assert model.set_params(quantile=0.9).quantile == 0.9
    assert not hasattr(clone(model), "coef_")


def test_verbose_draws_a_progress_bar(mono_frame, capfd):
    """verbose=1 shows progress on stderr and nothing on stdout; 0 shows nothing at all."""
    quick(verbose=1).fit(mono_frame.image)
    shown = capfd.readouterr()
    assert "fit" in shown.err
    assert not shown.out
    quick().fit(mono_frame.image)
    assert capfd.readouterr() == ("", "")


OUT_OF_RANGE = [
    ({"n_control_points": 0}, r"int in the range \[1, inf\)\. Got 0"),
    ({"n_control_points": 2.5}, r"int.*Got 2\.5"),
    ({"order": 0}, r"int in the range \[1, 9\]\. Got 0"),
    ({"degree": -1}, r"range \[0, 9\].*Got -1"),
    ({"init": "hexagon"}, r"among .*'grid'.*Got 'hexagon'"),
    ({"smoothing": -1e-9}, r"range \[0\.0, 1000000000\.0\].*'auto'.*Got -1e-09"),
    ({"smoothing": "much"}, r"'auto'.*Got 'much'"),
    ({"quantile": 0}, r"float in the range \(0\.0, 1\.0\]\. Got 0"),
    ({"quantile": 2}, r"float in the range \(0\.0, 1\.0\]\. Got 2"),
    ({"threshold_min": "0"}, r"float.*Got '0'"),
    ({"threshold_max": np.inf}, r"float in the range.*Got inf"),
    ({"missing_values": "zero"}, r"Got 'zero'"),
    ({"missing_values": np.nan}, r"Got nan"),
    ({"downscale_factor": 0}, r"int in the range \[1, inf\)\. Got 0"),
    ({"missing_values": 10**400}, r"\[-1\.797.*e\+308, 1\.797.*e\+308\].*Got 1000"),
    ({"downscale_func": "max"}, r"among .*'median'.*Got 'max'"),
    ({"alpha": 1e300}, r"Got 1e\+300"),
    ({"alpha": -1}, r"float in the range \[0\.0, 1000000\.0\]\. Got -1"),
    ({"loss_scale": 0.0}, r"range \[1e-09, 1000000000\.0\].*'noise'.*Got 0\.0"),
    ({"solver": "sgd"}, r"among .*'mm'.*Got 'sgd'"),
    ({"learning_rate": 0}, r"float in the range \(0\.0, 10\.0\]\. Got 0"),
    ({"max_iter": 0}, r"int in the range \[1, inf\)\. Got 0"),
    ({"tol": -1e-3}, r"float in the range \[0\.0, inf\)\. Got -0\.001"),
    ({"mask_objects": "yes"}, r"Got 'yes'"),
    ({"move_control_points": "auto"}, r"Got 'auto'"),
    ({"warm_start": "auto"}, r"Got 'auto'"),
    ({"correction": "multiply"}, r"among .*'subtract'.*Got 'multiply'"),
    ({"level": "mean"}, r"among .*'median'.*Got 'mean'"),
    ({"device": None}, r"Got None"),
    ({"random_state": "seed"}, r"Got 'seed'"),
    ({"verbose": -1}, r"Got -1"),
]


@pytest.mark.parametrize(("parameters", "message"), OUT_OF_RANGE, ids=str)
def test_parameters_out_of_range(mono_frame, parameters, message):
    """The sentence names the parameter, the estimator, the range and the value."""
    (name,) = parameters
    expected = f"(?s)The '{name}' parameter of BackgroundSplineRegressor must be .*{message}"
    with pytest.raises(ValueError, match=expected):
        BackgroundSplineRegressor(**parameters).fit(mono_frame.image)


def test_every_parameter_is_in_the_table():
    """No parameter was forgotten."""
    assert {name for parameters, _ in OUT_OF_RANGE for name in parameters} == set(
        BackgroundSplineRegressor().get_params()
    )


def test_thresholds_the_wrong_way_round(mono_frame):
    """threshold_min must be below threshold_max."""
    with pytest.raises(ValueError, match=r"'threshold_min'.*below 'threshold_max'.*0\.9 and 0\.1"):
        quick(threshold_min=0.9, threshold_max=0.1).fit(mono_frame.image)


def test_a_device_that_does_not_exist(mono_frame):
    """A device named by hand must work; the sentence says what does."""
    with pytest.raises(ValueError, match=r"device 'abacus' does not work here .*'cpu'"):
        quick(device="abacus").fit(mono_frame.image)


def sky(shape=(80, 120)):
    """A noisy sky."""
    return np.random.default_rng(0).normal(100, 1, shape)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32, np.uint64])
def test_integers_of_numpy_are_integers(dtype):
    """However few bits they have."""
    expected = quick(downscale_factor=8).fit(sky()).coef_
    np.testing.assert_array_equal(quick(downscale_factor=dtype(8)).fit(sky()).coef_, expected)
    folds = [[test for _, test in ImageBlockKFold(blocks_short=number).split(sky())] for number in (4, dtype(4))]
    np.testing.assert_array_equal(*folds)
    blocks = [BlockReducer(factor=number).fit_transform(sky()) for number in (8, dtype(8))]
    np.testing.assert_array_equal(*blocks)


def test_blocks_larger_than_the_image_are_the_image():
    """However large."""
    for factor in (120, 10**30):
        with pytest.raises(ValueError, match="Only 1 reduced pixels are usable"):
            quick(downscale_factor=factor).fit(sky())


NOTHING_LEFT = {
    "all masked": (sky(), {"mask": np.ones((80, 120), bool)}, {}, "9600 masked"),
    "all of weight 0": (sky(), {"sample_weight": np.zeros((80, 120))}, {}, "9600 weight 0"),
    "all NaN": (np.full((80, 120), np.nan), {}, {}, "9600 missing"),
    "all zero": (np.zeros((80, 120)), {}, {}, "9600 missing"),
    "one channel of weight 0": (
        np.dstack([sky()] * 3),
        {"sample_weight": np.ones((80, 120, 3)) * [1, 0, 1]},
        {},
        "usable in channel 1,",
    ),
    "constant": (np.full((80, 120), 5.0), {}, {}, "9600"),
    "constant channel": (np.dstack([sky(), np.full((80, 120), 5.0)]), {}, {}, "9600"),
    "too few for the spline": (sky(), {}, {"n_control_points": 200}, r"150 .*200 are needed"),
    "tiny": (sky((2, 3)), {}, {}, r"of 6 pixels"),
    "a row in twenty is far too bright": (
        np.where(np.arange(80)[:, None] % 20, sky(), 1e10),
        {},
        {},
        "mask them or lower quantile",
    ),
    "outside the thresholds": (sky(), {}, {"threshold_min": 5, "threshold_max": 6}, "outside the thresholds"),
}


@pytest.mark.parametrize(("image", "given", "parameters", "message"), NOTHING_LEFT.values(), ids=NOTHING_LEFT.keys())
@pytest.mark.filterwarnings("error")
def test_nothing_usable_left(image, given, parameters, message):
    """A ValueError says how many pixels there are and how many each reason excluded, without warnings."""
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(image, **given)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (sky((80,)), ValueError, r"one image of shape .*got shape \(80,\)"),
        (sky((2, 80, 120, 3)), ValueError, r"got shape \(2, 80, 120, 3\).*EachImage"),
        (sky() + 0j, ValueError, "real numbers, got dtype complex128"),
        (np.full((80, 120), "a"), TypeError, "real numbers"),
        (sky().astype("M8[s]"), TypeError, "real numbers, got dtype datetime64"),
        (torch.ones(80, 120, requires_grad=True), TypeError, "as arrays, got a Tensor"),
    ],
)
def test_input_that_is_no_image(image, error, message):
    """The sentence names the estimator and what came."""
    with pytest.raises(error, match=f"BackgroundSplineRegressor .*{message}"):
        BackgroundSplineRegressor().fit(image)


@pytest.mark.parametrize("shape", [(5, 40, 60), (20, 300, 400), (600, 8, 501), (16, 20, 17)])
def test_a_stack_of_images_is_not_one_of_many_channels(shape):
    """More channels than rows and 16, or than 500, are refused by fits and searches, with a word on what takes them."""
    stack = np.broadcast_to(np.float32(1), shape)
    for who in (BackgroundSplineRegressor(), BackgroundSearchCV()):
        with pytest.raises(ValueError, match=r"no more than rows, got shape .*: take EachImage for a stack of images"):
            who.fit(stack)


@pytest.mark.parametrize("shape", [(48, 60, 48), (8, 200, 16)])
def test_cubes_of_many_channels_are_images(shape):
    """No more channels than rows, or 16, are fitted together, each to its own plane."""
    channels = np.random.default_rng(0).normal(100 + np.arange(shape[2]), 1, shape)
    model = BackgroundSplineRegressor(smoothing=1e-2, n_control_points=4, order=2, downscale_factor=4).fit(channels)
    np.testing.assert_allclose(model.background_level_, 100 + np.arange(shape[2]), atol=1)


def test_an_image_is_not_prepared():
    """fit_prepared says what it takes."""
    with pytest.raises(TypeError, match="fit_prepared takes what prepare returns, got a ndarray"):
        quick().fit_prepared(sky())


def test_a_known_background_of_another_shape_raises(fitted, galaxy_frame):
    """score(X, y) wants y of X's shape and says so."""
    with pytest.raises(ValueError, match="shape"):
        fitted.score(galaxy_frame.image, galaxy_frame.background[:, :, 0])


def test_sentinels_do_not_move_the_noise(galaxy_frame):
    """A few pixels of -1e9, as some files mark missing ones, leave the model within half a sigma of the sky."""
    image = galaxy_frame.image.astype(np.float64)
    marked = image.copy()
    marked[30, 40:60] = -1e9
    difference = quick().fit(marked).predict(marked) - quick().fit(image).predict(image)
    assert (np.sqrt(np.mean(difference**2, axis=(0, 1))) < 0.5 * galaxy_frame.noise).all()


def test_a_mask_passed_as_y_is_refused(mono_frame):
    """fit(image, mask) would ignore the mask."""
    with pytest.raises(ValueError, match="mask=mask"):
        quick().fit(mono_frame.image, mono_frame.mask)


def test_channels_first_is_refused():
    """The sentence says where the channels go."""
    with pytest.raises(ValueError, match="channels last"):
        quick().fit(np.ones((3, 60, 90)))
