"""Blocks of an image that are held out together."""

from __future__ import annotations

import numpy as np


def block_labels(n_rows: int, n_columns: int, blocks_short: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Cut a grid of pixels into large blocks, near square: blocks_short along the shorter axis.

    Returns
    -------
    labels : ndarray of int, shape (n_rows, n_columns)
        Number of each pixel's block, row by row.
    shape : (int, int)
        Blocks along the rows and columns.
    """
    short = min(n_rows, n_columns)
    counts = [
        min(length, max(blocks_short, int(blocks_short * length / short + 1e-9))) for length in (n_rows, n_columns)
    ]
    counts = [min(count, 3 * blocks_short) for count in counts]
    # By the pixels' centres, so that a flipped grid is cut alike.
    index = [
        (2 * np.arange(length) + 1) * count // (2 * length)
        for length, count in zip((n_rows, n_columns), counts, strict=True)
    ]
    return index[0][:, None] * counts[1] + index[1][None, :], (counts[0], counts[1])


def diagonal_folds(blocks: tuple[int, int], n_folds: int = 3) -> list[np.ndarray]:
    """Return the two partitions of the blocks into folds along the diagonals, each of shape blocks.

    No two neighbours are held out together, so that a fold is extrapolated from all sides; flips and
    transpositions of the image exchange the two partitions, so that they do not change a score over both.
    """
    i, j = np.indices(blocks)
    return [(i + j) % n_folds, (i - j) % n_folds]
