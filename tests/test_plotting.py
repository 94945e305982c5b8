"""The displays: what they show, and that they change nothing global."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.nddata import NDData
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skbgopt import (
    BackgroundDisplay,
    BackgroundSplineRegressor,
    ControlPointsDisplay,
    LossCurveDisplay,
    PolyharmonicSplineRegressor,
    ResidualDisplay,
    SmoothingPathDisplay,
    SourceMasker,
    StretchDisplay,
    UncertaintyDisplay,
    make_sky_image,
)
from tests.shared import quick


def drawn(figure):
    """Render without a screen and return the pixels."""
    figure.set_dpi(20)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def shades(axes):
    """The colours of a panel."""
    return np.asarray(axes.images[0].get_array())


class WithUncertainty(BackgroundSplineRegressor):
    """A standard error of a known shape: the column's number."""

    def predict(self, X, return_std=False):
        background = super().predict(X)
        columns = np.arange(1.0, background.shape[1] + 1).reshape(1, -1, *[1] * (background.ndim - 2))
        return (background, np.broadcast_to(columns, background.shape)) if return_std else background


@pytest.fixture(scope="module", params=[1, 3], ids=lambda n: f"{n} channels")
def frame(request):
    """A made frame of one or three channels with an empty border."""
    return make_sky_image("galaxy", shape=(120, 170), n_channels=request.param, random_state=0, empty_border=0.05)


@pytest.fixture(scope="module")
def mask(frame):
    """True = excluded, in a corner of the frame."""
    mask = np.zeros(frame.image.shape[:2], dtype=bool)
    mask[64:, :80] = True
    return mask


@pytest.fixture(scope="module")
def model(frame, mask):
    """Fitted to the frame, objects masked, the smoothing chosen."""
    parameters = {"smoothing": "auto", "n_control_points": 16, "downscale_factor": 4}
    return WithUncertainty(**parameters).fit(frame.image, mask=mask)


def all_displays(model, X, **given):
    """Every display that an estimator and an image make."""
    return [
        LossCurveDisplay.from_estimator(model),
        SmoothingPathDisplay.from_estimator(model),
        *(
            display.from_estimator(model, X, **given)
            for display in (
                BackgroundDisplay, ControlPointsDisplay, ResidualDisplay, StretchDisplay, UncertaintyDisplay,
            )
        ),
    ]  # fmt: skip


def test_every_display_draws_and_leaves_its_inputs_alone(frame, mask, model):
    """From a fitted estimator and an image to a picture with light and dark in it; on axes given as on its own."""
    image = frame.image.copy()
    for first in all_displays(model, image, mask=mask):
        assert isinstance(first.figure_, Figure)
        assert np.ptp(drawn(first.figure_)[:, :, :3]) > 200
        own = np.atleast_1d(getattr(first, "axes_", getattr(first, "ax_", None)))
        mine = Figure().subplots(1, own.size)
        again = first.plot(mine)
        assert again is first
        assert again.figure_ is np.ravel(mine)[0].figure
        assert [axes.get_title() for axes in own.ravel()] == [axes.get_title() for axes in np.ravel(mine)]
    np.testing.assert_array_equal(image, frame.image)


def test_another_number_of_axes_is_an_error(frame, model):
    """It says how many there must be."""
    with pytest.raises(ValueError, match="BackgroundDisplay draws on 3 axes, got 2"):
        BackgroundDisplay.from_estimator(model, frame.image, axes=Figure().subplots(1, 2))


def test_all_panels_of_a_background_have_one_stretch_and_one_bar(frame):
    """Titles in order; the bar ends where the stretch does, and is in the image's unit."""
    display = BackgroundDisplay(frame.image, frame.background, frame.image - frame.background, unit="ADU").plot()
    assert [axes.get_title() for axes in display.axes_] == ["Before", "Background model", "After"]
    assert display.colorbar_.ax.get_ylabel() == "difference from the median [ADU]"
    ticks = display.colorbar_.get_ticks()
    assert 0 in ticks
    assert len(ticks) >= 3
    lowest, highest = display.colorbar_.vmin, display.colorbar_.vmax
    assert lowest <= ticks.min() < 0 < ticks.max() <= highest
    beyond = np.where(frame.image == 0, 0, frame.image + 2 * highest)
    whites = BackgroundDisplay(frame.image, frame.background, beyond).pictures()[2]
    assert whites.max() == 1


