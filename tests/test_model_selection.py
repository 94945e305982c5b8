"""Folds of an image, and the scores of settings on them."""

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.model_selection import ImageBlockKFold, _held_out, cross_val_score_image, held_out_score
from skbgopt.stretch import AsinhCurve
from tests.shared import lower_half, quick

pytestmark = pytest.mark.usefixtures("quick_reference")
SHAPES = [(20, 30), (30, 20), (24, 24), (12, 90), (160, 240)]


@pytest.fixture(scope="module")
def image():
    """A small image of one channel."""
    return make_sky_image("oiii", shape=(128, 160), random_state=1).image


# Folds


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_usable_pixel_is_held_out_once(shape, shuffle):
    """The test maps share the usable pixels out, and a fold's two maps hold all of them."""
    mask = lower_half(shape)
    folds = list(ImageBlockKFold(shuffle=shuffle, random_state=0).split(np.ones(shape), mask))
    np.testing.assert_array_equal(sum(test.astype(int) for _, test in folds), ~mask)
    for train, test in folds:
        np.testing.assert_array_equal(train ^ test, ~mask)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_splits", [2, 3, 4, 5])
def test_neighbouring_blocks_are_not_held_out_together(shape, n_splits):
    """Where a test map ends inside a row or column, a block of another fold begins: no run is longer than a block."""
    longest = -(-min(shape) // 4)
    for _, test in ImageBlockKFold(n_splits).split(np.ones(shape)):
        for line in (*test, *test.T):
            ends = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
            assert max(ends[1::2] - ends[::2], default=0) <= longest + (len(line) == 90) * 5


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("mask", [None, lower_half((120, 180))], ids=["all", "upper half"])
def test_folds_are_balanced_in_usable_pixels(shuffle, mask):
    """No fold has more than half as many usable pixels again as another."""
    folds = ImageBlockKFold(shuffle=shuffle, random_state=1).split(np.ones((120, 180)), mask)
    sizes = [test.sum() for _, test in folds]
    assert max(sizes) <= 1.5 * min(sizes)


def test_the_better_diagonal_is_taken():
    """Where a mask empties the falling diagonals of one fold, the rising ones are taken."""
    image, cv = np.ones((40, 40)), ImageBlockKFold()
    _, test = next(cv.split(image))
    sizes = [kept.sum() for _, kept in cv.split(image, test)]
    assert min(sizes) > 0.15 * sum(sizes)


def test_the_drawing_is_true():
    """The docstring shows the folds of an image of 2 : 3."""
    maps = [test for _, test in ImageBlockKFold().split(np.ones((4, 6)))]
    drawn = [line.split() for line in ImageBlockKFold.__doc__.splitlines() if line.strip()[:1].isdigit()]
    np.testing.assert_array_equal(np.array(drawn[:4], dtype=int), sum(k * test for k, test in enumerate(maps)))


def test_shuffling_is_seeded():
    """The same seed deals the same folds, another one others."""
    first, same, other = (
        np.stack([test for _, test in ImageBlockKFold(shuffle=True, random_state=seed).split(np.ones((40, 60)))])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_masked_array_brings_its_mask():
    """The mask of a masked array is in no map."""
    mask = lower_half((40, 60))
    for train, test in ImageBlockKFold().split(np.ma.array(np.ones((40, 60)), mask=mask)):
        assert not (train | test)[mask].any()


@pytest.mark.parametrize(
    ("cv", "mask", "message"),
    [
        (ImageBlockKFold(1), None, "'n_splits' parameter of ImageBlockKFold must be an int in the range"),
        (ImageBlockKFold(blocks_short=0), None, "'blocks_short' parameter"),
        (ImageBlockKFold(30), None, "take fewer folds or more blocks, or exclude less"),
        # At once, and not after as many looks at the blocks.
        (ImageBlockKFold(10**7), None, "4 x 6 blocks with 2400 usable pixels for 10000000 folds: take fewer folds"),
        (ImageBlockKFold(10**7, shuffle=True), None, "for 10000000 folds: take fewer folds"),
        (ImageBlockKFold(), np.ones((40, 60), bool), "with 0 usable pixels for 3 folds"),
        (ImageBlockKFold(), np.ones((4, 6), bool), "must have the image's shape"),
    ],
)
def test_folds_that_cannot_be(cv, mask, message):
    """What is not allowed is said in one sentence."""
    with pytest.raises(ValueError, match=message):
        list(cv.split(np.ones((40, 60)), mask))


def test_splitters_are_values():
    """A splitter shows its parameters, equals another of the same and counts its folds."""
    assert repr(ImageBlockKFold(4)) == "ImageBlockKFold(n_splits=4, blocks_short=4, shuffle=False, random_state=None)"
    assert ImageBlockKFold(4) == ImageBlockKFold(4) != ImageBlockKFold()
    assert ImageBlockKFold(4).get_n_splits() == 4


# Scores


def test_the_score_is_known_at_both_ends():
    """The background scores 0, one far off -1, one off by 4.5 sigma of an average exp(-1/2) - 1.

    Objects and what has no weight do not count.
    """
    values, weights, sky = np.ones((4, 4, 1)), np.ones((4, 4, 1)), np.ones((4, 4), bool)
    noise = np.array([0.1])
    for offset, score in ((0, 0), (1e6, -1), (0.15, np.exp(-0.5) - 1)):
        assert held_out_score(values, values + offset, weights, noise, sky) == pytest.approx(score)
    spoiled = values.copy()
    spoiled[:2] = 1e9
    sky[0], weights[1] = False, 0
    assert held_out_score(spoiled, values, weights, noise, sky) == 0


def test_scores_rank_as_the_truth():
    """A plane leaves more of a curved gradient and scores less than a spline that fits it."""
    frame = make_sky_image("oiii", shape=(240, 360), random_state=1)
    settings = [quick(smoothing=1e6, order=2), BackgroundSplineRegressor(smoothing=1e-5, n_control_points=36)]
    left = [gradient_left(each.fit(frame.image).predict(frame.image), frame.background) for each in settings]
    stiff, good = (cross_val_score_image(each, frame.image) for each in settings)
    assert stiff.shape == good.shape == (3,)
    assert left[0] > 2 * left[1]
    assert stiff.mean() < 4 * good.mean()


def test_scores_do_not_change_with_units(image):
    """A factor on the image changes no score."""
    expected = cross_val_score_image(quick(), image.astype(float))
    np.testing.assert_allclose(cross_val_score_image(quick(), 1e4 * image.astype(float)), expected, atol=1e-6)


def test_all_settings_are_judged_on_the_same_pixels(image):
    """Whatever a setting does to the image, values, weights, noise and sky of the score are the same."""
    seen = []

    def keep(values, background, *rest):
        seen.append((values, *rest))
        return float(np.abs(background / values - 1).max())

    for setting in ({}, {"downscale_factor": 5}, {"quantile": 0.9, "threshold_max": 0.5}, {"downscale_func": "mean"}):
        assert (cross_val_score_image(quick(**setting), image, cv=2, scoring=keep) < 0.5).all()
    for k in range(2, len(seen)):
        for found, expected in zip(seen[k], seen[k % 2], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_what_is_held_out_is_not_fitted(image):
    """Whatever a held-out block shows, the model that is judged there is the same."""
    test = np.zeros(image.shape, dtype=bool)
    test[:64, :64] = True
    seen = []

    def keep(values, background, weights, block_noise, sky):
        seen.append(background)
        return 0.0

    other = image.copy()
    other[:64, :64] = image[:64, :64][::-1, ::-1]
    for given in (image, other):
        cross_val_score_image(quick(), given, cv=[(~test, test)], scoring=keep)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-2)


def test_trials_see_some_of_the_blocks_of_a_large_image(image, monkeypatch):
    """Every so many-th, at their places; what is fitted in the end is all of them."""
    monkeypatch.setattr(_held_out, "_TRIAL_PIXELS", 100)
    preparations = _held_out.Preparations(image, None, None)
    model = quick()
    whole, seen = (preparations.prepare(model, thinned=thinned) for thinned in (False, True))
    expected = model.prepare(image)
    np.testing.assert_array_equal(whole.values, expected.values)
    np.testing.assert_array_equal(whole.weights, expected.weights)
    stride = round((whole.usable.size / 100) ** 0.5)
    assert stride > 1
    np.testing.assert_array_equal(seen.values, whole.values[::stride, ::stride])
    fitted = model.fit(image)
    np.testing.assert_allclose(
        _held_out.background_on_grid(fitted, seen),
        _held_out.background_on_grid(fitted, whole)[::stride, ::stride],
        rtol=1e-3,
    )


def test_masked_pixels_count_nowhere(image):
    """With a mask the values below it change no score; weights of 0 are the same as the mask."""
    mask = np.zeros(image.shape, dtype=bool)
    mask[40:80, 100:140] = True
    expected = cross_val_score_image(quick(), image, mask=mask)
    spoiled = np.where(mask, 1e3, image).astype(image.dtype)
    np.testing.assert_array_equal(cross_val_score_image(quick(), spoiled, mask=mask), expected)
    np.testing.assert_array_equal(cross_val_score_image(quick(), spoiled, sample_weight=1.0 - mask), expected)
    np.testing.assert_array_equal(cross_val_score_image(quick(), np.ma.array(spoiled, mask=mask)), expected)


def test_maps_of_any_size_are_folds(image):
    """Full-size maps, reduced ones and the splitter that makes them give the same scores."""
    cv = ImageBlockKFold(2, blocks_short=2)
    expected = cross_val_score_image(quick(), image, cv=cv)
    for shape in (image.shape, (16, 20), (2, 2)):
        np.testing.assert_array_equal(cross_val_score_image(quick(), image, cv=cv.split(np.ones(shape))), expected)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([([0, 1], [2])], "pairs of boolean maps .* use ImageBlockKFold"),
        (
            [(np.ones((160, 128), bool),) * 2],
            "its shape .* = \\(128, 160\\), or reduced, got bool",
        ),
        ([(np.ones((0, 0), bool),) * 2], "got bool of shape \\(0, 0\\)"),
        ([], "at least one fold"),
        ([1, 2], r"'cv' parameter must be None, .* Got \[1, 2\] instead"),
        ("ab", "'cv' parameter must be None, .* Got 'ab' instead"),
        (3.0, "'cv' parameter must be None, .* Got 3.0 instead"),
        ([(np.ones((4, 6), bool), np.zeros((4, 6), bool))], "Fold 0 holds out no usable pixel"),
    ],
)
def test_folds_that_cannot_be_scored(image, cv, message):
    """Indices, no folds and empty folds are errors."""
    with pytest.raises(ValueError, match=message):
        cross_val_score_image(quick(), image, cv=cv)


def test_the_estimator_is_left_alone(image):
    """Scoring neither fits nor changes the estimator that is given."""
    estimator = quick()
    before = estimator.get_params()
    cross_val_score_image(estimator, image, cv=2)
    assert estimator.get_params() == before
    assert not hasattr(estimator, "coef_")


def test_trials_take_the_units_that_the_image_asks_for():
    """A glow is looked for once, and not by each trial; a refit looks for itself and comes to the same."""
    y, x = np.mgrid[:160, :240] / 160
    image = 1000 + 200 * np.exp((x - 1.5) / 0.4) + np.random.default_rng(0).normal(0, 3, x.shape)
    estimator = BackgroundSplineRegressor(smoothing=1e-4, n_control_points=16)
    preparations = _held_out.hold_out_blocks(estimator, image, None, None, ImageBlockKFold(2)).preparations
    units = preparations.prepare(estimator, thinned=True).units
    assert type(units.curve) is AsinhCurve
    assert units.calm is None
    assert preparations.prepare(estimator).units is None
    assert type(estimator.fit(image).curve_) is AsinhCurve
