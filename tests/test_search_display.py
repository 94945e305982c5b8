"""The page of a search's trials: what it shows, from arrays and from a search."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError

from skbgopt import make_sky_image
from skbgopt.model_selection import BackgroundSearchCV
from skbgopt.plotting import SearchDisplay
from tests.shared import quick

SCORE = [-0.5, np.nan, -0.2, -0.3, -0.1, -5.0]
PARAMS = {
    "smoothing": [1e-6, 1e-4, 1e-2, 1.0, 1e-3, 1e-5],
    "order": [2, 3, 4, 2, 3, 4],
    "init": ["grid", "random", "grid", "grid", "random", "grid"],
    "degree": [None, 2, None, 2, None, 2],
}
SPACE = {
    "smoothing": (1e-6, 1.0, "log"),
    "order": (2, 4),
    "init": ["grid", "random"],
    "degree": [None, 2],
}


def drawn(figure):
    """Render without a screen and return the pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.fixture
def display():
    """A display of few made trials."""
    return SearchDisplay(SCORE, PARAMS, SPACE, importances={"smoothing": 0.75, "order": 0.25})


def test_the_best_so_far_never_falls(display):
    """It is the running maximum, and a trial that did not complete leaves it."""
    np.testing.assert_array_equal(display.best_so_far(), [-0.5, -0.5, -0.2, -0.2, -0.1, -0.1])


def test_positions_lie_along_the_ranges(display):
    """Logarithmic where the range is, choices one beside the other, None a choice like others."""
    np.testing.assert_allclose(display.positions("smoothing"), [0, 1 / 3, 2 / 3, 1, 0.5, 1 / 6])
    np.testing.assert_allclose(display.positions("order"), [0, 0.5, 1, 0, 0.5, 1])
    np.testing.assert_array_equal(display.positions("init"), [0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(display.positions("degree"), [0, 1, 0, 1, 0, 1])


def test_a_hopeless_trial_does_not_flatten_the_rest(display):
    """The scores shown end where the good ones do; all of them are shown if none is far off."""
    low, high = display.score_limits()
    assert -2 < low < -0.5 and -0.1 < high < 0
    low, high = SearchDisplay([-0.3, -0.2, -0.1], {"order": [1, 2, 3]}, {"order": (1, 3)}).score_limits()
    assert low < -0.3 and high > -0.1


def test_the_page_shows_every_trial_and_parameter(display):
    """One panel for each parameter, a dot for each trial that completed, a cross for others, a line in parallel."""
    display.plot()
    axes = display.axes_
    # pyplot, which would keep the figure alive, knows nothing of it.
    assert isinstance(display.figure_, Figure) and display.figure_.canvas.manager is None
    assert set(axes) == {"history", "importances", "slices", "parallel"}
    assert [panel.get_xlabel() for panel in axes["slices"]] == list(SPACE)
    dots = axes["history"].collections[0].get_offsets()
    np.testing.assert_array_equal(dots[:, 0], [1, 3, 4, 5, 6])
    assert list(axes["history"].lines[0].get_xdata()) == [2]
    assert len(axes["parallel"].collections[0].get_segments()) == 5
    assert [bar.get_width() for bar in axes["importances"].patches] == [0.25, 0.75]
    stars = [panel.lines[0].get_xdata()[0] for panel in axes["slices"]]
    np.testing.assert_allclose(stars, [0.5, 0.5, 1, 0])
    assert np.ptp(drawn(display.figure_)[:, :, :3]) > 200


def test_the_trial_that_was_taken_stands_out():
    """In each panel, also where another has the best score."""
    axes = SearchDisplay(SCORE, PARAMS, SPACE, chosen=2).plot().axes_
    assert [panel.lines[0].get_ydata()[0] for panel in axes["slices"]] == [SCORE[2]] * len(SPACE)
    assert axes["history"].lines[-1].get_xdata() == [3]
    assert axes["history"].get_title() == f"Trial 3 is taken, score {SCORE[2]:.4g}"
    assert axes["parallel"].lines[0].get_ydata()[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("n_parameters", [1, 7])
def test_any_number_of_parameters(n_parameters):
    """More than a row holds are drawn in several, none is lost; without importances there is no panel of them."""
    names = [f"p{k}" for k in range(n_parameters)]
    display = SearchDisplay([0.0, -1.0], {name: [0, 1] for name in names}, dict.fromkeys(names, (0.0, 1.0))).plot()
    assert [panel.get_xlabel() for panel in display.axes_["slices"]] == names
    assert "importances" not in display.axes_
    drawn(display.figure_)


@pytest.mark.parametrize("score", [[-0.2], [-0.2, -0.2], [np.nan, np.nan]], ids=["one", "equal", "none"])
def test_few_and_equal_trials_can_be_drawn(score):
    """Without a warning."""
    display = SearchDisplay(score, {"order": [2] * len(score)}, {"order": [2]})
    drawn(display.plot().figure_)


@pytest.fixture(scope="module")
def image():
    """A small image of one channel."""
    return make_sky_image("oiii", shape=(96, 128), random_state=0).image


@pytest.fixture(scope="module")
def search(image, quick_reference):
    """A search of few trials, of which one fails."""
    space = {"smoothing": (1e-6, 1.0, "log"), "n_control_points": [9, 16, 5000]}
    return BackgroundSearchCV(quick(), space, n_trials=8, random_state=0).fit(image)


def test_from_a_search(search, image):
    """The arrays are the search's, and the pictures those of its best model; a figure of one's own is drawn on."""
    figure = Figure(figsize=(12, 12), layout="constrained")
    part = figure.subfigures(1, 2)[1]
    display = SearchDisplay.from_estimator(search, image, figure=part)
    assert display.figure_ is part
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_score"])
    assert np.isnan(display.score).any()
    assert display.space == {"smoothing": (1e-6, 1.0, "log"), "n_control_points": [9, 16, 5000]}
    assert display.importances == search.param_importances_
    assert display.chosen == search.best_index_
    np.testing.assert_array_equal(display.pictures[1], search.predict(image))
    assert [panel.get_title() for panel in display.axes_["pictures"]] == ["Before", "Background model", "After"]
    drawn(figure)


def test_from_a_search_over_a_list(image, quick_reference):
    """One of its images is shown, fitted by the best setting with its mask."""
    mask = np.zeros(image.shape, dtype=bool)
    mask[:40] = True
    search = BackgroundSearchCV(quick(), {"quantile": (0.9, 1.0)}, n_trials=2, random_state=0)
    search.fit([image, image[::-1]], mask=[mask, None])
    display = SearchDisplay.from_estimator(search, image, mask=mask)
    expected = search.predict([image, image], mask=[mask, None])
    np.testing.assert_array_equal(display.pictures[1], expected[0])
    assert (display.pictures[1] != expected[1]).any()


def test_an_unfitted_search_is_refused():
    """With the usual error."""
    with pytest.raises(NotFittedError):
        SearchDisplay.from_estimator(BackgroundSearchCV())