def test_same_pixels_get_the_same_shade_before_and_after(frame):
    """One stretch for all panels; a constant sky level makes no difference."""
    display = BackgroundDisplay(frame.image, frame.image, np.where(frame.image == 0, 0, frame.image + 1.0)).plot()
    before, same, after = (shades(axes) for axes in display.axes_)
    np.testing.assert_array_equal(before, same)
    np.testing.assert_allclose(before, after, atol=0.02)


def test_colours_are_those_of_the_channels():
    """A source of one channel alone has its colour, and a grey one is grey."""
    image = np.random.default_rng(0).normal(100, 1, size=(40, 40, 3))
    image[10, 10, 1] += 500
    image[30, 30] += 500
    before = BackgroundDisplay(image, image, image).pictures()[0]
    assert before[10, 10, 1] == 1
    assert max(before[10, 10, 0], before[10, 10, 2]) < 0.8
    np.testing.assert_array_equal(before[30, 30], 1)


def test_channels_can_be_chosen():
    """One in grey, or three in any order; another number or one that is not there is an error."""
    image = np.random.default_rng(0).normal(100, 1, size=(40, 40, 5))
    grey = BackgroundDisplay(image, image, image, channels=[4]).pictures()[0]
    np.testing.assert_array_equal(grey, BackgroundDisplay(image[:, :, 4], image[:, :, 4], image[:, :, 4]).pictures()[0])
    orders = ([0, 1, 2], [2, 1, 0])
    ordered, reverse = (BackgroundDisplay(image, image, image, channels=c).pictures()[0] for c in orders)
    np.testing.assert_allclose(ordered, reverse[:, :, ::-1])
    for channels in ([0, 1], [5], [-1, 0, 1]):
        with pytest.raises(ValueError, match="one channel or three"):
            BackgroundDisplay(image, image, image, channels=channels)


def test_other_numbers_of_channels_are_drawn():
    """Of four the first three are the colours; maps are made for all, which have numbers for names."""
    frame = make_sky_image("galaxy", shape=(64, 96), n_channels=4, random_state=0)
    model = quick(downscale_factor=4).fit(frame.image)
    display = BackgroundDisplay.from_estimator(model, frame.image)
    assert [values.shape[2] for values in (display.image, display.background, display.corrected)] == [3, 3, 3]
    maps = ResidualDisplay.from_estimator(model, frame.image).axes_[0]
    assert [axes.get_title() for axes in maps] == [f"Residuals channel {c}" for c in range(4)]


def test_large_images_are_reduced():
    """No panel draws more than can be seen."""
    image = np.random.default_rng(0).normal(100, 1, size=(50, 4000)).astype(np.float32)
    display = BackgroundDisplay(image, image, image).plot()
    assert max(shades(display.axes_[0]).shape) <= 1400


@pytest.mark.parametrize("image", [np.zeros((20, 30)), np.full((20, 30), np.nan), np.full((20, 30, 3), 5.0)])
def test_images_without_sky_can_be_drawn(image):
    """Empty, missing and constant images give a figure, not an error or a warning."""
    drawn(BackgroundDisplay(image, image, image).plot().figure_)
    drawn(ResidualDisplay(np.where(image == 5, np.nan, image)).plot().figure_)
    drawn(StretchDisplay(np.atleast_3d(image), np.atleast_3d(image)).plot().figure_)
    drawn(UncertaintyDisplay(image, np.abs(image)).plot().figure_)


def test_masked_pixels_leave_the_stretch_alone(frame):
    """A bright foreground that is masked does not darken the sky."""
    mask = np.zeros(frame.image.shape[:2], dtype=bool)
    mask[60:] = True
    bright = frame.image.copy()
    bright[60:] += 1000
    panels = [
        BackgroundDisplay(image, frame.background, frame.image, mask=mask).pictures()[0]
        for image in (frame.image, bright)
    ]
    np.testing.assert_array_equal(panels[0][:60], panels[1][:60])


def test_masks_are_hatched_on_the_model(frame, mask, model):
    """What the fit did not see is marked where the model is shown, and named."""
    display = BackgroundDisplay.from_estimator(model, frame.image, mask=mask)
    before, middle, after = display.axes_
    assert not before.collections
    assert not after.collections
    hatches = [hatch for part in middle.collections for hatch in getattr(part, "hatches", []) if hatch]
    assert hatches == ["////"]
    labels = [text.get_text() for text in middle.get_legend().get_texts()]
    assert labels == ["masked", "taken for objects"][: 1 + model.object_mask_.any()]
    weights = np.where(mask, 0.0, 1.0)
    by_weight = BackgroundDisplay.from_estimator(model, frame.image, sample_weight=weights)
    np.testing.assert_array_equal(by_weight.mask, display.mask)


