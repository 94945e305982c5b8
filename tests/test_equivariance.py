"""What must happen to the background when something happens to the image, and the defects of the original."""

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, make_sky_image

FIXED, AUTO = {"smoothing": 1e-4}, {"smoothing": "auto"}
both_smoothings = pytest.mark.parametrize("parameters", [FIXED, AUTO], ids=["fixed", "auto"])


def background_of(image, parameters, **given):
    """The background of an image with 36 control points."""
    model = BackgroundSplineRegressor(**{"n_control_points": 36, "missing_values": None, **parameters})
    return model.fit(image, **given).predict(image)


def sky_sigma(frame):
    """Pixel noise of each channel."""
    return np.asarray(frame.noise)


@pytest.fixture(scope="module")
def reference(colour_frame):
    """The background of the frame for both smoothings."""
    return {name: background_of(colour_frame.image, {"smoothing": name}) for name in (1e-4, "auto")}


@both_smoothings
@pytest.mark.parametrize(("a", "b"), [(65535.0, 0.0), (1e-6, 0.0), (1.0, -0.02), (1.0, 5.0), (1000.0, -7.0)])
def test_units_and_offsets(colour_frame, reference, parameters, a, b):
    """Fitting a X + b gives a * background + b, within 1e-4 of its range."""
    expected = a * reference[parameters["smoothing"]] + b
    found = background_of(a * colour_frame.image + b, parameters)
    tolerance = 1e-4 * np.ptp(expected, axis=(0, 1))
    assert (np.abs(found - expected).max(axis=(0, 1)) <= tolerance).all()


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_whole_numbers(sigma):
    """Noise of two units or less, rounded to integers, has the background of the noise itself, as surely."""
    slope = np.broadcast_to(300.3 + np.linspace(0, 5, 600), (400, 600))
    image = slope + np.random.default_rng(200).normal(0, sigma, slope.shape)
    smooth, rounded = (
        BackgroundSplineRegressor(n_control_points=36, **FIXED).fit(each)
        for each in (image, np.rint(image).astype(np.uint16))
    )
    assert np.abs(rounded.predict(image) - slope).max() < 0.15 * sigma
    np.testing.assert_allclose(rounded.block_noise_, smooth.block_noise_, rtol=0.2)
    np.testing.assert_allclose(rounded.level_std_, smooth.level_std_, rtol=0.3)


FLIPS = {
    "upside down": lambda a: a[::-1],
    "left to right": lambda a: a[:, ::-1],
    "transposed": lambda a: a.swapaxes(0, 1),
    "half a turn": lambda a: a[::-1, ::-1],
}


@both_smoothings
@pytest.mark.parametrize("change", FLIPS.values(), ids=FLIPS)
def test_flips_and_the_transposition(colour_frame, reference, parameters, change):
    """The background of a flipped or transposed image is flipped or transposed, within 0.1 sigma of a pixel."""
    found = background_of(change(colour_frame.image), parameters)
    difference = np.abs(found - change(reference[parameters["smoothing"]])).max(axis=(0, 1))
    assert (difference <= 0.1 * sky_sigma(colour_frame)).all()


@both_smoothings
def test_permuted_channels(colour_frame, reference, parameters):
    """No channel is special: within 0.1 sigma of a pixel."""
    order = [2, 0, 1]
    found = background_of(colour_frame.image[:, :, order], parameters)
    difference = np.abs(found - reference[parameters["smoothing"]][:, :, order]).max(axis=(0, 1))
    assert (difference <= 0.1 * sky_sigma(colour_frame)[order]).all()


