"""Steps of a fit under a scikit-learn that knows no callbacks (before 1.9)."""

import importlib.util
import sys

import pytest
from sklearn.base import BaseEstimator

import skbgopt.callbacks


@pytest.fixture
def older(monkeypatch):
    """The module as it is where scikit-learn has no `sklearn.callback`."""
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("skbgopt.callbacks_of_older_sklearn", skbgopt.callbacks.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fits_go_on_without_callbacks(older):
    """The stand-ins are an empty base and a decorator that changes nothing; no step stops a fit."""

    class Estimator(older.CallbackSupportMixin, BaseEstimator):
        verbose = 0

        @older.with_callbacks
        def fit(self):
            """The answers to three steps."""
            with older.fit_steps(self) as step:
                return [step(k, 1.0 / (k + 1)) for k in range(3)]

    assert Estimator().fit() == [False, False, False]
    assert not hasattr(Estimator(), "set_callbacks")


def test_the_progress_bar_is_drawn_when_asked_for(older, capsys):
    """With verbose=1 it names the loss, with 0 nothing is written."""

    class Estimator:
        verbose = 0

    for verbose, drawn in ((0, False), (1, True)):
        estimator = Estimator()
        estimator.verbose = verbose
        with older.fit_steps(estimator) as step:
            step(0, 0.25)
        assert ("fit" in capsys.readouterr().err) == drawn
