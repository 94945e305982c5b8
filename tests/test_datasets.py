"""Frames with a known sky."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import median_filter

from skbgopt.datasets import SKY_KINDS, SKY_SHAPES, make_sky_image

every_kind = pytest.mark.parametrize("kind", SKY_KINDS)
NARROWBAND = ("ha", "oiii", "sii")
SHAPE = (160, 240)


def channels(array):
    """(height, width) or (height, width, channels) -> (height, width, channels)."""
    return array.reshape(*array.shape[:2], -1)


@every_kind
def test_default_shapes_and_dtypes(kind):
    """Frames are float32, mono for narrowband kinds and RGB for all others."""
    frame = make_sky_image(kind, SHAPE, random_state=0)
    shape = SHAPE if kind in NARROWBAND else (*SHAPE, 3)
    for array in (frame.image, frame.background, frame.objects):
        assert (array.shape, array.dtype) == (shape, np.float32)
    assert (frame.mask.shape, frame.mask.dtype) == (SHAPE, bool)
    assert frame.noise.shape == ((1,) if kind in NARROWBAND else (3,))
    assert frame.kind == kind


@every_kind
def test_noise_of_the_sky(kind):
    """Image less background and objects scatters over the sky by the stated noise, within 5 %."""
    frame = make_sky_image(kind, (300, 450), random_state=1)
    background, objects = channels(frame.background).astype(float), channels(frame.objects)
    residual = channels(frame.image) - background - objects
    for channel, sigma in enumerate(frame.noise):
        level = background[..., channel]
        sky = ~frame.mask & (np.abs(objects[..., channel]) < 5 * sigma)
        expected = sigma * np.sqrt(level / level.mean())
        pull = residual[..., channel][sky] / expected[sky]
        assert pull.std() == pytest.approx(1, rel=0.05)
        assert abs(pull.mean()) < 5 / np.sqrt(pull.size)


def test_noise_of_bright_light():
    """The variance of the noise is proportional to the light."""
    frame = make_sky_image("ha", (400, 600), dtype=np.float64, random_state=0)
    light = frame.background + frame.objects
    residual = frame.image - light
    bright = (light > 2 * frame.background.mean()) & (light < 0.5)
    expected = frame.noise[0] * np.sqrt(light / frame.background.mean())
    assert (residual / expected)[bright].std() == pytest.approx(1, rel=0.05)


@every_kind
def test_image_without_noise(kind):
    """Without noise the image is background plus objects, and saturates at 1."""
    frame = make_sky_image(kind, SHAPE, noise=0, empty_border=0, dtype=np.float64, random_state=3)
    np.testing.assert_allclose(frame.image, frame.background + frame.objects, rtol=0, atol=1e-7)
    assert frame.image.max() <= 1


@every_kind
def test_noise_is_independent(kind):
    """Another level of noise changes neither the sky nor the objects."""
    quiet = make_sky_image(kind, SHAPE, noise=0, random_state=3)
    loud = make_sky_image(kind, SHAPE, noise=1e-3, random_state=3)
    np.testing.assert_array_equal(quiet.background, loud.background)
    np.testing.assert_array_equal(quiet.objects, loud.objects)


@pytest.mark.parametrize("kind", ["galaxy", "landscape", "sii"])
def test_empty_border(kind):
    """The empty border is exactly 0 and masked, and changes no other pixel."""
    frame = make_sky_image(kind, SHAPE, empty_border=0.05, random_state=2)
    empty = np.all(channels(frame.image) == 0, axis=-1)
    assert 0.01 < empty.mean() < 0.3
    assert frame.mask[empty].all()
    assert not empty[40:-40, 40:-40].any()
    covered = make_sky_image(kind, SHAPE, empty_border=0, random_state=2)
    np.testing.assert_array_equal(frame.image[~empty], covered.image[~empty])


@every_kind
def test_mask(kind):
    """Only the foreground of a landscape and the empty border of a galaxy frame are masked."""
    share = make_sky_image(kind, SHAPE, random_state=4).mask.mean()
    low, high = {"landscape": (0.2, 0.4), "galaxy": (0.005, 0.15)}.get(kind, (0, 0))
    assert low <= share <= high


@every_kind
def test_same_seed(kind):
    """The same seed gives the same bits."""
    first = make_sky_image(kind, (48, 64), random_state=7)
    second = make_sky_image(kind, (48, 64), random_state=np.random.RandomState(7))
    for name in ("image", "background", "objects", "mask", "noise"):
        np.testing.assert_array_equal(first[name], second[name])


@every_kind
def test_different_seeds(kind):
    """Different seeds give different skies and objects."""
    first, second = (make_sky_image(kind, (48, 64), random_state=seed) for seed in (0, 1))
    for name in ("image", "background", "objects"):
        assert not np.allclose(first[name], second[name], rtol=1e-3, atol=0)


@every_kind
def test_global_random_state(kind):
    """The global random state is not touched when a seed is given."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_sky_image(kind, (32, 32), random_state=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@every_kind
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_background_is_smooth(kind, seed):
    """The sky is positive and has no structure finer than a sixth of the frame."""
    frame = make_sky_image(kind, (121, 181), dtype=np.float64, random_state=seed)
    assert np.isfinite(frame.background).all()
    assert (frame.background > 0).all()
    rows, cols = np.arange(121), np.arange(181)
    for sky in np.moveaxis(channels(frame.background), -1, 0):
        # Two samples for each smallest period: twelve intervals a side.
        coarse = RectBivariateSpline(rows[::10], cols[::15], sky[::10, ::15])
        assert np.abs(coarse(rows, cols) - sky).max() < 0.01 * np.ptp(sky)


