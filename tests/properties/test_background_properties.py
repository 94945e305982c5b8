"""Properties of the estimator of the background of an image."""

from unittest import mock

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor, lattice, preparation, solvers, splines
from tests.properties.strategies import examples, generator, image_dtypes, masks_of, seeds, sky_images

# With a scale far above the residuals the loss is almost convex. With the noise scale a tiny image may have two
# valleys of the same depth, between which the last digit of a sum decides.
ONE_VALLEY = {"loss_scale": 1.0, "smoothing": 1e-2, "mask_objects": False}


def small(**parameters):
    """An estimator for tiny images."""
    settings_ = {"downscale_factor": 4, "n_control_points": 5, "smoothing": 1e-3, "missing_values": None}
    return BackgroundSplineRegressor(**{**settings_, **parameters})


@given(sky_images())
def test_the_background_has_the_shape_and_dtype_promised(image):
    """Any real dtype, byte order and number of channels."""
    model = small().fit(image)
    double = image.dtype.itemsize > (4 if image.dtype.kind == "f" else 2)
    for result in (model.predict(image), model.transform(image)):
        assert result.shape == image.shape
        assert result.dtype == (np.float64 if double else np.float32)
        assert np.isfinite(result).all()


@given(sky_images(), st.sampled_from(["subtract", "divide"]), st.sampled_from(["median", "zero"]))
def test_inverse_transform_undoes_transform(image, correction, level):
    """inverse_transform(transform(X)) == X within rounding."""
    model = small(correction=correction, level=level).fit(image)
    back = model.inverse_transform(model.transform(image))
    rounding = 16 * np.finfo(back.dtype).eps * np.abs(image.astype(float)).max()
    np.testing.assert_allclose(back, image, rtol=0, atol=rounding)


@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.data())
def test_mask_weight_and_nan_are_the_same(image, data):
    """Three ways to exclude pixels give the same coefficients, bit by bit."""
    mask = data.draw(masks_of(image.shape[:2]))
    holed = image.copy()
    holed[mask] = np.nan
    model = small()
    expected = clone(model).fit(image, mask=mask).coef_
    np.testing.assert_array_equal(clone(model).fit(image, sample_weight=~mask).coef_, expected)
    np.testing.assert_array_equal(clone(model).fit(holed).coef_, expected)


@examples(5)
@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.floats(-1e6, 1e6, width=32), st.data())
def test_values_under_a_mask_do_not_matter(image, value, data):
    """Neither to the background nor to its smoothing."""
    mask = data.draw(masks_of(image.shape[:2]))
    spoiled = image.copy()
    spoiled[mask] = value
    models = [small(smoothing="auto").fit(given_image, mask=mask) for given_image in (image, spoiled)]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


@examples(12)
@given(sky_images(dtypes=st.just("<f8")), st.sampled_from([1e-9, 0.01, 7.0, 65535.0]), st.floats(-1e4, 1e4))
def test_units_and_offset(image, a, b):
    """The background of a X + b is a * background + b, within 1e-4 of the range of the image."""
    backgrounds = [small(**ONE_VALLEY).fit(X).predict(X) for X in (image, a * (image + b))]
    span = np.ptp(image)
    assert np.abs(backgrounds[1] / a - b - backgrounds[0]).max() <= 1e-4 * span


@given(sky_images(dtypes=image_dtypes), seeds)
def test_one_pixel_has_bounded_influence(image, seed):
    """However bright one pixel becomes, the background moves by less than the scatter of the blocks."""
    image = image.astype(np.float64)
    rng = generator(seed)
    star = image.copy()
    star[rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])] = 1e6
    models = [small(mask_objects=False, smoothing=1.0).fit(X) for X in (image, star)]
    moved = np.abs(models[0].predict(image) - models[1].predict(image)).max()
    assert moved < 0.2 * np.ptp(image)


