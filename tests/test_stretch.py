"""The midtones stretch."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skbgopt import MidtonesStretch
from skbgopt.stretch import LinearCurve, MidtonesCurve


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
        ({"target": 1.0}, r"'target' parameter of MidtonesStretch.* range \(0\.0, 1\.0\)\. Got 1\.0"),
        ({"missing_values": "0"}, r"'missing_values' parameter of MidtonesStretch.*Got '0'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    """The sentence names the parameter, the range and the value."""
    with pytest.raises(ValueError, match=message):
        MidtonesStretch(**parameters).fit(np.ones((5, 5)))


def test_a_masked_array_keeps_its_mask_out():
    """Masked values do not move the curve, and come back masked."""
    image = np.random.default_rng(0).normal(1000, 10, (60, 80))
    masked = np.ma.array(image.copy(), mask=False)
    masked[:, :20] = 1e6
    masked[:, :20] = np.ma.masked
    stretch = MidtonesStretch().fit(masked)
    assert stretch.curve_.scale[0] == MidtonesStretch().fit(image[:, 20:]).curve_.scale[0]
    assert np.ma.getmaskarray(stretch.transform(masked))[:, :20].all()
