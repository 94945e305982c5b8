"""The figures: what they show, and that they change nothing global."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.plotting import before_after_figure, preview_figure


def drawn(figure):
    """Render without a display and return the pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def shades(axes):
    """The pixels of a panel as the colours that they are drawn in."""
    picture = axes.images[0]
    values = picture.get_array()
    return np.asarray(values) if values.ndim == 3 else picture.to_rgba(values)[:, :, :3]


@pytest.fixture(params=[1, 3, 4])
def frame(request):
    """A made frame of one, three or four channels with an empty border."""
    return make_sky_image("galaxy", shape=(120, 170), n_channels=request.param, random_state=0, empty_border=0.05)


def test_before_after_has_three_panels_and_a_colour_bar_for_mono(frame):
    """Titles as given; a colour bar where grey stands for a number."""
    figure = before_after_figure(frame.image, frame.background, frame.image - frame.background)
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["Before", "Background model", "After"]
    assert len(figure.axes) == (4 if frame.image.ndim == 2 else 3)
    assert np.ptp(drawn(figure)[:, :, :3]) > 200


def test_same_pixels_get_the_same_shade_before_and_after(frame):
    """One stretch for all panels; a constant sky level makes no difference."""
    figure = before_after_figure(frame.image, frame.image, np.where(frame.image == 0, 0, frame.image + 1.0))
    before, same, after = (shades(axes) for axes in figure.axes[:3])
    np.testing.assert_array_equal(before, same)
    np.testing.assert_allclose(before, after, atol=0.02)


def test_large_images_are_reduced():
    """No panel draws more than can be seen."""
    image = np.random.default_rng(0).normal(100, 1, size=(50, 4000)).astype(np.float32)
    figure = before_after_figure(image, image, image)
    assert max(figure.axes[0].images[0].get_array().shape) <= 1000


@pytest.mark.parametrize("image", [np.zeros((20, 30)), np.full((20, 30), np.nan), np.full((20, 30, 3), 5.0)])
def test_images_without_sky_can_be_drawn(image):
    """Empty, missing and constant images give a figure, not an error or a warning."""
    drawn(before_after_figure(image, image, image))


def test_excluded_pixels_leave_the_stretch_alone(frame):
    """A bright foreground that is excluded does not darken the sky."""
    excluded = np.zeros(frame.image.shape[:2], dtype=bool)
    excluded[60:] = True
    bright = frame.image.copy()
    bright[60:] += 1000
    figures = [
        before_after_figure(image, frame.background, frame.image, excluded=excluded) for image in (frame.image, bright)
    ]
    panels = [shades(figure.axes[0]) for figure in figures]
    np.testing.assert_array_equal(panels[0][:60], panels[1][:60])


def test_preview_tints_what_is_not_used_and_marks_the_thresholds(frame):
    """Blocks with weight 0 are covered; the histogram has one line a channel and two thresholds."""
    estimator = BackgroundSplineRegressor(threshold_max=0.7)
    mask = np.zeros(frame.image.shape[:2], dtype=bool)
    mask[40:80, 40:80] = True
    prepared = estimator.prepare(frame.image, mask=mask)
    figure = preview_figure(prepared, 0.001, 0.7)
    picture, histogram = figure.axes
    tint = np.asarray(picture.images[1].get_array())[:, :, 3]
    assert tint.shape == prepared.usable.shape
    np.testing.assert_allclose(tint[~prepared.usable], 0.6)
    assert tint[2, 10] == 0
    assert [line.get_xdata()[0] for line in histogram.lines] == [0.001, 0.7]
    assert len(histogram.patches) == prepared.values.shape[2]
    drawn(figure)


def test_preview_of_a_fully_masked_image():
    """Nothing usable is what a preview has to show, too."""
    image = np.random.default_rng(0).normal(100, 1, size=(64, 64))
    prepared = BackgroundSplineRegressor().prepare(image, mask=np.ones((64, 64), dtype=bool))
    drawn(preview_figure(prepared, 0.001, 1.0))


def test_pyplot_is_not_imported():
    """So that no figure is kept alive and no backend is chosen."""
    script = "import sys, skbgopt.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
