"""Callbacks of a fit."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skbgopt import BackgroundSplineRegressor
from skbgopt.preparation import PreparedImage

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")


class Recorder:
    """Counts the steps of a fit and asks it to stop after some."""

    def __init__(self, stop_after=None):
        self.stop_after, self.steps, self.begun, self.ended = stop_after, 0, 0, 0

    def setup(self, estimator, context):
        """Called before the fit."""
        self.begun += 1

    def teardown(self, estimator, context):
        """Called after the fit."""
        self.ended += 1

    def on_fit_task_begin(self, estimator, context):
        """Called before a step."""

    def on_fit_task_end(self, estimator, context):
        """Called after a step, and after all."""
        self.steps += context.task_name == "step"
        return self.stop_after is not None and self.steps >= self.stop_after


def model(**parameters):
    """A quick estimator."""
    return BackgroundSplineRegressor(**{"n_control_points": 16, "smoothing": 1e-3, **parameters})


@pytest.mark.parametrize("parameters", [{}, {"solver": "adam", "max_iter": 30}], ids=["mm", "adam"])
def test_each_step_is_told(mono_frame, parameters):
    """A callback hears of the beginning, of each step and of the end, and changes nothing."""
    recorder = Recorder()
    watched = model(**parameters).set_callbacks(recorder).fit(mono_frame.image)
    assert (recorder.begun, recorder.ended) == (1, 1)
    assert recorder.steps >= len(watched.loss_curve_) - 1
    np.testing.assert_array_equal(watched.coef_, model(**parameters).fit(mono_frame.image).coef_)


@pytest.mark.parametrize("parameters", [{}, {"solver": "adam", "max_iter": 300}], ids=["mm", "adam"])
def test_a_callback_stops_the_fit(mono_frame, parameters):
    """Each of the few fits that a fit is made of ends after a step more, and the model is usable."""
    whole, stopped = Recorder(), Recorder(stop_after=3)
    model(**parameters).set_callbacks(whole).fit(mono_frame.image)
    early = model(**parameters).set_callbacks(stopped).fit(mono_frame.image)
    assert stopped.steps < whole.steps / 8
    assert np.isfinite(early.predict(mono_frame.image)).all()


def test_callbacks_are_torn_down_when_a_fit_fails():
    """Whatever a callback opened it can close."""
    recorder = Recorder()
    watched = model().set_callbacks(recorder)
    with pytest.raises(ValueError, match="reduced pixels are usable"):
        watched.fit(np.ones((16, 16)))
    assert (recorder.begun, recorder.ended) == (1, 1)


def test_scikit_learns_own_callbacks(mono_frame):
    """In a Pipeline and by itself, from a prepared image and after a clone."""
    prepared = model().prepare(mono_frame.image)
    assert isinstance(prepared, PreparedImage)
    recorder = Recorder()
    clone(model().set_callbacks(recorder)).fit_prepared(prepared)
    make_pipeline(model().set_callbacks(recorder)).fit(mono_frame.image)
    assert recorder.steps > 0