@every_kind
def test_objects_add_light(kind):
    """Objects only add light outside of the mask."""
    frame = make_sky_image(kind, SHAPE, random_state=5)
    assert np.isfinite(frame.objects).all()
    assert (frame.objects[~frame.mask] >= 0).all()


def test_foreground_of_the_landscape():
    """The land lies in the lower half and is darker than the sky except for its lamps."""
    frame = make_sky_image("landscape", SHAPE, empty_border=0, random_state=5)
    assert np.mean(frame.objects[frame.mask] < 0) > 0.6
    assert np.any(frame.objects[frame.mask] > 3 * frame.background.max())
    assert not frame.mask[: SHAPE[0] // 2].any()


@every_kind
def test_gradient_zero(kind):
    """A gradient of 0 is a constant sky."""
    sky = channels(make_sky_image(kind, (64, 96), gradient=0, random_state=0).background)
    np.testing.assert_array_equal(sky, np.broadcast_to(sky[0, 0], sky.shape))


@every_kind
def test_gradient_scales_the_sky(kind):
    """The range of the sky grows with the gradient."""
    ranges = []
    for gradient in (0.5, 1, 2):
        sky = channels(make_sky_image(kind, (64, 96), gradient=gradient, random_state=0).background)
        ranges.append(np.ptp(sky[..., 0]))
    assert ranges[0] < 0.7 * ranges[1] < 0.49 * ranges[2]


@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_range_of_the_sky(kind, seed):
    """The sky varies by 3 to 80 sigmas of its noise."""
    frame = make_sky_image(kind, SHAPE, random_state=seed)
    spread = np.ptp(channels(frame.background)[~frame.mask], axis=0) / frame.noise
    assert ((spread > 3) & (spread < 80)).all()


@pytest.mark.parametrize("seed", range(6))
def test_dust_leaves_bare_sky(seed):
    """Where the dust is thinnest, at least 4 % of the frame is bare sky."""
    frame = make_sky_image("dust", SHAPE, random_state=seed)
    bare = np.all(frame.objects < 0.3 * frame.noise, axis=-1)
    assert 0.04 < bare.mean() < 0.3


@every_kind
def test_sky_at_another_sampling(kind):
    """The same seed gives the same sky and foreground at another sampling."""
    coarse = make_sky_image(kind, (80, 120), random_state=6)
    fine = make_sky_image(kind, (240, 360), random_state=6)
    # The centre of a block of three pixels is the centre of its middle pixel.
    np.testing.assert_allclose(fine.background[1::3, 1::3], coarse.background, rtol=1e-5)
    assert np.mean(fine.mask[1::3, 1::3] != coarse.mask) < 0.02


def test_nebula_at_another_sampling():
    """The same seed gives the same nebula at another sampling."""
    coarse = make_sky_image("ha", (160, 240), random_state=6).objects
    fine = make_sky_image("ha", (480, 720), random_state=6).objects
    # Medians remove the stars, which keep their size in pixels and so differ.
    coarse, fine = median_filter(coarse, 9), median_filter(fine[1::3, 1::3], 9)
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.99
    assert fine.mean() == pytest.approx(coarse.mean(), rel=0.05)


@pytest.mark.parametrize("background", SKY_SHAPES)
def test_chosen_background(background):
    """Every shape of the sky can be chosen for another kind than its own."""
    frame = make_sky_image("galaxy", (64, 96), background=background, random_state=0)
    assert (frame.background > 0).all()
    assert np.ptp(frame.background[..., 0]) > 3 * frame.noise[0]
    assert background in frame.DESCR


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["oiii", "landscape"])
def test_chosen_channels(kind, n_channels):
    """The number of channels can be chosen; one channel gives a two-dimensional image."""
    frame = make_sky_image(kind, (32, 48), n_channels=n_channels, random_state=0)
    assert frame.image.shape == ((32, 48) if n_channels == 1 else (32, 48, n_channels))
    assert frame.noise.shape == (n_channels,)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(SKY_KINDS),
    height=st.integers(16, 96),
    width=st.integers(16, 96),
    seed=st.integers(0, 2**32 - 1),
    gradient=st.floats(0, 3),
    empty_border=st.one_of(st.none(), st.floats(0, 0.3)),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_small_shapes(kind, height, width, seed, gradient, empty_border, dtype):
    """Any shape from 16 pixels a side gives a finite frame with a positive sky."""
    frame = make_sky_image(
        kind, (height, width), gradient=gradient, empty_border=empty_border, dtype=dtype, random_state=seed
    )
    assert frame.image.shape[:2] == (height, width)
    assert frame.image.dtype == dtype
    assert np.isfinite(frame.image).all()
    assert (frame.background > 0).all()
    assert frame.image.max() <= 1


