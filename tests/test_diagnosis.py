"""What a fit says of itself: figures and warnings."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skbgopt import BackgroundSplineRegressor, BackgroundWarning, cross_val_score_image, make_sky_image
from skbgopt.datasets import SKY_KINDS
from tests.shared import quick

LINEAR = np.linspace(100.0, 200.0, 240)[None, :] + np.zeros((160, 1))
NOISE = np.random.default_rng(0).standard_normal((160, 240))


def doubts(estimator, image, **given):
    """What a fit warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(image, **given)
    return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]


def test_a_bare_sky_leaves_its_noise():
    """Without stars or objects the reduced chi square is 1, and 0.1 % lie 3 sigma below."""
    model = quick().fit(LINEAR + NOISE)
    assert model.reduced_chi2_ == pytest.approx([1], abs=0.25)
    assert model.overshoot_fraction_ < 0.01


def test_blocks_of_a_few_pixels_are_noisier():
    """A border of which an eighth is left in its blocks does not lie below the sky more often than others."""
    mask = np.ones((160, 240), dtype=bool)
    mask[7:-7, 7:-7] = False
    model = quick().fit(LINEAR + NOISE, mask=mask)
    assert model.overshoot_fraction_ < 0.01
    assert model.reduced_chi2_ == pytest.approx([1], abs=0.25)


def test_a_weight_that_all_pixels_share_changes_no_figure():
    """The noise of blocks is that of the usual ones."""
    whole, half = (quick().fit(LINEAR + NOISE, sample_weight=np.full((160, 240), weight)) for weight in (1.0, 0.5))
    assert half.reduced_chi2_ == pytest.approx(whole.reduced_chi2_, rel=1e-3)


def test_a_background_that_is_too_high_shows():
    """A stiff model of a bent sky overshoots in places, and leaves more than noise."""
    x = np.linspace(-1, 1, 240)[None, :]
    bent = 100 + 10 * np.abs(x) ** 3 * np.sign(x) + NOISE
    stiff, free = (quick(smoothing=smoothing, n_control_points=25).fit(bent) for smoothing in (1e3, 1e-6))
    assert stiff.reduced_chi2_[0] > 2 * free.reduced_chi2_[0]
    assert stiff.overshoot_fraction_ > 0.02 > 0.01 > free.overshoot_fraction_


@pytest.mark.parametrize("kind", SKY_KINDS)
def test_ordinary_frames_raise_no_doubt(kind):
    """Every kind of frame, with default parameters."""
    frame = make_sky_image(kind, (240, 360), random_state=0)
    assert doubts(BackgroundSplineRegressor(), frame.image, mask=frame.mask) == []


HALF = np.zeros((160, 240), dtype=bool)
HALF[:, 60:180] = True
CORNER = np.zeros((160, 240), dtype=bool)
CORNER[:64, :120] = True
# Bright texture from block to block, of which a fifth is dark sky.
PATCHES = np.kron(np.where(np.random.default_rng(1).random((20, 30)) < 0.1, 0.0, 400.0), np.ones((8, 8)))


@pytest.mark.parametrize(
    ("parameters", "image", "mask", "words"),
    [
        ({"loss_scale": 0.001, "quantile": 0.8}, LINEAR + NOISE, None, "The stretch clips the background itself in"),
        ({"threshold_max": 0.3}, LINEAR + NOISE, None, "The background itself is outside the thresholds in"),
        ({"threshold_min": 0.2}, LINEAR + NOISE, None, "set threshold_min lower, or threshold_max higher"),
        ({"n_control_points": 64, "smoothing": 10.0}, LINEAR + NOISE, HALF, "control points lie where all pixels are"),
        ({"smoothing": 10.0}, LINEAR + NOISE, ~CORNER, "All that was fitted lies within 20 % of the image"),
        ({"threshold_max": 0.1}, LINEAR + PATCHES + NOISE, None, "of the image was taken for sky"),
    ],
)
def test_what_looks_wrong_is_said_with_the_way_out(parameters, image, mask, words):
    """Each reason has its sentence."""
    found = doubts(quick(**parameters), image, mask=mask)
    assert any(words in sentence for sentence in found), found
    assert all(": " in sentence and sentence.endswith(".") for sentence in found)


def test_a_small_frame_on_an_empty_canvas_is_no_guess():
    """Where an image is empty no background is asked for."""
    found = doubts(quick(smoothing=10.0), np.where(CORNER, LINEAR + NOISE, np.nan))
    assert not any("is a guess" in sentence for sentence in found), found


def test_a_background_out_of_range_is_said():
    """A free spline shoots away where a mask leaves it alone."""
    mask = np.zeros((160, 240), dtype=bool)
    mask[:, 130:] = True
    mask[0, -1] = False
    image = LINEAR + 40 * np.sin(np.arange(240) / 12)[None, :] + NOISE
    found = doubts(quick(smoothing=1e-7, order=5), image, mask=mask)
    assert any("leaves the range of the image" in sentence for sentence in found), found


@pytest.mark.parametrize("parameters", [{"max_iter": 1}, {"max_iter": 4}, {"solver": "adam", "max_iter": 5}])
def test_steps_used_up_are_said(parameters):
    """Too few steps, of either solver."""
    with pytest.warns(ConvergenceWarning, match=f"max_iter={parameters['max_iter']} steps.*set max_iter higher"):
        quick(**parameters).fit(make_sky_image("oiii", (160, 240), random_state=1).image)


def test_searches_are_silent():
    """Settings that are tried, and are to be wrong, warn of nothing; the same setting fitted does."""
    estimator = quick(loss_scale=0.001, quantile=0.8)
    with pytest.warns(BackgroundWarning):
        estimator.fit(LINEAR + NOISE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score_image(estimator, LINEAR + NOISE)


def test_figures_are_saved(tmp_path):
    """A loaded model tells the same."""
    model = quick().fit(LINEAR + NOISE)
    model.save(tmp_path / "model.npz")
    again = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.reduced_chi2_, model.reduced_chi2_)
    assert again.overshoot_fraction_ == model.overshoot_fraction_