def test_masked_arrays_and_units_come_with_the_image(frame, mask, model):
    """np.ma brings its mask, NDData its unit as well; pipelines that end in a model are drawn, too."""
    colours = mask if frame.image.ndim == 2 else np.repeat(mask[:, :, None], frame.image.shape[2], axis=2)
    expected = BackgroundDisplay.from_estimator(model, frame.image, mask=mask)
    masked = BackgroundDisplay.from_estimator(model, np.ma.array(frame.image, mask=colours))
    with_unit = BackgroundDisplay.from_estimator(model, NDData(frame.image, mask=colours, unit="adu"))
    for display in (masked, with_unit):
        np.testing.assert_array_equal(display.mask, expected.mask)
    assert with_unit.unit == "adu"
    pipeline = make_pipeline(SourceMasker(), quick(downscale_factor=4)).fit(frame.image)
    drawn(BackgroundDisplay.from_estimator(pipeline, frame.image).figure_)


def test_control_points_lie_on_the_image(frame, model):
    """In pixels of the image, also where that has another size than the one fitted."""
    display = ControlPointsDisplay.from_estimator(model, frame.image)
    np.testing.assert_allclose(display.control_points, model.control_points_)
    half = ControlPointsDisplay.from_estimator(model, frame.image[::2, ::2])
    np.testing.assert_allclose(half.control_points, (model.control_points_ + 0.5) / 2 - 0.5)
    for shown in (display, half):
        points = shown.ax_.collections[-1].get_offsets()
        np.testing.assert_allclose(points[:, ::-1], shown.control_points)
        height, width = shown.image.shape[:2]
        assert (points >= -0.5).all()
        assert (points <= (width - 0.5, height - 0.5)).all()


def test_the_loss_curve_is_the_estimators(model):
    """Its last step is the fit's last, and a curve that is not at its begin says so."""
    line = LossCurveDisplay.from_estimator(model).line_
    np.testing.assert_array_equal(line.get_ydata(), model.loss_curve_)
    assert line.get_xdata()[-1] == model.n_iter_


def test_the_loss_curve_of_a_regression():
    """The same for splines on coordinates."""
    X = np.random.default_rng(0).uniform(size=(200, 2))
    regressor = PolyharmonicSplineRegressor(n_control_points=9).fit(X, X[:, 0])
    assert LossCurveDisplay.from_estimator(regressor).line_.get_xdata()[-1] == regressor.n_iter_


def test_the_smoothing_path_marks_the_choice(model):
    """And is an error where nothing was chosen."""
    display = SmoothingPathDisplay.from_estimator(model)
    assert display.smoothing[display.best] == model.smoothing_
    assert any(line.get_xdata() == [model.smoothing_] for line in display.ax_.lines if len(line.get_xdata()) == 1)
    image = make_sky_image("oiii", shape=(64, 96), random_state=0).image
    fixed = quick(downscale_factor=4).fit(image)
    with pytest.raises(ValueError, match=r"smoothing='auto' tried .* loaded from a file, which keeps no path"):
        SmoothingPathDisplay.from_estimator(fixed)


def test_residuals_of_noise_are_of_width_one(mono_frame):
    """Image less true sky over the noise of a block; what is not used is not counted."""
    sky = mono_frame.background + np.random.default_rng(0).normal(scale=1e-3, size=mono_frame.background.shape)
    mask = np.zeros(sky.shape, dtype=bool)
    mask[:40] = True
    model = quick(downscale_factor=4, mask_objects=True).fit(sky, mask=mask)
    display = ResidualDisplay.from_estimator(model, sky, mask=mask)
    assert np.isnan(display.residuals[:10]).all()
    known = display.residuals[np.isfinite(display.residuals)]
    assert known.size == (sky.size - 40 * sky.shape[1]) / 16
    np.testing.assert_allclose(np.std(known), 1, atol=0.1)
    sky = display.axes_[1, 0].containers[0]
    assert sum(bar.get_height() for bar in sky) == known.size - np.count_nonzero(model.object_mask_)


