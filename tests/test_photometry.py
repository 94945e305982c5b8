"""Fluxes and colours of stars, measured in apertures by sep, survive the removal of the background."""

import numpy as np
import pytest
import sep

from skbgopt import BackgroundSplineRegressor, make_sky_image, read_image, write_image
from tests.cli.command import FAST, run
from tests.shared import quick

SHAPE = (320, 480)
RADIUS = 7.0
WIDTH = 1.2
SIGMA = 1e-4
# Red, white and blue stars.
COLOURS = np.array([[1.3, 1.0, 0.7], [1.0, 1.0, 1.0], [0.6, 1.0, 1.5]])


def star_field(seed, vignette=None, saturation=np.inf):
    """A float64 frame of isolated stars on a curved sky: image, sky, rows, columns, fluxes (n_stars, 3).

    Bright enough that noise moves a flux by 0.1 to 1 %.
    """
    rng = np.random.default_rng(seed)
    sky = make_sky_image("galaxy", SHAPE, empty_border=0, dtype=np.float64, random_state=seed).background
    rows, columns = (
        place.ravel() + rng.uniform(-3, 3, place.size)
        for place in np.meshgrid(np.arange(20, 310, 40.0), np.arange(20, 470, 40.0), indexing="ij")
    )
    fluxes = rng.uniform(0.3, 3.0, (len(rows), 1)) * COLOURS[np.arange(len(rows)) % 3]
    image = sky.copy()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for row, column, flux in zip(rows, columns, fluxes, strict=True):
        profile = np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / WIDTH**2) / (2 * np.pi * WIDTH**2)
        image += profile[:, :, None] * flux
    if vignette is not None:
        image *= vignette
    return image + SIGMA * rng.standard_normal(image.shape), sky, rows, columns, fluxes


def aperture_fluxes(image, rows, columns, **options):
    """The sum within the radius around each place in each channel, shape (n_stars, 3)."""
    channels = [np.ascontiguousarray(image[:, :, c], dtype=np.float64) for c in range(image.shape[2])]
    return np.stack([sep.sum_circle(channel, columns, rows, RADIUS, **options)[0] for channel in channels], axis=1)


def apertures_noise(std=0.0):
    """Standard error of a flux: the noise of its pixels, and an error of the background that all of them share."""
    area = np.pi * RADIUS**2
    return np.hypot(SIGMA * np.sqrt(area), std * area)


@pytest.mark.parametrize("level", ["median", "zero"])
@pytest.mark.parametrize("parameters", [{}, {"smoothing": "auto", "n_control_points": 64, "mask_objects": "auto"}])
def test_fluxes_and_colours_over_the_local_sky_stay(level, parameters):
    """With the sky taken from a ring around each star, the result has the fluxes of the image without its true sky.

    What bends wrongly between ring and aperture is less than a thousandth of the faintest star; what bends of the sky
    itself, which the image has and the result has not, is twice that.
    """
    image, sky, rows, columns, fluxes = star_field(0)
    result = quick(level=level, **parameters).fit_transform(image)
    before, bare, after = (
        aperture_fluxes(pixels, rows, columns, bkgann=(10, 15)) for pixels in (image, image - sky, result)
    )
    np.testing.assert_allclose(after, bare, atol=1e-3 * fluxes.min())
    np.testing.assert_allclose(after, before, atol=3e-3 * fluxes.min())
    # The ring's own noise adds a quarter of the aperture's.
    assert (np.abs(after - fluxes) < 5 * apertures_noise()).all()
    colours_before, colours_after = (-2.5 * np.log10(found[:, [0, 2]] / found[:, [1]]) for found in (before, after))
    np.testing.assert_allclose(colours_after, colours_before, atol=5e-3)


