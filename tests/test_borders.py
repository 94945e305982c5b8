"""Dark borders of stacks: steps along an edge that no sky has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.borders import dark_border
from skbgopt.datasets import SKY_KINDS
from skbgopt.model_selection._held_out import Preparations

SHAPE = (80, 96)
SEEN = np.ones(SHAPE, dtype=bool)


def noise(seed=0):
    """A flat sky in units of its noise."""
    return np.random.default_rng(seed).normal(size=SHAPE)


def bordered(depth, drop, length=SHAPE[1], sky=None):
    """A sky that is lower by so much at its top, so many blocks deep, along a part of the edge."""
    sky = noise() if sky is None else sky.copy()
    sky[:depth, :length] -= drop
    return sky


def depths(border):
    """Blocks of each column."""
    return border.sum(axis=0)


@pytest.mark.parametrize("depth", [1, 4, 9])
def test_a_border_is_found_with_a_margin_of_one_block(depth):
    """All along its edge, and nowhere else."""
    assert set(depths(dark_border(bordered(depth, 30), SEEN))) == {depth + 1}


def test_a_border_of_several_steps_ends_at_the_last():
    """As where frames were shifted by different amounts."""
    stairs = bordered(6, 20, sky=bordered(4, 20, sky=bordered(1, 20)))
    assert set(depths(dark_border(stairs, SEEN))) == {7}


def test_a_slanted_border_is_met_as_far_as_it_reaches():
    """Where frames were turned a border is a wedge."""
    wedge = np.arange(SHAPE[1]) // 8
    image = noise() - 30 * (np.arange(SHAPE[0])[:, None] < 5 - wedge)
    found = depths(dark_border(image, SEEN))
    assert (np.abs(found - np.maximum(6 - wedge, 0))[wedge < 4] <= 1).all() and not found[wedge > 5].any()


def test_each_edge_has_its_own_border():
    """What is found does not depend on how the image lies."""
    image = bordered(3, 40)
    image[:, -5:] -= 40
    found = dark_border(image, SEEN)
    assert found[:, -6:].all() and found[:4].all() and not found[4:, :-6].any()
    for turn in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_array_equal(dark_border(turn(image), turn(SEEN)), turn(found))


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (noise(), "noise"),
        (bordered(4, 8, sky=noise() / 2), "less than ten sigma"),
        (bordered(6, -50, sky=bordered(3, 50)), "the near side of a trail along the edge"),
        (bordered(4, -50), "brighter, which objects are"),
        (bordered(12, 50), "deeper than an eighth of the image"),
        (bordered(4, 50, length=20), "along a fifth of the edge"),
        (bordered(4, 50, sky=noise() + 15 * np.arange(80.0)[:, None]), "no more than the sky's own slope"),
        (np.arange(80.0)[:, None] ** 2 * -3 + 0 * noise(), "a steep vignette without noise"),
        (bordered(4, 50)[:6], "too few rows to tell"),
    ],
)
def test_what_is_no_border(image, why):
    """Steps that a sky, an object or noise may have."""
    assert not dark_border(image, SEEN[: len(image)]).any(), why


def test_stars_make_no_border_and_hide_none():
    """A bright block is a step of its own column alone."""
    image, rng = noise(), np.random.default_rng(1)
    image[rng.integers(80, size=300), rng.integers(96, size=300)] += 200
    assert not dark_border(image, SEEN).any()
    found = dark_border(bordered(4, 40, sky=image), SEEN)
    assert np.median(depths(found)) == 5 and not found[7:].any()


def test_missing_blocks_are_no_border():
    """They are left out already, on a canvas with a border inside too."""
    seen = SEEN.copy()
    seen[:3] = False
    assert not dark_border(bordered(3, 50), seen).any()
    found = dark_border(bordered(6, 50), seen)
    assert found[3:7].all() and not found[:3].any() and not found[7:].any()


@given(slope=st.tuples(*[st.floats(-40, 40)] * 2), bend=st.floats(-1, 1), seed=st.integers(0, 99))
def test_skies_have_no_border(slope, bend, seed):
    """Planes and vignettes of thousands of sigma."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - 40.0
    assert not dark_border(noise(seed) + slope[0] * y + slope[1] * x + bend * (y**2 + x**2), SEEN).any()


@pytest.mark.parametrize("kind", SKY_KINDS)
def test_made_skies_have_no_border(kind):
    """Whether their horizon is masked or not."""
    frame = make_sky_image(kind, shape=(240, 360), random_state=1)
    for mask in (frame.mask, None):
        assert "dark border" not in BackgroundSplineRegressor().prepare(frame.image, mask=mask).excluded


def stacked(frame):
    """The frame as a stack of shifted ones that was not cropped, and where all of them overlap."""
    height, width = frame.image.shape[:2]
    y, x = np.mgrid[:height, :width]
    from_edge = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x])
    share = 1 - 0.25 * sum((from_edge < depth).astype(float) for depth in (8, 14, 24))
    return (frame.image * share.reshape(height, width, *[1] * (frame.image.ndim - 2))).astype(np.float32), share == 1


def test_a_stack_need_not_be_cropped():
    """The sky within is met as well as in a frame without a border."""
    frame = make_sky_image("oiii", shape=(400, 600), random_state=0)
    image, whole = stacked(frame)
    model = BackgroundSplineRegressor().fit(image)
    share = model.excluded_["dark border"] / whole.size
    assert (~whole).mean() <= share < 1.4 * (~whole).mean()
    cropped = BackgroundSplineRegressor().fit(image, mask=~whole)
    left = [gradient_left(each.predict(image), frame.background, ~whole) for each in (model, cropped)]
    assert left[0] < 1.5 * left[1] < 0.1


def test_only_fits_that_mask_objects_leave_a_border_out():
    """The published fit takes all pixels, in a search too."""
    image = stacked(make_sky_image("galaxy", shape=(160, 240), random_state=0))[0]
    preparations = Preparations(image, None, None)
    for parameters in ({}, {"mask_objects": False}):
        estimator = BackgroundSplineRegressor(n_control_points=16, **parameters)
        for prepared in (estimator.prepare(image), preparations.prepare(estimator)):
            assert ("dark border" in prepared.excluded) == (not parameters)
