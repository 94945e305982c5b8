"""The subtraction in place, and on all cores."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor

MODEL = BackgroundSplineRegressor(n_control_points=16, smoothing=1e-3)
WAYS = [{}, {"level": "zero"}, {"correction": "divide"}, {"correction": "divide", "level": "zero"}]


@pytest.fixture(scope="module")
def holed(colour_frame):
    """An image in float32 with missing pixels of both kinds."""
    image = colour_frame.image.astype(np.float32)
    image[3:9, 5:50] = 0
    image[30:33, :, 1] = np.nan
    return image


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("parameters", WAYS)
def test_in_place_is_the_same(holed, parameters, dtype):
    """copy=False writes what copy=True returns over the image, missing pixels as they were."""
    image = holed.astype(dtype)
    model = clone(MODEL).set_params(**parameters).fit(image)
    expected = model.transform(image)
    given = image.copy()
    assert model.transform(given, copy=False) is given
    np.testing.assert_array_equal(given, expected)
    assert model.inverse_transform(given, copy=False) is given
    # A pixel that came out as 0 by chance is missing from then on.
    kept = (expected != 0) | (image == 0)
    np.testing.assert_allclose(given[kept], image[kept], rtol=1e-4, atol=1e-5)


def test_fit_transform_in_place(holed):
    """Fit sees the image before it is written over."""
    given = holed.copy()
    expected = clone(MODEL).fit_transform(holed)
    assert clone(MODEL).fit_transform(given, copy=False) is given
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("change", [lambda a: np.round(1000 * np.nan_to_num(a)).astype(np.uint16), "read-only"])
def test_what_cannot_be_written_over_is_copied(holed, change):
    """Integers and read-only images are left alone."""
    image = holed.copy() if change == "read-only" else change(holed)
    image.flags.writeable = change != "read-only"
    before = image.copy()
    model = clone(MODEL).fit(image)
    result = model.transform(image, copy=False)
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result, model.transform(image))


def test_nothing_is_written_over_where_the_background_changes_sign():
    """A division that is refused leaves the image as it was."""
    y, x = np.mgrid[:80, :120]
    image = (x - 60.0) + np.random.default_rng(0).normal(size=(80, 120))
    model = clone(MODEL).set_params(correction="divide", missing_values=None).fit(image)
    given = image.copy()
    with pytest.raises(ValueError, match="changes sign"):
        model.transform(given, copy=False)
    np.testing.assert_array_equal(given, image)


def test_threads_do_not_matter(colour_frame, monkeypatch):
    """Fit, background and result are the same bit by bit on one thread and on three."""
    monkeypatch.setattr("skbgopt.stages._LEAST_THREADED", 0)
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            model = BackgroundSplineRegressor().fit(colour_frame.image)
            results.append((model.coef_, model.predict(colour_frame.image), model.transform(colour_frame.image)))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
@pytest.mark.parametrize("grey", [True, False])
def test_predict_writes_where_it_is_told(holed, dtype, grey):
    """Any array of floats of the image's shape, also a view in steps; nothing else is written to."""
    image = holed[..., 0] if grey else holed
    model = clone(MODEL).fit(image)
    room = np.full((2 * len(image), *image.shape[1:]), 7, dtype)
    assert model.predict(image, out=room[::2]).base is room
    np.testing.assert_array_equal(room[::2], model.predict(image).astype(dtype))
    assert (room[1::2] == 7).all()


def test_predict_leaves_what_is_read_only(holed):
    """And says so."""
    out = np.zeros((80, 120))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="'out' parameter of predict is read-only"):
        clone(MODEL).fit(holed).predict(holed, out=out)


@pytest.mark.parametrize("out", [np.zeros((3, 3)), np.zeros((80, 120), int), [[0.0]]])
def test_predict_refuses_what_cannot_hold_the_background(holed, out):
    """Shape, type and kind are named."""
    with pytest.raises(ValueError, match="'out' parameter of predict must be an array of floats of shape"):
        clone(MODEL).fit(holed).predict(holed, out=out)