def test_the_sky_at_zero_needs_no_local_sky():
    """With ``level="zero"`` the plain sums are the fluxes, within the noise and the standard error of the model."""
    image, sky, rows, columns, fluxes = star_field(1)
    model = BackgroundSplineRegressor(level="zero").fit(image)
    background, std = model.predict(image, return_std=True)
    found = aperture_fluxes(model.transform(image), rows, columns)
    bias = np.median(background - sky, axis=(0, 1))
    allowed = 4 * apertures_noise(std[rows.astype(int), columns.astype(int)]) + np.abs(bias) * np.pi * RADIUS**2
    assert (np.abs(found - fluxes) < allowed).all()
    # The level itself is wrong by no more than a third of the noise of a pixel.
    assert (np.abs(bias) < 0.3 * SIGMA).all()


def test_units_are_linear_and_nothing_is_clipped():
    """Result = image - background + one constant a channel: the brightest star stays, and so do negative pixels."""
    image, _, _, _, _ = star_field(2)
    image[160, 240] = 50.0
    model = quick(level="zero").fit(image)
    result = model.transform(image)
    np.testing.assert_allclose(result, image - model.predict(image), rtol=1e-12, atol=1e-12)
    assert (result[160, 240] > 49.9).all()
    assert 0.3 < (result < 0).mean() < 0.7
    lifted = quick(level="median").fit(image).transform(image) - result
    np.testing.assert_allclose(lifted, np.broadcast_to(model.background_level_, lifted.shape), rtol=1e-9)


def test_divide_restores_vignetted_fluxes():
    """Stars dimmed to 60 % in the corners come back to one scale across the frame, in every channel."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(y - SHAPE[0] / 2, x - SHAPE[1] / 2) / np.hypot(*SHAPE) * 2
    vignette = (1 - 0.4 * radius**2)[:, :, None]
    image, _, rows, columns, fluxes = star_field(3, vignette)
    # What is divided by is sky times vignette: the sky must be even.
    image = image - vignette * (star_field(3)[1] - 0.02)
    result = quick(correction="divide").fit_transform(image)
    before, after = (aperture_fluxes(pixels, rows, columns, bkgann=(10, 15)) / fluxes for pixels in (image, result))
    assert (np.ptp(before, axis=0) > 0.3).all()
    assert (after.std(axis=0) / after.mean(axis=0) < 0.01).all()
    dimmed = before / vignette[rows.astype(int), columns.astype(int)]
    # One scale: that of the place where the background is its own median.
    np.testing.assert_allclose(after.mean(axis=0), dimmed.mean(axis=0) * np.median(vignette), rtol=0.01)


@pytest.fixture
def stars_file(tmp_path, monkeypatch):
    """A field of stars as a float32 file in the current directory."""
    monkeypatch.chdir(tmp_path)
    write_image("stars.fits", star_field(4)[0].astype(np.float32))
    return tmp_path


def test_only_integers_are_dithered_and_by_the_seed(stars_file):
    """Floats are the same whatever the seed; integers follow it, and on average are what the floats are."""
    for seed in (1, 2):
        run("remove", "stars.fits", f"float{seed}", *FAST, "--seed", seed)
        for again in ("", "again"):
            run(
                "remove", "stars.fits", f"integer{seed}{again}", *FAST, "--seed", seed,
                "--output-dtype", "uint16", "--output-scale", 20_000, "--pedestal", 100,
            )  # fmt: skip
    for name in ("stars_bgSubtracted.fits", "stars_bgModel.fits"):
        floats, others, integers, same, different = (
            read_image(f"{folder}/{name}")[0].astype(float)
            for folder in ("float1", "float2", "integer1", "integer1again", "integer2")
        )
        np.testing.assert_array_equal(floats, others)
        np.testing.assert_array_equal(integers, same)
        assert (integers != different).mean() > 0.3
        error = integers - (floats * 20_000 + 100)
        # Dither and rounding scatter by half a unit, wherever between two integers a value lies.
        assert np.abs(error).max() <= 1.5 + 1e-3
        assert abs(error.mean()) < 5 * 0.5 / np.sqrt(error.size)
        phase = (floats * 20_000) % 1
        for part in range(4):
            chosen = error[(phase >= part / 4) & (phase < (part + 1) / 4)]
            assert abs(chosen.mean()) < 5 * 0.5 / np.sqrt(chosen.size)