@pytest.mark.parametrize("shape", [(16, 700), (700, 16)])
def test_long_shapes(shape):
    """Very long and narrow frames are valid."""
    for kind in SKY_KINDS:
        frame = make_sky_image(kind, shape, random_state=0)
        assert np.isfinite(frame.image).all()
        assert (frame.background > 0).all()


INVALID = [
    (
        {"kind": "comet"},
        ValueError,
        "The 'kind' parameter of make_sky_image must be one of ['landscape', 'ha', 'oiii', 'sii', "
        "'milky_way', 'dust', 'galaxy']. Got 'comet' instead.",
    ),
    ({"shape": (8, 100)}, ValueError, "a height and a width of at least 16 pixels. Got (8, 100) instead."),
    ({"shape": (64, 64, 3)}, ValueError, "Got (64, 64, 3) instead."),
    ({"shape": 64}, ValueError, "Got 64 instead."),
    ({"shape": (64.0, 64)}, ValueError, "Got (64.0, 64) instead."),
    ({"n_channels": 0}, ValueError, "must be None or an int of at least 1. Got 0 instead."),
    ({"gradient": -1}, ValueError, "must be a finite float of at least 0. Got -1 instead."),
    ({"gradient": float("nan")}, ValueError, "Got nan instead."),
    ({"noise": -1e-3}, ValueError, "one for each of the 3 channels. Got -0.001 instead."),
    ({"noise": [1e-3, 1e-3]}, ValueError, "Got [0.001, 0.001] instead."),
    ({"background": "flat"}, ValueError, "must be None or one of ['linear', "),
    ({"empty_border": 0.5}, ValueError, "in the range [0.0, 0.3]. Got 0.5 instead."),
    ({"dtype": np.uint16}, TypeError, "must be a floating dtype"),
]


@pytest.mark.parametrize(("parameters", "error", "message"), INVALID)
def test_wrong_parameters(parameters, error, message):
    """The error of a wrong parameter names it, what is allowed and what came."""
    with pytest.raises(error) as caught:
        make_sky_image(**{"shape": (32, 32), **parameters})
    assert message in str(caught.value)


def test_imports_no_torch():
    """Making frames imports no torch."""
    code = "import sys, skbgopt.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
