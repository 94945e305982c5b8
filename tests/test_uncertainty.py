"""The standard error of a background."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.folds import block_labels
from skbgopt.solvers import minimize_mm
from skbgopt.uncertainty import covariances
from tests.shared import quick


@pytest.fixture(scope="module")
def fitted(colour_frame):
    return quick().fit(colour_frame.image)


def test_a_standard_error_is_positive_finite_and_like_the_image(fitted, colour_frame, mono_frame):
    """Shape and dtype of X, for colour in float64, one channel in float32, and another size."""
    for model, image in (
        (fitted, colour_frame.image),
        (quick().fit(mono_frame.image), mono_frame.image),
        (fitted, np.ones((31, 57, 3))),
    ):
        background, std = model.predict(image, return_std=True)
        assert std.shape == background.shape == image.shape
        assert std.dtype == background.dtype == image.dtype
        assert np.isfinite(std).all()
        assert (std > 0).all()
        np.testing.assert_array_equal(background, model.predict(image))


def test_a_saved_model_knows_its_standard_error(fitted, colour_frame, tmp_path):
    """It is that of the model saved, to the last digit."""
    fitted.save(tmp_path / "model.npz")
    again = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    for ours, theirs in zip(*(m.predict(colour_frame.image, return_std=True) for m in (fitted, again)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_adam_has_no_standard_error(mono_frame, tmp_path):
    """One sentence says so, and what to do; before and after saving."""
    model = quick(solver="adam", smoothing=0, max_iter=3).fit(mono_frame.image)
    model.save(tmp_path / "model.npz")
    for estimator in (model, BackgroundSplineRegressor.load(tmp_path / "model.npz")):
        with pytest.raises(ValueError, match="fit it with solver='mm'"):
            estimator.predict(mono_frame.image, return_std=True)


def test_the_noise_is_that_of_a_block_bootstrap():
    """Refits with the blocks of the image weighted at random scatter as the sandwich says.

    On a field of stars, whose residuals hang together; the smoothing held fixed.
    """
    frame = make_sky_image("sii", (320, 480), random_state=3)
    model = quick(n_control_points=25, smoothing=1e-3)
    caught = {}
    with mock.patch("skbgopt.fitting.covariances", lambda *given: caught.update(given=given) or covariances(*given)):
        model.fit(frame.image)
    problem, basis, y, x, loss, coef = caught["given"]
    noise, _ = covariances(problem, basis, y, x, loss, coef)
    rng = np.random.default_rng(0)
    labels, (n_rows, n_columns) = block_labels(len(y), len(x), 10)
    found = []
    for _ in range(80):
        # The Bayesian bootstrap: each block counts as much as a waiting time.
        share = rng.exponential(size=n_rows * n_columns)[labels].reshape(-1, 1)
        weighed = replace(problem, weights=problem.weights * torch.from_numpy(share).float(), sample=None)
        design = basis.design(torch.from_numpy(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)))
        again = replace(weighed, design=design, values=problem.values.double(), weights=weighed.weights.double())
        found.append(minimize_mm(again, loss, coef, max_iter=60).coef[:, 0].numpy())
    scatter = np.cov(np.array(found).T)
    middle = basis.design(
        torch.from_numpy(np.stack(np.meshgrid(y[4:-4:4], x[4:-4:4], indexing="ij"), -1).reshape(-1, 2))
    )
    stds = [np.sqrt(np.einsum("ij,jk,ik->i", middle, covariance, middle)) for covariance in (noise[0], scatter)]
    assert np.mean(stds[0]) / np.mean(stds[1]) == pytest.approx(1, abs=0.25)
    assert np.corrcoef(*stds)[0, 1] > 0.5


def test_a_loss_without_curvature_has_finite_covariances(mono_frame):
    """Where no pixel says how well it fits, as one without noise far from the model, the inverse is singular."""
    model, caught = quick(n_control_points=25, smoothing=1e-3), {}
    with mock.patch("skbgopt.fitting.covariances", lambda *given: caught.update(given=given) or covariances(*given)):
        model.fit(mono_frame.image)
    problem, basis, y, x, loss, coef = caught["given"]
    for part in covariances(replace(problem, values=torch.full_like(problem.values, 1e15)), basis, y, x, loss, coef):
        assert np.isfinite(part).all()
