"""Properties of reduction, stretch, lattice, folds, noise and metrics."""

import numpy as np
import torch
from hypothesis import assume, example, given, target
from hypothesis import strategies as st

from skbgopt import BlockReducer, MidtonesStretch, gradient_left
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
    images_with_gaps,
    masks_of,
    reducing_functions,
    seeds,
    sky_images,
)
from tests.shared import coordinates


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


@given(images_with_gaps(), block_factors | st.integers(10, 10**12), reducing_functions)
def test_reduction_is_the_slow_reference(image, factor, func):
    """Any shape, factor (beyond the image too) and pattern of missing pixels."""
    reduced = reduce_blocks(image, factor, func)
    assert reduced.dtype == image.dtype
    np.testing.assert_allclose(reduced, slow_reduction(image, factor, func), rtol=4 * np.finfo(image.dtype).eps)


@given(images_with_gaps(), block_factors | st.integers(10, 10**12))
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


@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.data(), st.floats(0.5, 1.0), st.floats(0.05, 0.95))
def test_the_stretch_of_a_masked_image(image, data, quantile, goal):
    """The sky's median goes to the target; no more is clipped than without a mask, nor than of the sky alone."""
    mask = data.draw(masks_of(image.shape[:2]))
    everywhere = np.broadcast_to(mask if image.ndim == 2 else mask[:, :, None], image.shape)
    holed = np.where(everywhere, np.nan, image)
    stretch, alone, unmasked = (
        MidtonesStretch(quantile=quantile, target=goal, missing_values=None).fit(given_image)
        for given_image in (np.ma.array(image, mask=everywhere), holed, image)
    )
    curve = stretch.curve_
    np.testing.assert_array_equal(curve.pedestal, alone.curve_.pedestal)
    whites = [fitted.curve_.pedestal + fitted.curve_.scale for fitted in (alone, unmasked)]
    brightest = np.maximum(*whites)
    np.testing.assert_allclose(curve.pedestal + curve.scale, brightest, rtol=1e-6)
    middles = [np.sort(channel[~mask])[(~mask).sum() // 2] for channel in np.moveaxis(np.atleast_3d(image), -1, 0)]
    found = curve.apply(np.array(middles, dtype=float))
    sound = (curve.midtones > 1e-6) & (curve.midtones < 1 - 1e-6)
    np.testing.assert_allclose(found[sound], goal, rtol=1e-6)


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
        points = torch.from_numpy(coordinates(frame, rows, columns).reshape(-1, 2))
        return spline(points).numpy().reshape(len(rows), len(columns), n_channels)

    found = evaluate_on_lattice(model, (height, width)).render(np.float64)
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


@given(images_with_gaps(), block_factors, reducing_functions, st.booleans())
def test_the_reducer_is_the_slow_reference(image, factor, func, flat):
    """Two axes or three, NaN or a masked array: a pixel that is missing in one channel is missing in all."""
    image = image[:, :, 0] if flat else image
    channels = np.atleast_3d(image)
    gaps = np.isnan(channels).any(axis=2)
    expected = slow_reduction(np.where(gaps[:, :, None], np.nan, channels), factor, func)
    reducer = BlockReducer(factor=factor, func=func, missing_values=None)
    masked = np.ma.array(np.nan_to_num(image), mask=np.isnan(image))
    for form in (image, masked):
        reduced = reducer.fit_transform(form)
        assert reduced.ndim == image.ndim
        np.testing.assert_allclose(np.atleast_3d(reduced), expected, rtol=4 * np.finfo(image.dtype).eps)


@given(sky_images(dtypes=st.sampled_from(["<f4", "<f8"])), st.floats(0.05, 0.95))
def test_the_inverse_of_the_stretch_of_an_image(image, goal):
    """inverse_transform(transform(X)) == X within rounding, over the whole range with quantile=1."""
    stretch = MidtonesStretch(quantile=1.0, target=goal, missing_values=None).fit(image)
    back = stretch.inverse_transform(stretch.transform(image))
    curve = stretch.curve_
    slope = (1 / goal - 1) * curve.midtones / (1 - curve.midtones)
    rounding = curve.scale * np.maximum(slope, 1 / slope) + np.abs(image).max()
    assert np.abs(back - image).max() <= 8 * np.finfo(image.dtype).eps * rounding.max()


@given(sky_images(dtypes=st.just("<f8")), st.floats(-1e3, 1e3), st.floats(0.01, 100))
def test_the_gradient_left(truth, offset, share):
    """0 for the truth plus a constant, the share that was not removed else, and 1 for a constant background."""
    assume((np.ptp(truth, axis=(0, 1)) > 0).all())
    assert gradient_left(truth + offset, truth) < 1e-10
    mean = truth.mean(axis=(0, 1))
    np.testing.assert_allclose(gradient_left(mean + (1 - share) * (truth - mean), truth), share, rtol=1e-6)
    np.testing.assert_allclose(gradient_left(np.full_like(truth, offset), truth), 1, rtol=1e-9)