def test_objects_are_counted_apart_from_the_sky():
    """All reduced pixels with a residual are in one histogram or the other, also those far beyond."""
    residuals = np.random.default_rng(0).normal(size=(30, 40))
    residuals[5:15, 5:15] += 1000
    objects = residuals > 500
    axes = ResidualDisplay(residuals, objects=objects).plot().axes_[1, 0]
    assert sum(bar.get_height() for bar in axes.containers[0]) == np.count_nonzero(~objects)
    (light,) = [patch for patch in axes.patches if patch.get_label() == "taken for objects"]
    assert light.get_path().vertices[:, 1].max() == np.count_nonzero(objects)


def test_preview_tints_what_is_not_used_and_marks_the_thresholds(frame, mask):
    """Blocks with weight 0 are covered; the histogram has one line a channel and two thresholds."""
    estimator = BackgroundSplineRegressor(threshold_max=0.7)
    prepared = estimator.prepare(frame.image, mask=mask)
    picture, before, after = StretchDisplay.from_estimator(estimator, frame.image, mask=mask).axes_
    tint = np.asarray(picture.images[1].get_array())[:, :, 3]
    assert tint.shape == prepared.usable.shape
    np.testing.assert_allclose(tint[~prepared.usable], 0.6)
    assert tint[2, 10] == 0
    assert [line.get_xdata()[0] for line in after.lines] == [0.001, 0.7]
    n_channels = prepared.values.shape[2]
    assert len(after.patches) == len(before.patches) == n_channels
    ends = sorted(line.get_xdata()[0] for line in before.lines)
    curve = prepared.curve
    np.testing.assert_allclose(ends, sorted([*curve.pedestal, *(curve.pedestal + curve.scale)]))


def test_what_is_clipped_is_shown_and_told():
    """A share of the pixels becomes 1: they are tinted, and the legend has the share."""
    image = np.random.default_rng(0).normal(100, 1, size=(40, 50))
    image[:4, :5] = 1000
    display = StretchDisplay.from_estimator(BackgroundSplineRegressor(downscale_factor=1, quantile=0.95), image)
    picture, _, after = display.axes_
    tint = np.asarray(picture.images[2].get_array())[:, :, 3] > 0
    assert tint[:4, :5].all()
    share = tint.mean()
    assert 0.04 < share < 0.06
    assert after.get_legend().get_texts()[0].get_text() == f"{share:.2%} clipped to 1"


def test_preview_of_a_fully_masked_image():
    """Nothing usable is what a preview has to show, too."""
    image = np.random.default_rng(0).normal(100, 1, size=(64, 64))
    mask = np.ones((64, 64), dtype=bool)
    drawn(StretchDisplay.from_estimator(BackgroundSplineRegressor(), image, mask=mask).figure_)


def test_uncertainty_is_mapped_and_banded(frame, model):
    """Map and band are the standard error that the estimator returns, in the image's unit."""
    display = UncertaintyDisplay.from_estimator(model, frame.image, row=30, unit="ADU")
    n_columns = frame.image.shape[1]
    np.testing.assert_allclose(display.std[0, :, 0], np.arange(1, n_columns + 1))
    assert display.colorbar_.ax.get_ylabel() == "standard error [ADU]"
    band = display.axes_[1, 0].collections[0].get_paths()[0].vertices
    background = model.predict(frame.image)[30].reshape(n_columns, -1)[:, 0]
    upper = band[np.isclose(band[:, 0], n_columns - 1)][:, 1].max()
    np.testing.assert_allclose(upper, background[-1] + 2 * n_columns)


def test_displays_say_what_they_take(frame):
    """An estimator that is not fitted or of another kind is an error with a way out."""
    for display in (ControlPointsDisplay, ResidualDisplay):
        with pytest.raises(NotFittedError):
            display.from_estimator(BackgroundSplineRegressor(), frame.image)
    pipeline = make_pipeline(SourceMasker(), quick(downscale_factor=4)).fit(frame.image)
    for display in (ControlPointsDisplay, ResidualDisplay, StretchDisplay):
        with pytest.raises(TypeError, match="takes a BackgroundSplineRegressor, got Pipeline"):
            display.from_estimator(pipeline, frame.image)


def test_matplotlib_waits_for_the_first_drawing():
    """Displays can be made without it; pyplot, which keeps figures alive and chooses a backend, is never imported."""
    script = (
        "import sys, numpy as np; from skbgopt import BackgroundDisplay;"
        "display = BackgroundDisplay(*[np.random.rand(20, 30)] * 3);"
        "assert not any(name.startswith('matplotlib') for name in sys.modules);"
        "display.plot(); assert 'matplotlib.figure' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
