"""Robust splines on coordinates."""

import numpy as np
import pytest
from sklearn.base import clone

from skbgopt import PolyharmonicSplineRegressor


def scattered(n=400, d=2, seed=0):
    """Coordinates in the unit cube."""
    return np.random.default_rng(seed).uniform(size=(n, d))


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_planes_are_exact(order, d):
    """An affine function of the coordinates is reproduced, in and beyond the box, in any dimension."""
    X = scattered(d=d)
    slope = np.arange(1, d + 1)
    model = PolyharmonicSplineRegressor(n_control_points=12, order=order, smoothing=1.0).fit(X, 3 + X @ slope)
    beyond = np.vstack([X, -0.5 * np.ones(d), 1.5 * np.ones(d)])
    np.testing.assert_allclose(model.predict(beyond), 3 + beyond @ slope, atol=1e-6)


def test_parabolas_are_exact_with_a_quadratic_tail():
    """degree=2 holds all quadratics, however large the smoothing."""
    X = scattered()
    y = 1 + X[:, 0] ** 2 - 3 * X[:, 0] * X[:, 1]
    model = PolyharmonicSplineRegressor(n_control_points=12, order=4, smoothing=1e6).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


def test_outliers_lose_their_say():
    """A fifth of the values far off leaves a plane within a hundredth of their distance."""
    X = scattered(800)
    y = X @ [1.0, 2.0] + np.random.default_rng(1).normal(0, 0.01, 800)
    y[::5] += 10
    model = PolyharmonicSplineRegressor(n_control_points=9, smoothing=1.0, loss_scale=0.05).fit(X, y)
    assert np.abs(model.predict(X) - X @ [1.0, 2.0]).max() < 0.02


@pytest.mark.parametrize(("alpha", "share"), [(0.0, 0.5), (1.0, 0.25), (4.0, 0.1)])
def test_alpha_sets_the_quantile(alpha, share):
    """With a wide scale the share of values below the model is 1 / (2 + 2 alpha)."""
    X = scattered(2000)
    y = X @ [1.0, 2.0] + np.random.default_rng(1).normal(0, 1, 2000)
    model = PolyharmonicSplineRegressor(n_control_points=4, smoothing=10, alpha=alpha, loss_scale=10.0, tol=0)
    assert (y < model.fit(X, y).predict(X)).mean() == pytest.approx(share, abs=0.02)


def test_a_flexible_spline_follows_a_surface():
    """64 points reproduce a smooth hill to 1 % of its height."""
    X = scattered(2000)
    y = np.exp(-((X - 0.5) ** 2).sum(axis=1) / 0.1)
    model = PolyharmonicSplineRegressor(smoothing=1e-9).fit(X, y)
    assert np.abs(model.predict(X) - y).max() < 0.01


def test_a_weight_of_k_is_k_copies():
    """Weights count copies."""
    X = scattered(100)
    y = np.sin(5 * X[:, 0])
    weight = np.random.default_rng(2).integers(0, 4, 100)
    model = PolyharmonicSplineRegressor(n_control_points=9, loss_scale=0.1)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    copied = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.predict(X), copied.predict(X), atol=1e-6)


def test_samples_of_weight_zero_do_not_move_the_box():
    """A far point of weight 0 changes nothing, bit by bit."""
    X, y = scattered(100), np.arange(100.0)
    far = np.vstack([X, [[1e6, 1e6]]])
    model = PolyharmonicSplineRegressor(n_control_points=9)
    weighted = clone(model).fit(far, np.append(y, 1e9), sample_weight=np.append(np.ones(100), 0))
    np.testing.assert_array_equal(weighted.predict(X), clone(model).fit(X, y, np.ones(100)).predict(X))


def test_outputs_keep_their_axes():
    """(n,) gives (n,), (n, k) gives (n, k)."""
    X = scattered(50)
    model = PolyharmonicSplineRegressor(n_control_points=4)
    assert model.fit(X, X[:, 0]).predict(X[:7]).shape == (7,)
    assert model.fit(X, X[:, :1]).predict(X[:7]).shape == (7, 1)
    assert model.fit(X, np.hstack([X, X])).predict(X[:7]).shape == (7, 4)


def test_fitted_attributes():
    """Points are in the coordinates given, in their box; the curve never rises."""
    X = scattered(100) * [10, 1000] + [5, -300]
    model = PolyharmonicSplineRegressor(n_control_points=10).fit(X, X[:, 0])
    assert model.control_points_.shape == (10, 2)
    assert ((model.control_points_ >= X.min(axis=0)) & (model.control_points_ <= X.max(axis=0))).all()
    assert model.coef_.shape == (13, 1)
    assert (np.diff(model.loss_curve_) <= 0).all()
    assert model.n_features_in_ == 2


def test_random_points_are_seeded():
    """The same random_state gives the same model."""
    X, y = scattered(100), scattered(100)[:, 0] ** 2
    points = [
        PolyharmonicSplineRegressor(n_control_points=9, init="random", random_state=s).fit(X, y).control_points_
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(points[0], points[1])
    assert not np.array_equal(points[0], points[2])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_control_points": 0}, r"'n_control_points' parameter of .* range \[1, inf\)\. Got 0"),
        ({"order": 0}, r"'order' parameter of .* range \[1, 9\]\. Got 0"),
        ({"degree": -1}, r"'degree' parameter of .* range \[0, 9\].*Got -1"),
        ({"init": "middle"}, r"'init' parameter of .*'grid'.*Got 'middle'"),
        ({"smoothing": -1.0}, r"'smoothing' parameter of .* range \[0\.0, inf\)\. Got -1\.0"),
        ({"alpha": -0.1}, r"'alpha' parameter of .* range \[0\.0, inf\)\. Got -0\.1"),
        ({"loss_scale": 0}, r"'loss_scale' parameter of .* range \(0\.0, inf\).*Got 0"),
        ({"max_iter": 0}, r"'max_iter' parameter of .* range \[1, inf\)\. Got 0"),
        ({"tol": -1.0}, r"'tol' parameter of .* range \[0\.0, inf\)\. Got -1\.0"),
        ({"device": 3}, r"'device' parameter of .*Got 3"),
        ({"device": "abacus"}, r"device 'abacus' does not work here"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    """The sentence names the parameter, the range and the value."""
    with pytest.raises(ValueError, match=message):
        PolyharmonicSplineRegressor(**parameters).fit(scattered(20), np.arange(20.0))


@pytest.mark.parametrize("outlier", [1e6, -1e9])
def test_one_outlier_does_not_widen_the_noise(outlier):
    """However far off one value is, the surface without it is found."""
    X = scattered(400)
    y = np.sin(3 * X[:, 0])
    spoiled = y.copy()
    spoiled[17] = outlier
    model = PolyharmonicSplineRegressor(smoothing=1e-9)
    expected = clone(model).fit(X, y).predict(X)
    assert np.abs(clone(model).fit(X, spoiled).predict(X) - expected).max() < 1e-3


def test_values_that_are_mostly_alike():
    """Where half of the values are the same, that value is found, the others are outliers."""
    X = scattered(200)
    y = np.full(200, 5.0)
    y[::7] = 30
    np.testing.assert_allclose(PolyharmonicSplineRegressor(n_control_points=9).fit(X, y).predict(X), 5, atol=1e-6)


def test_no_sample_of_positive_weight():
    """Weights of zero everywhere are an error that says so."""
    with pytest.raises(ValueError, match=r"all 20 have weight 0|at least one non-zero"):
        PolyharmonicSplineRegressor().fit(scattered(20), np.arange(20.0), sample_weight=np.zeros(20))
