"""Properties of reduction, stretch, lattice, masks and the estimator of images."""

import numpy as np
import torch
from hypothesis import assume, example, given, settings, target
from hypothesis import strategies as st
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor, BlockReducer, MidtonesStretch
from skbgopt.folds import block_labels, diagonal_folds
from skbgopt.frame import ImageFrame
from skbgopt.lattice import evaluate_on_lattice
from skbgopt.noise import sky_noise
from skbgopt.reduction import block_fractions, reduce_blocks
from skbgopt.splines import Spline, minimum_degree, monomials
from skbgopt.stretch import MidtonesCurve
from tests.properties.strategies import (
    block_factors,
    finite_linear,
    generator,
    image_dtypes,
    images_with_gaps,
    masks_of,
    reducing_functions,
    regressor_parameters,
    seeds,
    sky_images,
)


def slow_reduction(image, factor, func):
    """Reduce block by block."""
    height, width, n_channels = image.shape
    rows, columns = -(-height // factor), -(-width // factor)
    reduced = np.full((rows, columns, n_channels), np.nan)
    for i, j, c in np.ndindex(reduced.shape):
        block = image[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor, c]
        usable = block[np.isfinite(block)].astype(float)
        if usable.size:
            reduced[i, j, c] = getattr(np, func)(usable)
    return reduced


@given(images_with_gaps(), block_factors, reducing_functions)
def test_reduction_is_the_slow_reference(image, factor, func):
    """Any shape, factor and pattern of missing pixels."""
    reduced = reduce_blocks(image, factor, func)
    assert reduced.dtype == image.dtype
    np.testing.assert_allclose(reduced, slow_reduction(image, factor, func), rtol=4 * np.finfo(image.dtype).eps)


@given(images_with_gaps(), block_factors)
def test_fractions_add_up_to_the_weights(image, factor):
    """No pixel's weight is lost or counted twice."""
    weights = np.isfinite(image).astype(float)
    np.testing.assert_allclose(block_fractions(weights, factor).sum() * factor**2, weights.sum())


@given(images_with_gaps(), block_factors, reducing_functions)
def test_reducing_commutes_with_transposition(image, factor, func):
    """The reduced transpose is the transpose of the reduced image."""
    turned = BlockReducer(factor=factor, func=func).fit_transform(image.swapaxes(0, 1))
    straight = BlockReducer(factor=factor, func=func).fit_transform(image)
    np.testing.assert_allclose(turned, straight.swapaxes(0, 1), rtol=4 * np.finfo(image.dtype).eps)


@given(finite_linear, st.floats(0.05, 1.0), st.floats(0.05, 0.95))
@example(np.full(60, 5.0), 0.99, 0.25)
def test_the_inverse_of_the_stretch(values, quantile, goal):
    """invert(apply(x)) == x within rounding from the pedestal to the quantile."""
    curve = MidtonesCurve.from_samples([values], quantile, goal)
    low, scale = curve.pedestal[0], curve.scale[0]
    x = low + scale * np.linspace(0, 1, 101)[:, None]
    error = np.abs(curve.invert(curve.apply(x)) - x).max()
    # Where the curve is flat an ulp of y is a large step of x: the slope is at least k or 1 / k at the ends.
    steepest = (1 / goal - 1) * curve.midtones[0] / (1 - curve.midtones[0])
    bound = 16 * np.finfo(float).eps * (scale * max(steepest, 1 / steepest) + abs(low) + scale)
    target(error / bound)
    assert error <= bound


@given(finite_linear, st.floats(0.05, 1.0), st.floats(0.05, 0.95))
def test_stretch_and_inverse_are_monotone(values, quantile, goal):
    """Brighter stays brighter; the inverse is finite from -1 to 3."""
    curve = MidtonesCurve.from_samples([values], quantile, goal)
    stretched = curve.apply(np.sort(values)[:, None])
    assert ((stretched >= 0) & (stretched <= 1)).all()
    assert (np.diff(stretched[:, 0]) >= -4 * np.finfo(float).eps).all()
    linear = curve.invert(np.linspace(-1, 3, 401)[:, None])[:, 0]
    assert np.isfinite(linear).all()
    assert (np.diff(linear) >= -8 * np.finfo(float).eps * np.abs(linear).max()).all()


@given(sky_images(), st.floats(0.5, 1.0))
def test_the_stretch_of_an_image_keeps_its_order(image, quantile):
    """Stretching any image of any dtype keeps shape and range, and order in each channel."""
    stretched = MidtonesStretch(quantile=quantile).fit_transform(image)
    assert stretched.shape == image.shape
    assert stretched.min() >= 0
    assert stretched.max() <= 1
    first = np.atleast_3d(image)[:, :, 0].ravel().astype(float)
    assert (np.diff(np.atleast_3d(stretched)[:, :, 0].ravel()[np.argsort(first)]) >= -1e-6).all()


@given(st.integers(1, 5), st.integers(1, 90), st.integers(1, 90), st.integers(1, 3), seeds)
@example(order=1, height=1, width=40, n_channels=1, seed=0)
@example(order=2, height=64, width=64, n_channels=2, seed=1)
def test_the_lattice_is_the_exact_evaluation(order, height, width, n_channels, seed):
    """On every pixel within 1e-5 of the range, for kernels with and without kinks."""
    # The error is relative to the range on the nodes, which surround the image by 16 pixels.
    assume(max(height, width) >= 24)
    rng = generator(seed)
    frame, degree = ImageFrame(height, width), minimum_degree(order)
    n_tail = monomials(torch.zeros(1, 2), degree).shape[1]
    centres = torch.from_numpy(rng.uniform(-1, 1, (8, 2)) * frame.half_extent)
    coefs = (torch.from_numpy(rng.normal(size=(n, n_channels))) for n in (8, n_tail))
    spline = Spline(centres, *coefs, order, degree)

    def model(rows, columns):
        points = torch.from_numpy(frame.coordinates(rows, columns).reshape(-1, 2))
        return spline(points).numpy().reshape(len(rows), len(columns), n_channels)

    lattice = evaluate_on_lattice(model, (height, width))
    found = np.concatenate([band for _, band in lattice.bands(np.float64)]) + lattice.level
    exact = model(np.arange(height) + 0.5, np.arange(width) + 0.5)
    scale = np.maximum(np.ptp(exact, axis=(0, 1)), 1e-7 * np.abs(exact).max())
    error = (np.abs(found - exact).max(axis=(0, 1)) / scale).max()
    target(error)
    assert error <= 1e-5


@given(st.integers(1, 120), st.integers(1, 120), st.integers(1, 6))
def test_blocks_cover_the_grid(height, width, blocks_short):
    """Labels are the numbers of all blocks, and each partition has a fold for each block."""
    labels, blocks = block_labels(height, width, blocks_short)
    assert np.array_equal(np.unique(labels), np.arange(blocks[0] * blocks[1]))
    assert all(folds.shape == blocks for folds in diagonal_folds(blocks))


@given(images_with_gaps(), st.floats(0.1, 1000), st.floats(-1000, 1000))
def test_noise_is_equivariant(image, a, b):
    """The noise of a X + b is a times that of X."""
    image = image.astype(float)
    expected = a * sky_noise(image)
    np.testing.assert_allclose(sky_noise(a * image + b), expected, rtol=1e-6, atol=1e-11 * (1 + abs(b) + a))


def small(**parameters):
    """An estimator for tiny images."""
    settings_ = {"downscale_factor": 4, "n_control_points": 5, "smoothing": 1e-3, "missing_values": None}
    return BackgroundSplineRegressor(**{**settings_, **parameters})


@given(sky_images())
def test_the_background_has_the_shape_and_dtype_promised(image):
    """Any real dtype, byte order and number of channels."""
    model = small().fit(image)
    double = image.dtype.kind == "f" and image.dtype.itemsize == 8
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


@settings(max_examples=8)
@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.floats(-1e6, 1e6, width=32), st.data())
def test_values_under_a_mask_do_not_matter(image, value, data):
    """Neither to the background nor to its smoothing."""
    mask = data.draw(masks_of(image.shape[:2]))
    spoiled = image.copy()
    spoiled[mask] = value
    models = [small(smoothing="auto").fit(given_image, mask=mask) for given_image in (image, spoiled)]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


@settings(max_examples=12)
@given(sky_images(dtypes=st.just("<f8")), st.sampled_from([1e-9, 0.01, 7.0, 65535.0]), st.floats(-1e4, 1e4))
def test_units_and_offset(image, a, b):
    """The background of a X + b is a * background + b, within 1e-4 of the range of the image."""
    backgrounds = [small().fit(X).predict(X) for X in (image, a * (image + b))]
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


@settings(max_examples=40)
@given(sky_images(), regressor_parameters)
def test_no_combination_of_valid_parameters_crashes(image, parameters):
    """Every fit gives a finite background of the image's shape, or a sentence that says why not."""
    model = BackgroundSplineRegressor(**parameters)
    try:
        background = model.fit(image).predict(image)
        result = model.transform(image)
    except ValueError as error:
        known = ("reduced pixels are usable", "is constant", "changes sign", "parameter must be at least")
        assert any(part in str(error) for part in known), error
        return
    assert background.shape == result.shape == image.shape
    assert np.isfinite(background).all()
    assert np.isfinite(model.loss_)


@settings(max_examples=10)
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
