"""Real skies, with the default estimator."""

from pathlib import Path

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, read_image

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real images are not in ../shared/data")

FLAT = ("m94_seestar_rgb.xisf", "ngc6976_sdss_r_f32.fits")
MOONLIT = "m94_seestar_moonlit_nan_rgb.fits"
FILES = (
    *FLAT,
    MOONLIT,
    "ngc7023_seestar_u16_rgb.fits",
    "tetra3_wide_gradient_mono.tiff",
    "panoptes_crowded_bayer.fits.fz",
    "galcenter_2mass_k.fits",
)


@pytest.fixture(scope="module", params=FILES)
def sky(request):
    """Name, pixels, fitted model and background of a file; one file in memory at a time."""
    image, _ = read_image(DATA / request.param)
    model = BackgroundSplineRegressor().fit(image)
    return request.param, image, model, model.predict(image)


def block_median_range(image):
    """Largest less smallest median of 6 x 6 blocks that cover the image, of each channel."""
    channels = np.atleast_3d(image)
    rows, columns = (np.linspace(0, n, 7).astype(int) for n in channels.shape[:2])
    medians = [
        np.nanmedian(channels[rows[i] : rows[i + 1], columns[j] : columns[j + 1]], axis=(0, 1))
        for i, j in np.ndindex(6, 6)
    ]
    return np.ptp(medians, axis=0)


def test_the_background_is_finite_and_smooth(sky):
    """From pixel to pixel it changes by less than a fifth of the noise, and no step stands out."""
    _, image, model, background = sky
    assert background.shape == image.shape
    assert np.isfinite(background).all()
    channels = np.atleast_3d(background).astype(float)
    for axis in (0, 1):
        bends = np.abs(np.diff(channels, 2, axis=axis)).max(axis=(0, 1))
        rounding = 8 * np.finfo(np.float32).eps * np.abs(channels).max(axis=(0, 1))
        assert (bends <= 0.02 * model.noise_ + rounding).all()
        assert (np.abs(np.diff(channels, axis=axis)).max(axis=(0, 1)) <= 0.2 * model.noise_ + rounding).all()


def test_the_background_lies_in_the_sky(sky):
    """Nowhere is it outside the range of the image, and its level is that of the sky within 3 sigma."""
    _, image, _, background = sky
    usable = np.where(np.isfinite(image) & (image != 0), image, np.nan).astype(float)
    channels, model_channels = np.atleast_3d(usable), np.atleast_3d(background)
    assert (model_channels.max(axis=(0, 1)) <= np.nanmax(channels, axis=(0, 1))).all()
    assert (model_channels.min(axis=(0, 1)) >= np.nanmin(channels, axis=(0, 1))).all()


@pytest.mark.parametrize("sky", FLAT, indirect=True)
def test_a_flat_sky_keeps_a_flat_background(sky):
    """Where there is no gradient the background's range is below 3 sigma of the pixel noise."""
    _, _, model, background = sky
    assert (np.ptp(np.atleast_3d(background), axis=(0, 1)) < 3 * model.noise_).all()


@pytest.mark.parametrize("sky", [MOONLIT], indirect=True)
def test_moonlight_is_removed(sky):
    """At most a fifth of the range of 6 x 6 block medians is left, in every channel."""
    _, image, model, _ = sky
    left = block_median_range(model.transform(image)) / block_median_range(image)
    assert (left <= 0.2).all(), left


def test_nothing_gets_worse(sky):
    """The range of 6 x 6 block medians is no larger; by a tenth at most where it is that of the Galactic centre."""
    path, image, model, _ = sky
    holed = np.where(image == 0, np.nan, image.astype(float))
    result = model.transform(image).astype(float)
    before, after = block_median_range(holed), block_median_range(np.where(image == 0, np.nan, result))
    growth = 1.1 if "galcenter" in str(path) else 1.05
    assert (after <= before * growth + 0.1 * model.noise_).all(), (before, after)


def test_missing_pixels_are_kept(sky):
    """NaN and zeros are where they were, and nowhere else."""
    _, image, model, _ = sky
    result = np.atleast_3d(model.transform(image))
    channels = np.atleast_3d(image)
    missing = (~np.isfinite(channels) | (channels == 0)).any(axis=2)
    np.testing.assert_array_equal(result[missing], channels[missing])
    assert np.isfinite(result[~missing]).all()