def half_size_difference(kind, shape, parameters):
    """Background of an image less that of its 2 x 2 means, over the pixel noise, the blocks the same sky."""
    frame = make_sky_image(kind, shape=shape, empty_border=0, dtype=np.float64, random_state=4)
    image = np.atleast_3d(frame.image)
    height, width, n_channels = image.shape

    def half(array):
        return array.reshape(height // 2, 2, width // 2, 2, n_channels).mean(axis=(1, 3))

    whole = background_of(image, {**parameters, "downscale_factor": 8})
    small = background_of(half(image), {**parameters, "downscale_factor": 4})
    return (half(whole) - small) / sky_sigma(frame)


def test_half_the_size_without_a_shift():
    """By means of blocks an image and its 2 x 2 means are the same: the backgrounds agree within 0.1 sigma."""
    parameters = {"smoothing": 1e-4, "downscale_func": "mean", "mask_objects": False}
    assert np.abs(half_size_difference("galaxy", (240, 360), parameters)).max() <= 0.1


@pytest.mark.parametrize(("kind", "smoothing"), [("galaxy", 1e-4), ("galaxy", "auto"), ("oiii", "auto")])
def test_half_the_size(kind, smoothing):
    """With medians of blocks, which differ in their noise, the rms difference is below 0.1 sigma.

    (At a smoothing that cannot follow the sky, 1e-4 for this [O III], what is taken for an object decides.)
    """
    parameters = {"smoothing": smoothing}
    difference = half_size_difference(kind, (960, 1440), parameters)
    assert (np.sqrt(np.mean(difference**2, axis=(0, 1))) <= 0.1).all()


def test_a_copy_of_a_channel_changes_nothing_in_it(mono_frame):
    """Three equal channels have the background of one, in each."""
    image = mono_frame.image.astype(float)
    parameters = {**FIXED, "mask_objects": False}
    one = background_of(image, parameters)
    three = background_of(np.repeat(image[:, :, None], 3, axis=2), parameters)
    assert np.abs(three - one[:, :, None]).max() <= 1e-3 * np.ptp(one) + 0.1 * mono_frame.noise[0]


# Defects of the original (METHOD.md).


def test_a_grid_has_the_number_of_points_asked_for(mono_frame):
    """Not 36 points for 32."""
    model = BackgroundSplineRegressor(n_control_points=32, smoothing=1e-3).fit(mono_frame.image)
    assert len(model.control_points_) == 32


def steep_plane(shape, low=1000.0):
    """A plane of 2 a row and 3 a column."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return low + 2.0 * y + 3.0 * x


@pytest.mark.parametrize("shape", [(96, 160), (97, 163), (103, 161)])
def test_no_shift_and_no_padding(shape):
    """A plane of any size is met at the borders and in the middle, within a quarter of a pixel's step."""
    plane = steep_plane(shape)
    image = plane + np.random.default_rng(0).normal(0, 0.1, shape)
    background = background_of(image, {"smoothing": 0.1})
    assert np.abs(background - plane).max() < 0.25 * 2


def test_the_kernel_is_isotropic_on_long_frames():
    """The background of a strip's middle hill is as wide along the strip as across it."""
    y, x = np.mgrid[:160, :480]
    hill = 100 * np.exp(-((y - 79.5) ** 2 + (x - 239.5) ** 2) / (2 * 45.0**2))
    image = 1000 + hill + np.random.default_rng(0).normal(0, 1, hill.shape)
    parameters = {"smoothing": 1e-6, "n_control_points": 108, "mask_objects": False, "alpha": 0.0}
    found = background_of(image, {**parameters, "downscale_factor": 4})
    along, across = found[79, 239 + 60], found[79 + 60, 239]
    assert along == pytest.approx(across, abs=2)


def test_thresholds_hold_beside_a_mask(mono_frame):
    """A mask does not switch the thresholds off."""
    mask = np.zeros(mono_frame.image.shape, bool)
    mask[:16] = True
    model = BackgroundSplineRegressor(threshold_max=0.2, smoothing=1e-3).fit(mono_frame.image, mask=mask)
    assert model.excluded_["masked"] == mask.sum()
    assert model.excluded_["outside the thresholds"] > 0


def test_the_level_is_the_median_of_the_sky(colour_frame):
    """Subtracting leaves the background's median: neither doubled nor rescaled, nothing is clipped."""
    model = BackgroundSplineRegressor(smoothing=1e-4).fit(colour_frame.image)
    flat = model.transform(colour_frame.image)
    sky_level = np.median(colour_frame.background, axis=(0, 1))
    assert (np.abs(np.median(flat, axis=(0, 1)) - sky_level) < 3 * sky_sigma(colour_frame)).all()
    star = np.unravel_index(np.argmax(colour_frame.image), colour_frame.image.shape)
    change = model.background_level_[star[2]] - model.predict(colour_frame.image)[star]
    assert flat[star] == pytest.approx(colour_frame.image[star] + change)


def test_one_cold_pixel_does_not_set_the_level(colour_frame):
    """A pixel at -1e3 changes neither background nor level by more than 0.1 sigma."""
    cold = colour_frame.image.copy()
    cold[100, 100] = -1e3
    # Without the yes-or-no of the object mask, which a hair can tip.
    models = [BackgroundSplineRegressor(mask_objects=False, **FIXED).fit(image) for image in (colour_frame.image, cold)]
    backgrounds = [model.predict(cold) for model in models]
    limit = 0.1 * sky_sigma(colour_frame)
    assert (np.abs(backgrounds[0] - backgrounds[1]).max(axis=(0, 1)) <= limit).all()
    assert (np.abs(models[0].background_level_ - models[1].background_level_) <= limit).all()


def test_values_above_1_are_not_rescaled():
    """ADU come out as ADU: a bright star keeps its height."""
    image = steep_plane((80, 120)) + np.random.default_rng(0).normal(0, 5, (80, 120))
    image[40, 60] = 60_000
    model = BackgroundSplineRegressor(smoothing=1e-3, n_control_points=16).fit(image)
    assert model.transform(image)[40, 60] == pytest.approx(60_000, rel=0.02)


def test_holes_of_nan_do_not_spread(colour_frame):
    """With NaN in a tenth of the frame the background elsewhere is within half a sigma of what it was."""
    holed = colour_frame.image.copy()
    holed[:24] = np.nan
    expected, found = (background_of(image, FIXED) for image in (colour_frame.image, holed))
    assert np.isfinite(found).all()
    rms = np.sqrt(np.mean((found - expected)[24:] ** 2, axis=(0, 1)))
    assert (rms <= 0.5 * sky_sigma(colour_frame)).all()


@pytest.mark.parametrize("solver", ["mm", "adam"])
def test_models_beyond_the_range_do_not_blow_up(colour_frame, solver):
    """With a low quantile the stretched model passes 1 and stays of the order of the image."""
    parameters = {"loss_scale": 0.001, "quantile": 0.6, "solver": solver, "max_iter": 60, "smoothing": 0}
    background = background_of(colour_frame.image, parameters)
    sky = colour_frame.background
    assert np.isfinite(background).all()
    assert np.abs(background - sky).max() < 20 * np.ptp(sky)
