"""Where control points stand."""

import numpy as np
import pytest

from skbgopt.control_points import grid_control_points, random_control_points

LOW, HIGH = np.array([-1.0, -2.0]), np.array([1.0, 2.0])


@pytest.mark.parametrize("n_points", [4, 9, 16, 36, 64])
def test_a_square_number_in_a_square_is_a_lattice(n_points):
    """N = k^2 points in a square stand in k rows of k."""
    points = grid_control_points(n_points, np.zeros(2), np.ones(2))
    rows, counts = np.unique(points[:, 0].round(9), return_counts=True)
    assert len(rows) == n_points**0.5
    assert set(counts) == {n_points**0.5}


def test_the_published_number_gives_that_number():
    """32 points are 32, not the 36 of the next square lattice."""
    assert len(grid_control_points(32, LOW, HIGH)) == 32


@pytest.mark.parametrize("n_points", [1, 2, 7, 30])
def test_points_on_a_line(n_points):
    """In one dimension the points are distinct, evenly spaced and symmetric."""
    points = grid_control_points(n_points, np.array([2.0]), np.array([5.0]))[:, 0]
    assert len(points) == n_points
    assert ((points >= 2) & (points <= 5)).all()
    np.testing.assert_allclose(np.sort(7 - points), points)
    np.testing.assert_allclose(np.diff(points, 2), 0, atol=1e-12)


@pytest.mark.parametrize("d", [3, 4])
def test_points_in_more_dimensions(d):
    """In three dimensions and more the points are distinct, inside, and the same at every call."""
    low, high = -np.ones(d), 2 * np.ones(d)
    points = grid_control_points(50, low, high)
    assert points.shape == (50, d)
    assert len(np.unique(points, axis=0)) == 50
    assert ((points >= low) & (points <= high)).all()
    np.testing.assert_array_equal(points, grid_control_points(50, low, high))


def test_random_points_are_inside_and_seeded():
    """The same seed gives the same points, another seed others, all inside the box."""
    first, again, other = (random_control_points(100, LOW, HIGH, np.random.RandomState(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ((first >= LOW) & (first <= HIGH)).all()
    assert (np.ptp(first, axis=0) > 0.8 * (HIGH - LOW)).all()


def test_no_part_of_the_box_is_far_from_a_point():
    """The largest gap is within twice that of a square lattice of as many points, for every N."""
    probes = np.stack(np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-2, 2, 49)), -1).reshape(-1, 2)
    for n_points in range(4, 80):
        points = grid_control_points(n_points, LOW, HIGH)
        distance = np.linalg.norm(probes[:, None] - points[None], axis=2).min(axis=1)
        spacing = np.sqrt(8 / n_points)
        assert distance.max() < 2 * spacing / np.sqrt(2), n_points
