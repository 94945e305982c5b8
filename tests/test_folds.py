"""Blocks that are held out."""

import numpy as np
import pytest

from skbgopt.folds import block_labels, diagonal_folds

SHAPES = [(30, 45), (45, 30), (40, 40), (9, 200), (3, 3), (2, 7), (1, 1), (1, 50)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_in_one_block_and_every_block_has_pixels(shape):
    """Labels run from 0 to the number of blocks without a gap."""
    labels, blocks = block_labels(*shape, blocks_short=3)
    assert labels.shape == shape
    np.testing.assert_array_equal(np.unique(labels), np.arange(blocks[0] * blocks[1]))


@pytest.mark.parametrize(("shape", "blocks"), [((30, 45), (3, 4)), ((45, 30), (4, 3)), ((40, 40), (3, 3))])
def test_three_blocks_along_the_short_axis(shape, blocks):
    """Blocks are near square, three along the shorter axis."""
    assert block_labels(*shape, blocks_short=3)[1] == blocks


def test_a_long_strip_has_no_more_than_nine_blocks_along_it():
    """The number of blocks, and so the cost, is bounded."""
    assert block_labels(9, 5000, blocks_short=3)[1] == (3, 9)


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_are_rectangles_of_like_size(shape):
    """Sides of blocks differ by one pixel at most."""
    labels, blocks = block_labels(*shape, blocks_short=3)
    rows = np.bincount(labels[:, 0] // blocks[1])
    columns = np.bincount(labels[0] % blocks[1])
    assert np.ptp(rows) <= 1
    assert np.ptp(columns) <= 1


@pytest.mark.parametrize("blocks", [(3, 4), (4, 3), (3, 3), (3, 9)])
def test_neighbours_are_never_held_out_together(blocks):
    """Blocks next to each other along rows and columns are in different folds, and there are three."""
    for folds in diagonal_folds(blocks):
        assert (np.diff(folds, axis=0) != 0).all()
        assert (np.diff(folds, axis=1) != 0).all()
        assert set(np.unique(folds)) == {0, 1, 2}


def same_partition(first, second):
    """Whether two label arrays hold the same groups."""
    pairs = set(zip(first.ravel(), second.ravel(), strict=True))
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))


@pytest.mark.parametrize("blocks", [(3, 4), (4, 3), (3, 3), (3, 9)])
def test_flips_exchange_the_partitions(blocks):
    """A flip of either axis turns one partition into the other; a transposition keeps both."""
    down, up = diagonal_folds(blocks)
    for flip in (np.flipud, np.fliplr):
        assert same_partition(flip(down), up)
        assert same_partition(flip(up), down)
    for folds, turned in zip((down, up), diagonal_folds(blocks[::-1]), strict=True):
        assert same_partition(folds.T, turned)