@examples(10)
@given(sky_images(dtypes=st.just("<f8")), st.integers(0, 2), st.booleans())
def test_planes_without_noise_are_exact(image, order, steep):
    """The plane through any image's corners is its own background, within 1e-4 of its range."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    corner = np.atleast_3d(image)[:, :, 0]
    slopes = (corner[-1, 0] - corner[0, 0]) / height, (corner[0, -1] - corner[0, 0]) / width
    assume(max(map(abs, slopes)) > 1e-3)
    plane = corner[0, 0] + (100.0 if steep else 1.0) * (slopes[0] * y + slopes[1] * x)
    background = small(order=order + 1, smoothing=1.0).fit(plane).predict(plane)
    assert np.abs(background - plane).max() <= 1e-4 * np.ptp(plane)


@examples(10)
@given(st.integers(24, 60), st.integers(24, 60), st.integers(2, 3), st.sampled_from([1e-4, 1.0]), seeds)
def test_polynomials_in_the_null_space_are_exact(height, width, degree, smoothing, seed):
    """A parabola or cubic on every pixel is its own background, however stiff the spline.

    Within 1e-4 of its range and a fifth of what is taken for the noise (its bend): the loss is as flat there.
    """
    rng = generator(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    sky = 1000 + sum(coef * term for coef, term in zip(rng.normal(size=len(terms)), terms, strict=True))
    parameters = {"order": 4, "degree": degree, "downscale_factor": 1, "n_control_points": 9, "mask_objects": False}
    model = small(smoothing=smoothing, **parameters).fit(sky)
    assert np.abs(model.predict(sky) - sky).max() <= 1e-4 * np.ptp(sky) + 0.2 * model.block_noise_[0]


TURNS = {
    "upside down": lambda image: image[::-1],
    "left to right": lambda image: image[:, ::-1],
    "transposed": lambda image: image.swapaxes(0, 1),
    "half a turn": lambda image: image[::-1, ::-1],
}


@given(sky_images(dtypes=st.just("<f8")), st.sampled_from(sorted(TURNS)))
def test_flips_and_the_transposition(image, turn):
    """The background of a turned image is the turned background, within a tenth of the noise (2 of the image)."""
    # Whole blocks, or a flip would be another division; sides that differ, or the grid has another transpose.
    whole = image[: image.shape[0] // 4 * 4, : image.shape[1] // 4 * 4]
    assume(whole.shape[0] != whole.shape[1])
    model = small(**ONE_VALLEY)
    found, expected = (clone(model).fit(X).predict(X) for X in (TURNS[turn](whole), whole))
    assert np.abs(found - TURNS[turn](expected)).max() <= 0.2


@given(sky_images(dtypes=st.just("<f8")), seeds)
def test_the_channels_may_be_permuted(image, seed):
    """No channel is special, within a tenth of the noise."""
    image = np.atleast_3d(image)
    order = generator(seed).permutation(image.shape[2])
    model = small(**ONE_VALLEY)
    found, expected = (clone(model).fit(X).predict(X) for X in (image[:, :, order], image))
    assert np.abs(found - expected[:, :, order]).max() <= 0.2


@given(sky_images(), st.data())
def test_a_masked_array_is_an_image_with_a_mask(image, data):
    """Of any dtype, bit by bit, and it comes back with its mask."""
    mask = data.draw(masks_of(image.shape[:2]))
    full = mask if image.ndim == 2 else np.repeat(mask[:, :, None], image.shape[2], axis=2)
    masked = np.ma.array(image, mask=full)
    expected, found = small().fit(image, mask=mask), small().fit(masked)
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    flat = found.transform(masked)
    np.testing.assert_array_equal(np.ma.getmaskarray(flat), full)
    np.testing.assert_array_equal(np.ma.getdata(flat), expected.transform(image))


@examples(8)
@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.sampled_from(["mm", "adam"]), seeds)
def test_the_size_of_chunks_and_bands_does_not_matter(image, solver, seed):
    """Read, summed and rendered in small pieces the background is the same, within rounding."""
    model = small(solver=solver, max_iter=10, mask_objects=False, smoothing=1e-2, loss_scale=1.0)
    expected = clone(model).fit(image).predict(image)
    rng = generator(seed)
    # Prime numbers, so that no piece ends where the image does.
    with (
        mock.patch.object(preparation, "_BAND_PIXELS", int(rng.choice([1, 211, 1009]))),
        mock.patch.object(lattice, "_BAND_BYTES", int(rng.choice([1, 997, 4999]))),
        mock.patch.object(splines, "_ROWS_AT_ONCE", int(rng.choice([7, 101]))),
        mock.patch.object(solvers, "_GRAM_ROWS", int(rng.choice([13, 97]))),
    ):
        found = clone(model).fit(image).predict(image)
    assert np.abs(found - expected).max() <= 1e-3 * np.ptp(image)


@given(sky_images(), st.sampled_from(["median", "zero"]))
def test_transform_is_the_image_less_the_background(image, level):
    """Plus the median of the background where the level stays."""
    model = small(level=level).fit(image)
    expected = image - model.predict(image).astype(float)
    expected += model.background_level_ if level == "median" else 0
    rounding = 8 * np.finfo(model.transform(image).dtype).eps * np.abs(image.astype(float)).max()
    np.testing.assert_allclose(model.transform(image), expected, rtol=0, atol=rounding)


@given(sky_images(), seeds)
def test_only_shape_and_dtype_matter_to_predict(image, seed):
    """The background of a model is the same under any pixels."""
    model = small().fit(image)
    other = generator(seed).integers(0, 100, image.shape).astype(image.dtype)
    np.testing.assert_array_equal(model.predict(other), model.predict(image))


@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), seeds)
def test_missing_pixels_stay_missing(image, seed):
    """NaN, infinity and the missing value come back where they were; the background is finite there too."""
    rng = generator(seed)
    spoiled = image.copy()
    where = rng.uniform(size=image.shape) < 0.02
    spoiled[where] = rng.choice([np.nan, np.inf, -np.inf, 0.0], where.sum())
    model = small(missing_values=0).fit(spoiled)
    np.testing.assert_array_equal(model.transform(spoiled)[where], spoiled[where])
    assert np.isfinite(model.predict(spoiled)).all()
    assert np.isfinite(model.transform(spoiled)[~where]).all()


@given(sky_images(), st.floats(0.01, 1.0))
def test_equal_weights_are_no_weights(image, weight):
    """A weight that is the same everywhere moves the background by less than a tenth of the noise."""
    model = small(**ONE_VALLEY)
    expected = clone(model).fit(image).predict(image)
    found = clone(model).fit(image, sample_weight=np.full(image.shape[:2], weight)).predict(image)
    assert np.abs(found - expected).max() <= 0.2


@given(sky_images())
def test_scores_are_bounded(image):
    """Without a truth from -1 to 0, against its own background 1, against another less."""
    model = small().fit(image)
    background = model.predict(image)
    assert -1 <= model.score(image) <= 0
    assume(np.ptp(background) > 0)
    assert np.isclose(model.score(image, background), 1)
    assert model.score(image, background[::-1, ::-1]) <= 1
