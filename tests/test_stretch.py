"""The midtones stretch."""

import tracemalloc

import numpy as np
import pytest
from astropy.nddata import NDData
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skbgopt import MidtonesStretch, SourceMasker, make_sky_image
from skbgopt.stretch import AsinhCurve, LinearCurve, MidtonesCurve

NO_IMAGES = [
    (np.ones(6), ValueError, r"takes one image .*got shape \(6,\): Reshape your data"),
    (np.ones((2, 5, 6, 3)), ValueError, r"takes one image .*got shape \(2, 5, 6, 3\): use EachImage"),
    (np.ones((0, 6)), ValueError, "needs at least one pixel"),
    (np.full((5, 6), "sky"), TypeError, "takes images of real numbers, got dtype <U3"),
    (np.full((5, 6), {}), TypeError, "takes images of real numbers, got dtype object"),
]


def sky_samples(n=20_001, seed=0):
    """A sky of level 1000 with a tail of stars."""
    rng = np.random.default_rng(seed)
    return rng.normal(1000, 10, n) + rng.exponential(5, n) ** 2


@pytest.mark.parametrize("target", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("quantile", [0.8, 0.95, 1.0])
def test_pedestal_median_and_quantile_go_to_0_target_and_1(quantile, target):
    """The three points that define the stretch are where they should be."""
    values = sky_samples()
    curve = MidtonesCurve.from_samples([values], quantile, target)
    ordered = np.sort(values)
    pedestal, median = curve.pedestal[0], ordered[len(values) // 2]
    top = ordered[round(quantile * (len(values) - 1))]
    assert pedestal in ordered[:3]
    mapped = curve.apply(np.array([[pedestal], [median], [top]]))[:, 0]
    np.testing.assert_allclose(mapped, [0, target, 1], atol=1e-12)


def test_the_stretch_is_clipped():
    """What is below the pedestal is 0, what is above the quantile is 1."""
    curve = MidtonesCurve.from_samples([sky_samples()], 0.95)
    assert curve.apply(np.array([[-1e9], [1e9]]))[:, 0].tolist() == [0, 1]


def test_the_stretch_is_the_midtones_transfer_function():
    """MTF(x) = (1 - m) x / ((1 - 4 m) x + 3 m) for a target of a quarter."""
    curve = MidtonesCurve(np.zeros(1), np.ones(1), np.array([0.1]))
    x = np.linspace(0, 1, 11)[:, None]
    np.testing.assert_allclose(curve.apply(x), 0.9 * x / (0.6 * x + 0.3), rtol=1e-12)


def test_one_cold_pixel_does_not_move_the_stretch():
    """Among 20,000 pixels one at -1e6 changes the curve by less than it takes to step over one pixel."""
    values = sky_samples()
    cold = values.copy()
    cold[7] = -1e6
    before, after = (MidtonesCurve.from_samples([v], 0.99) for v in (values, cold))
    step = np.diff(np.sort(values)[:4]).max()
    assert abs(after.pedestal[0] - before.pedestal[0]) <= step
    probe = np.linspace(960, 1200, 50)[:, None]
    np.testing.assert_allclose(after.apply(probe), before.apply(probe), atol=0.01)


def test_channels_are_stretched_apart():
    """Each channel of a colour image is stretched as it would be alone."""
    image = np.stack([sky_samples(6000, k).reshape(60, 100) * 10**k for k in range(3)], axis=2)
    together = MidtonesStretch().fit_transform(image)
    for c in range(3):
        np.testing.assert_array_equal(together[:, :, c], MidtonesStretch().fit_transform(image[:, :, c]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse_of_the_transformer(dtype):
    """Between pedestal and quantile the inverse gives the linear image back, within the dtype's rounding."""
    image = sky_samples(6000).reshape(60, 100).astype(dtype)
    stretch = MidtonesStretch(quantile=1.0).fit(image)
    back = stretch.inverse_transform(stretch.transform(image))
    assert back.dtype == dtype
    # The stretch is at its flattest at 1, with slope 3 m / (1 - m) of a range of some 1000.
    flattest = 3 * stretch.curve_.midtones[0] / (1 - stretch.curve_.midtones[0])
    tolerance = 4 * np.finfo(dtype).eps * (stretch.curve_.scale[0] / flattest + image.max())
    np.testing.assert_allclose(back, image, rtol=0, atol=tolerance)


def test_missing_pixels_take_no_part_and_come_back():
    """NaN and zeros change nothing in the stretch of the others and stay what they are."""
    image = sky_samples(6000).reshape(60, 100)
    holed = image.copy()
    holed[:5] = np.nan
    holed[5:10] = 0
    stretched = MidtonesStretch().fit_transform(holed)
    assert np.isnan(stretched[:5]).all()
    assert (stretched[5:10] == 0).all()
    np.testing.assert_array_equal(stretched[10:], MidtonesStretch().fit(image[10:]).transform(image[10:]))


def test_the_inverse_has_no_pole_above_1():
    """Beyond 1 the inverse goes on along its tangent, where the formula's would blow up."""
    curve = MidtonesCurve(np.zeros(1), np.ones(1), np.array([0.01]))
    pole = 0.99 / 0.96
    values = curve.invert(np.array([[1.0], [pole], [3.0]]))[:, 0]
    assert np.isfinite(values).all()
    slope = (curve.invert(np.array([[1.0]])) - curve.invert(np.array([[1 - 1e-7]])))[0, 0] / 1e-7
    np.testing.assert_allclose(np.diff(values) / np.diff([1.0, pole, 3.0]), slope, rtol=1e-4)


def test_a_constant_image_is_stretched_to_something_finite():
    """No division by a range of zero."""
    assert np.isfinite(MidtonesStretch().fit_transform(np.full((20, 30), 5.0))).all()


def test_linear_curve_and_its_inverse():
    """Values in units of a scale above an offset, and back."""
    curve = LinearCurve(np.array([100.0]), np.array([5.0]))
    assert curve.apply(np.array([110.0])) == 2
    assert curve.invert(np.array([2.0])) == 110


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20), st.floats(1, 1e3), st.floats(0.1, 10))
def test_asinh_curve_and_its_inverse(values, knee, scale):
    """It rises, is never steeper than the straight curve, and its inverse brings back the values."""
    curve = AsinhCurve(np.array([100.0]), np.array([scale]), np.array([knee]))
    values = np.sort(values)[:, None]
    bent = curve.apply(values)
    straight = LinearCurve(curve.offset, curve.scale).apply(values)
    assert (np.diff(bent, axis=0) >= 0).all()
    assert (np.diff(bent, axis=0) <= np.diff(straight, axis=0) * (1 + 1e-9) + 1e-9).all()
    np.testing.assert_allclose(curve.invert(bent), values, rtol=1e-7, atol=1e-7 * scale)
    np.testing.assert_allclose(curve.difference(bent[1:], bent[:-1]), np.diff(straight, axis=0), rtol=1e-6, atol=1e-6)


def test_asinh_curve_keeps_noise_in_its_units():
    """Around the offset it is straight to a part in two hundred up to a sixth of the knee."""
    curve = AsinhCurve(np.array([100.0]), np.array([5.0]), np.array([60.0]))
    np.testing.assert_allclose(
        curve.apply(100.0 + 5.0 * np.array([[-10.0], [1.0], [10.0]]))[:, 0], [-10, 1, 10], rtol=0.005
    )


def test_asinh_curve_stays_among_the_numbers():
    """A model that runs away where it sees nothing gives no infinity."""
    assert np.isfinite(AsinhCurve(np.zeros(1), np.ones(1), np.ones(1)).invert(np.array([[-1e9], [1e9]]))).all()


def test_a_glow_asks_for_a_bent_curve_and_a_plane_or_a_vignette_does_not():
    """Of a glow most is darker than the middle of its range; of a plane half, of a vignette less."""
    y, x = np.mgrid[:60, :90] / 60
    skies = {"glow": np.exp(3 * x), "plane": x + y, "vignette": -((x - 0.75) ** 2) - (y - 0.5) ** 2}
    found = {name: AsinhCurve.of_glow(100 * sky.reshape(-1, 1), np.ones(1)) for name, sky in skies.items()}
    assert [name for name, curve in found.items() if curve is not None] == ["glow"]


def test_the_curve_of_a_glow_goes_with_units_and_pedestal():
    """Another gain or bias of the camera gives the same scaled values, and no knee is within the noise."""
    glow = np.exp(np.linspace(0, 3, 500))[:, None] * np.array([[0.5, 20.0]])
    here, there = AsinhCurve.of_glow(glow, np.ones(2)), AsinhCurve.of_glow(7 * glow - 900, np.full(2, 7.0))
    np.testing.assert_allclose(here.apply(glow), there.apply(7 * glow - 900), rtol=1e-9)
    assert here.knee[0] == 10
    assert here.knee[1] > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_a_stretch_holds_its_result_and_little_more(dtype):
    """Bands of rows are stretched one after another, and are what the curve makes of the whole image."""
    image = np.random.default_rng(0).normal(1000, 10, (1500, 800, 3)).astype(dtype)
    image[:2] = 0
    stretch = MidtonesStretch().fit(image)
    stretched, linear = stretch.transform(image), image.astype(np.float64 if dtype is np.float64 else np.float32)
    expected = stretch.curve_.apply(linear).astype(linear.dtype)
    expected[:2] = 0
    np.testing.assert_array_equal(stretched, expected)
    np.testing.assert_array_equal(
        stretch.inverse_transform(stretched), stretch.curve_.invert(stretched).astype(linear.dtype)
    )
    for method, each in ((stretch.transform, image), (stretch.inverse_transform, stretched)):
        tracemalloc.start()
        size = method(each).nbytes
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Integers are taken to floats first.
        assert most < (1 + (each.dtype.kind != "f")) * size + 2**24


def test_unfitted_stretch_raises():
    """Transforming before fitting is an error."""
    with pytest.raises(NotFittedError):
        MidtonesStretch().transform(np.ones((5, 5)))


def test_another_number_of_channels_raises():
    """A stretch of three channels does not fit one of two."""
    stretch = MidtonesStretch().fit(np.random.default_rng(0).uniform(1, 2, (10, 12, 3)))
    with pytest.raises(ValueError, match=r"fitted on 3 channel\(s\), got 2"):
        stretch.transform(np.ones((10, 12, 2)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"quantile": 0.0}, r"'quantile' parameter of MidtonesStretch.* range \(0\.0, 1\.0\]\. Got 0\.0"),
        ({"quantile": 2}, r"'quantile' parameter of MidtonesStretch.* range \(0\.0, 1\.0\]\. Got 2"),
        ({"target": 1.0}, r"'target' parameter of MidtonesStretch.* range \[0\.001, 0\.999\]\. Got 1\.0"),
        ({"target": 1e-310}, r"'target' parameter of MidtonesStretch.* range \[0\.001, 0\.999\]\. Got 1e-310"),
        ({"missing_values": "0"}, r"'missing_values' parameter of MidtonesStretch.*Got '0'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    """The sentence names the parameter, the range and the value."""
    with pytest.raises(ValueError, match=message):
        MidtonesStretch(**parameters).fit(np.ones((5, 5)))


@pytest.mark.parametrize("target", [0.001, 0.999])
@pytest.mark.parametrize("midtones", [1e-6, 0.5, 1 - 1e-6])
def test_the_ends_of_the_target_are_safe(target, midtones):
    """0, the midtones and 1 are met at the least and the largest target, wherever the median lies."""
    curve = MidtonesCurve(np.zeros(1), np.ones(1), np.array([midtones]), target)
    found = curve.apply(np.array([[0.0], [midtones], [1.0]]))[:, 0]
    np.testing.assert_allclose(found, [0, target, 1], rtol=1e-6)


def sky_with_sources():
    """A noisy sky, the same with a tenth of it 100 times brighter, and where that is."""
    sky = np.random.default_rng(0).normal(1000, 10, (60, 80))
    mask = np.zeros(sky.shape, dtype=bool)
    mask[20:40, 10:34] = True
    return sky, np.where(mask, 100 * sky, sky), mask


def test_a_mask_leaves_pedestal_and_median_to_the_sky():
    """The sky between masked sources goes to the target, and what is masked comes back masked."""
    sky, image, mask = sky_with_sources()
    stretched = MidtonesStretch().fit_transform(np.ma.array(image, mask=mask))
    assert np.median(stretched.data[~mask]) == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_array_equal(stretched.mask, mask)
    curves = [MidtonesStretch().fit(X).curve_ for X in (np.ma.array(image, mask=mask), np.where(mask, np.nan, sky))]
    assert curves[0].pedestal == curves[1].pedestal


def test_what_is_masked_is_not_clipped():
    """As without a mask 1 % of the pixels are white, and the inverse has all others, sources included."""
    _, image, mask = sky_with_sources()
    masked = np.ma.array(image, mask=mask)
    stretch = MidtonesStretch().fit(masked)
    stretched = stretch.transform(masked)
    assert (stretched.data == 1).mean() == pytest.approx(0.01, abs=1e-3)
    shown = mask & (stretched.data < 1)
    np.testing.assert_allclose(stretch.inverse_transform(stretched).data[shown], image[shown], rtol=1e-9)


def test_a_mask_on_what_is_dark_clips_no_more_of_the_sky():
    """The scale is never smaller than that of the sky alone."""
    sky, _, mask = sky_with_sources()
    dark = np.ma.array(np.where(mask, sky, 1.0), mask=~mask)
    assert MidtonesStretch().fit(dark).curve_.scale == MidtonesStretch().fit(np.where(mask, sky, np.nan)).curve_.scale


def test_all_masked_is_as_if_nothing_were():
    """Without any sky the curve is that of all pixels."""
    sky, _, _ = sky_with_sources()
    masked = MidtonesStretch().fit(np.ma.array(sky, mask=True)).transform(sky)
    np.testing.assert_array_equal(masked, MidtonesStretch().fit(sky).transform(sky))


def test_missing_and_masked_pixels_take_no_part_at_all():
    """Behind a mask too, NaN and zeros move nothing."""
    _, image, mask = sky_with_sources()
    holed = np.where(mask, np.nan, image)
    expected = MidtonesStretch().fit(holed).curve_.scale
    assert MidtonesStretch().fit(np.ma.array(holed, mask=mask)).curve_.scale == expected


def test_sources_behind_a_source_masker_keep_their_shades():
    """A Pipeline from the masker to the stretch clips no more than a hundredth of the image."""
    image = make_sky_image("galaxy", shape=(120, 160), empty_border=0, random_state=0).image
    stretched = make_pipeline(SourceMasker(), MidtonesStretch()).fit_transform(image)
    assert stretched.mask.mean() > 0.02
    assert ((stretched.data == 1).mean(axis=(0, 1)) <= 0.011).all()


def test_nddata_brings_its_mask():
    """An NDData is stretched as the masked array of the same pixels."""
    _, image, mask = sky_with_sources()
    brought = MidtonesStretch().fit(NDData(image, mask=mask))
    expected = MidtonesStretch().fit(np.ma.array(image, mask=mask))
    np.testing.assert_array_equal(brought.transform(NDData(image)), expected.transform(image))


@pytest.mark.parametrize(("image", "error", "message"), NO_IMAGES)
def test_what_is_no_image(image, error, message):
    """The sentence names the estimator, what is allowed and what came, in fit and in transform."""
    fitted = MidtonesStretch().fit(np.random.default_rng(0).uniform(1, 2, (5, 6)))
    for method in (MidtonesStretch().fit, fitted.transform, fitted.inverse_transform):
        with pytest.raises(error, match=f"MidtonesStretch .*{message}"):
            method(image)


def test_objects_that_are_numbers_are_numbers():
    """An array of Python floats is stretched in double precision."""
    image = np.random.default_rng(0).uniform(1, 2, (5, 6))
    np.testing.assert_array_equal(
        MidtonesStretch().fit_transform(image.astype(object)), MidtonesStretch().fit_transform(image)
    )
