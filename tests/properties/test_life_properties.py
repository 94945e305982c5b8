"""The life of an estimator: whatever is done to it in whatever order, it keeps what it learned."""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skbgopt import BackgroundSplineRegressor
from tests.properties.strategies import examples, generator, masks_of, parameters_of, seeds, sky_images
from tests.properties.test_parameter_properties import is_refusal

single_parameters = parameters_of(BackgroundSplineRegressor).flatmap(
    lambda drawn: st.sampled_from(sorted(drawn)).map(lambda name: {name: drawn[name]})
)


class Life(RuleBasedStateMachine):
    """One estimator and the background that it should predict."""

    def __init__(self):
        super().__init__()
        self.model = BackgroundSplineRegressor(n_control_points=5, downscale_factor=4, smoothing=1e-3, max_iter=5)
        self.image = np.ones((30, 40))
        self.background = None

    fitted = precondition(lambda self: self.background is not None)

    @rule(parameter=single_parameters)
    def set_one(self, parameter):
        """A fitted model stays what it is until the next fit."""
        self.model.set_params(**parameter)
        assert parameter.items() <= self.model.get_params().items()

    @rule(parameters=parameters_of(BackgroundSplineRegressor))
    def set_all(self, parameters):
        """All parameters at once."""
        self.model.set_params(**parameters)

    @rule(image=sky_images(), data=st.data())
    def fit(self, image, data):
        """A fit that is refused leaves the model before it."""
        given = {}
        if data.draw(st.booleans()):
            given["mask"] = data.draw(masks_of(image.shape[:2]))
        if data.draw(st.booleans()):
            given["sample_weight"] = generator(data.draw(seeds)).uniform(size=image.shape[:2])
        try:
            assert self.model.fit(image, **given) is self.model
        except ValueError as error:
            assert is_refusal(error), error
        else:
            self.image, self.background = image, self.model.predict(image)
            assert np.isfinite(self.background).all()

    @fitted
    @rule(shape=st.tuples(st.integers(1, 90), st.integers(1, 90)))
    def predict_at_another_size(self, shape):
        """The frame is laid on any grid."""
        found = self.model.predict(np.ones(shape + self.image.shape[2:]))
        assert found.shape == shape + self.image.shape[2:]
        assert np.isfinite(found).all()

    @fitted
    @rule()
    def there_and_back(self):
        """inverse_transform undoes transform."""
        try:
            flat = self.model.transform(self.image)
            back = self.model.inverse_transform(flat)
        except ValueError as error:
            assert is_refusal(error), error
            return
        assert flat.dtype == self.background.dtype
        missing = self.model.missing_values
        if missing is None or not (flat == missing).any():
            size = np.abs(self.image.astype(float)).max() + np.abs(self.background).max()
            factor = 1.0
            if self.model.correction == "divide":
                level = np.abs(self.model.background_level_).max()
                factor = max(1.0, level / np.abs(self.background).min())
            np.testing.assert_allclose(back, self.image, rtol=0, atol=32 * np.finfo(back.dtype).eps * size * factor)

    @fitted
    @rule()
    def score(self):
        """Between -1 and 0; 1 against its own background."""
        try:
            assert -1 <= self.model.score(self.image) <= 0
            own = self.model.score(self.image, self.background)
        except ValueError as error:
            assert "No pixel is usable" in str(error)
        else:
            assert own == pytest.approx(1)

    @rule(copied=st.sampled_from([copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]))
    def be_copied(self, copied):
        """The copy takes over."""
        self.model = copied(self.model)

    @fitted
    @rule()
    def be_saved(self):
        """The loaded one takes over."""
        parameters = self.model.get_params()
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "model.npz"
            try:
                self.model.save(path)
                self.model = BackgroundSplineRegressor.load(path)
            except ValueError as error:
                assert is_refusal(error), error
                return
        assert self.model.get_params() == parameters

    @rule()
    def be_cloned(self):
        """The clone has the parameters and nothing else."""
        parameters = self.model.get_params()
        self.model, self.background = clone(self.model), None
        assert self.model.get_params() == parameters

    @invariant()
    def predicts_what_was_fitted(self):
        """Bit by bit, or not at all."""
        if self.background is None:
            with pytest.raises(NotFittedError):
                self.model.predict(self.image)
        else:
            np.testing.assert_array_equal(self.model.predict(self.image), self.background)


TestLife = Life.TestCase
TestLife.settings = settings(examples(20), stateful_step_count=12)
