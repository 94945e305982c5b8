"""The standard error of a background."""

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor
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
