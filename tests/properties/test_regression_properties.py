"""Properties of the regressor of coordinates."""

import numpy as np
import torch
from hypothesis import assume, given, target
from hypothesis import strategies as st
from sklearn.base import clone

from skbgopt import PolyharmonicSplineRegressor
from skbgopt.adam import interpolate
from skbgopt.control_points import grid_control_points
from skbgopt.splines import minimum_degree, monomials
from tests.properties.strategies import examples, generator, samples_and_values, seeds


def quick(**parameters):
    """A regressor for a few dozen samples."""
    return PolyharmonicSplineRegressor(**{"n_control_points": 9, "smoothing": 1e-4, **parameters})


@given(samples_and_values(), st.integers(1, 7), st.integers(0, 1), seeds, st.sampled_from([1e-6, 1e-3, 1.0]))
def test_polynomials_in_the_null_space_are_reproduced(samples, order, extra, seed, smoothing):
    """Whatever the smoothing, order and dimension, also beyond the samples."""
    X = samples[0]
    degree = minimum_degree(order) + extra
    low, high = X.min(axis=0), X.max(axis=0)
    unit = torch.from_numpy((X - (low + high) / 2) / (high - low).max())
    tail = monomials(unit, degree)
    assume(len(X) > 1.5 * tail.shape[1] and torch.linalg.cond(tail) < 1e5)
    coef = torch.from_numpy(generator(seed).normal(size=tail.shape[1]))
    y = (tail @ coef).numpy()
    model = quick(order=order, degree=degree, smoothing=smoothing).fit(X, y)
    beyond = 1.2 * (X - X.mean(axis=0)) + X.mean(axis=0)
    expected = (monomials(torch.from_numpy((beyond - (low + high) / 2) / (high - low).max()), degree) @ coef).numpy()
    error = np.abs(model.predict(beyond) - expected).max() / np.ptp(y)
    target(error)
    assert error <= 1e-4


@given(st.integers(1, 4), st.integers(5, 12), seeds)
@examples(6)
def test_values_at_the_control_points_as_the_smoothing_goes_to_0(order, n_points, seed):
    """Samples of a spline through values at the control points: without smoothing the fit has these values there."""
    low, high = -np.ones(2), np.ones(2)
    centres = grid_control_points(n_points, low, high)
    values = torch.from_numpy(generator(seed).normal(size=(n_points, 1)))
    spline = interpolate(torch.from_numpy(centres), values, order, minimum_degree(order), regularisation=0.0)
    X = np.vstack([generator(seed).uniform(-1, 1, (150, 2)), [low, high]])
    y = spline(torch.from_numpy(X)).numpy()[:, 0]
    errors = []
    for smoothing in (1.0, 0.0):
        model = quick(n_control_points=n_points, order=order, smoothing=smoothing, max_iter=1000, tol=0).fit(X, y)
        np.testing.assert_allclose(model.control_points_, centres, atol=1e-12)
        errors.append(np.abs(model.predict(centres) - values[:, 0].numpy()).max() / np.ptp(values.numpy()))
    target(errors[-1])
    assert errors[-1] <= 1e-3
    assert errors[-1] <= errors[0] + 1e-3


@given(samples_and_values(), seeds)
def test_a_weight_of_k_is_k_copies(samples, seed):
    """Bit by bit, and a weight of 0 is no sample at all."""
    X, y = samples
    weight = generator(seed).integers(0, 4, len(X))
    assume(weight.any())
    weighted = quick().fit(X, y, sample_weight=weight)
    copied = quick().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict(X), copied.predict(X))
    without = quick().fit(X[weight > 0], y[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))


@given(samples_and_values(), seeds)
def test_the_order_of_the_samples_does_not_matter(samples, seed):
    """Bit by bit."""
    X, y = samples
    shuffle = generator(seed).permutation(len(X))
    np.testing.assert_array_equal(quick().fit(X, y).predict(X), quick().fit(X[shuffle], y[shuffle]).predict(X))


@given(samples_and_values(), st.sampled_from([1e-9, 0.01, 1e6]), st.floats(-100, 100))
def test_units_and_offset_of_the_values(samples, a, b):
    """The fit of a (y + b) is a times that of y, plus a b."""
    X, y = samples
    expected = quick().fit(X, y).predict(X)
    found = quick().fit(X, a * (y + b)).predict(X) / a - b
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(y)


@given(samples_and_values(), st.sampled_from([1 / 512, 4.0, 1024.0]), st.integers(-500, 500))
def test_units_and_origin_of_the_coordinates(samples, a, b):
    """Scaled and shifted coordinates have the same values."""
    X, y = samples
    expected, found = (quick().fit(points, y).predict(points) for points in (X, a * X + b))
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(y)


@given(samples_and_values(max_dimension=2), st.floats(1.5, 4.0))
def test_the_axes_of_the_coordinates_may_be_exchanged(samples, stretch):
    """The kernel is isotropic and the grid is that of the exchanged box (a square has more than one)."""
    X, y = samples
    X = X * np.array([stretch, 1.0])[: X.shape[1]]
    assume(X.shape[1] == 1 or np.ptp(X[:, 0]) > 1.1 * np.ptp(X[:, 1]))
    expected, found = (quick().fit(points, y).predict(points) for points in (X, X[:, ::-1]))
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(y)


@given(samples_and_values(max_dimension=2), seeds)
def test_outputs_may_be_permuted(samples, seed):
    """No output is special."""
    X, y = samples
    rng = generator(seed)
    targets = np.stack([y, rng.normal(size=len(y)), y**2], axis=1)
    order = rng.permutation(3)
    found = quick().fit(X, targets[:, order]).predict(X)
    np.testing.assert_allclose(found, quick().fit(X, targets).predict(X)[:, order], atol=1e-4 * np.ptp(targets))


@given(samples_and_values(), st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from([0.0, 1e-4, 1.0]))
def test_the_loss_never_rises(samples, alpha, smoothing):
    """The curve goes down or ends."""
    model = quick(alpha=alpha, smoothing=smoothing, max_iter=30).fit(*samples)
    assert (np.diff(model.loss_curve_) <= 0).all()


@given(samples_and_values(), st.floats(1e3, 1e9), seeds)
def test_an_outlier_loses_its_say(samples, height, seed):
    """A value moved from far off to farther off moves the fit by less than the range of the others."""
    X, y = samples
    chosen = generator(seed).integers(len(X))
    fits = []
    for far in (1e3, height):
        spoiled = y.copy()
        spoiled[chosen] = far
        fits.append(quick(n_control_points=4, loss_scale=0.2).fit(X, spoiled).predict(X))
    others = np.arange(len(X)) != chosen
    assert np.abs(fits[0] - fits[1])[others].max() <= np.ptp(y)


@examples(10)
@given(samples_and_values())
def test_clones_fit_the_same(samples):
    """Repeats are identical bit by bit."""
    model = quick().fit(*samples)
    np.testing.assert_array_equal(clone(model).fit(*samples).predict(samples[0]), model.predict(samples[0]))
