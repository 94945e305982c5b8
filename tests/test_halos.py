"""Halos: around a large object lies light that no threshold shows."""

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, gradient_left, halos, make_sky_image, stages
from skbgopt.halos import halos as halos_of

SHAPE = (60, 90)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
USABLE = np.ones(SHAPE, dtype=bool)


def disk(row, column, radius):
    """A map that is True within a radius."""
    return np.hypot(Y - row, X - column) <= radius


def reached_from(objects, usable=USABLE):
    """The halos of objects of 3.5 sigma that are masked where they are."""
    residual = np.where(objects, 3.5, 0.0)[:, :, None]
    return halos_of(residual, np.where(objects, 0.0, 1.0), usable)


@pytest.mark.parametrize("radius", [5, 8, 10])
def test_a_halo_reaches_nearly_as_far_again_as_the_object(radius):
    """All pixels within 1.8 times a disk's radius are reached, and none beyond, to a pixel and a half."""
    reached = reached_from(disk(30, 45, radius))
    assert reached[disk(30, 45, 1.8 * radius - 1.5)].all()
    assert not reached[~disk(30, 45, 1.8 * radius + 1.5)].any()


def test_an_object_at_the_edge_has_the_halo_of_the_whole_object():
    """Half a disk at the edge reaches as far as a disk."""
    reached = reached_from(disk(0, 45, 10))
    assert reached[disk(0, 45, 15.5)].all()
    assert not reached[~disk(0, 45, 20.5)].any()


def test_filaments_and_stars_have_no_halos():
    """Nothing thinner than five reduced pixels reaches anywhere."""
    objects = (np.abs(Y - 30) <= 1) | disk(10, 20, 1)
    assert not reached_from(objects).any()


def test_what_is_too_faint_or_not_masked_has_no_halo():
    """A disk of two and a half sigma, and one of ten that is taken for sky."""
    objects = disk(30, 45, 8)
    assert not halos_of(np.where(objects, 2.5, 0.0)[:, :, None], np.where(objects, 0.0, 1.0), USABLE).any()
    assert not halos_of(np.where(objects, 10.0, 0.0)[:, :, None], np.ones(SHAPE), USABLE).any()


def test_halos_leave_more_than_half_of_the_sky():
    """Objects whose halos would cover more have none, and those of usable pixels are counted alone."""
    assert reached_from(disk(30, 45, 14)).any()
    assert not reached_from(disk(30, 45, 17)).any()
    assert not reached_from(disk(30, 45, 14), usable=disk(30, 45, 30)).any()


def test_what_is_not_usable_adds_nothing():
    """Whatever its value."""
    usable = ~disk(30, 20, 9)
    residual = np.where(disk(30, 60, 7), 10.0, 0.0)[:, :, None]
    sky = np.where(residual[:, :, 0] > 0, 0.0, 1.0)
    first = halos_of(residual, sky, usable)
    residual[~usable] = np.nan
    sky[~usable] = 0
    np.testing.assert_array_equal(halos_of(residual, sky, usable), first)
    assert first.any()


@pytest.mark.parametrize("change", [np.flipud, np.fliplr, np.transpose])
def test_halos_flip_and_turn_with_the_image(change):
    """The halos of a turned map are the map's, turned."""
    objects = disk(20, 30, 7) | disk(45, 70, 5)
    np.testing.assert_array_equal(reached_from(change(objects), change(USABLE)), change(reached_from(objects)))


@pytest.mark.parametrize("row", [200, 401])
def test_halos_of_large_grids_are_found_on_thinned_ones(row):
    """They reach as far, to three pixels of the thinned grid, and up to the last rows."""
    y, x = np.mgrid[:402, :602]
    distance = np.hypot(y - row, x - 300)
    reached = reached_from(distance <= 28, np.ones((402, 602), dtype=bool))
    assert reached[distance <= 40].all()
    assert not reached[distance >= 58].any()


def left_of(frame, smoothing):
    """What a fit at the smoothing that "auto" would choose leaves of the gradient."""
    model = BackgroundSplineRegressor(smoothing=smoothing).fit(frame.image)
    return gradient_left(model.predict(frame.image), frame.background)


def test_less_of_a_galaxy_is_taken_for_background(monkeypatch):
    """Four fifths at most of what is left without halos is left with them."""
    frame = make_sky_image("galaxy", (800, 1200), random_state=1)
    found = left_of(frame, 1e-4)
    monkeypatch.setattr(halos, "_MOST", 0.0)
    assert found < 0.8 * left_of(frame, 1e-4)


def test_a_background_that_loses_its_hold_is_not_taken(monkeypatch):
    """Where the sky that halos would leave out is needed, they are not left out."""
    frame = make_sky_image("oiii", (800, 1200), random_state=0)
    found = left_of(frame, 1e-6)
    monkeypatch.setattr(stages, "_MOST_MOVED", np.inf)
    assert left_of(frame, 1e-6) > 2 * found
