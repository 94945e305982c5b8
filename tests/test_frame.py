"""The frame of an image."""

import numpy as np
import pytest

from skbgopt.frame import ImageFrame
from skbgopt.reduction import block_centres
from tests.shared import coordinates


def pixel_coordinates(height, width, shape=None):
    """Coordinates of all pixel centres."""
    rows, columns = shape or (height, width)
    return coordinates(ImageFrame(height, width), np.arange(rows) + 0.5, np.arange(columns) + 0.5, shape)


@pytest.mark.parametrize("shape", [(100, 100), (100, 300), (301, 99), (1, 7)])
def test_the_longer_side_goes_from_minus_1_to_1(shape):
    """The centre is 0 and the edges of the longer side are at -1 and 1."""
    frame = ImageFrame(*shape)
    corners = coordinates(frame, np.array([0, shape[0]]), np.array([0, shape[1]]))
    assert np.abs(corners).max() == 1
    np.testing.assert_allclose(corners[0, 0], -corners[1, 1])
    np.testing.assert_allclose(corners[1, 1], frame.half_extent)


@pytest.mark.parametrize("shape", [(100, 300), (300, 100), (64, 64)])
def test_both_axes_have_the_same_unit(shape):
    """A pixel is as high as it is wide, so that the kernel is isotropic on frames that are not square."""
    steps = pixel_coordinates(*shape)
    down, right = steps[1, 0] - steps[0, 0], steps[0, 1] - steps[0, 0]
    np.testing.assert_allclose([down[0], right[1]], 2 / max(shape))
    np.testing.assert_allclose([down[1], right[0]], 0, atol=1e-15)


def test_block_centres_are_the_mean_of_their_pixels():
    """No shift of half a block: a block's coordinates are the mean of those of its pixels."""
    pixels = pixel_coordinates(32, 48)
    blocks = coordinates(ImageFrame(32, 48), block_centres(32, 8), block_centres(48, 8))
    np.testing.assert_allclose(blocks, pixels.reshape(4, 8, 6, 8, 2).mean(axis=(1, 3)), atol=1e-15)


def test_the_frame_is_laid_on_images_of_other_sizes():
    """Four pixels of twice the size surround the centre of the pixel they replace."""
    coarse = pixel_coordinates(20, 30)
    fine = pixel_coordinates(20, 30, shape=(40, 60))
    np.testing.assert_allclose(fine.reshape(20, 2, 30, 2, 2).mean(axis=(1, 3)), coarse, atol=1e-15)


def test_flips_change_the_sign():
    """The coordinates of a flipped image are those of the image with the sign of that axis changed."""
    grid = pixel_coordinates(17, 23)
    np.testing.assert_allclose(grid[::-1] * [-1, 1], grid, atol=1e-15)
    np.testing.assert_allclose(grid[:, ::-1] * [1, -1], grid, atol=1e-15)
