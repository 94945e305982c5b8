"""Folds of an image: `ImageBlockKFold`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import KW_ONLY, asdict, dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from .._validation import check_image, check_mask, unwrap_image
from ..folds import block_labels

_CONSTRAINTS = {
    "n_splits": [Interval(Integral, 2, None, closed="left")],
    "blocks_short": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
}


@dataclass
class ImageBlockKFold:
    """Split an image into folds of large blocks.

    A model that follows an extended nebula explains the pixels next to those it was fitted to, so that single pixels
    held out prefer it. Across a large block only the sky goes on. The blocks are near square, and in the default
    order no two neighbours along rows and columns are in one fold. 3 folds, 4 blocks along the shorter side::

        0 1 2 0 1 2
        1 2 0 1 2 0
        2 0 1 2 0 1
        0 1 2 0 1 2

    Parameters
    ----------
    n_splits : int, default=3
        Number of folds.
    blocks_short : int, default=4
        Blocks along the shorter side of the image; fewer and larger ones punish wiggles more.
    shuffle : bool, default=False
        False takes the diagonals, falling or rising (with more folds: steeper ones too), whose folds are nearest to
        each other in usable pixels. True deals the blocks at random into folds of about as many usable pixels;
        neighbours may meet.
    random_state : int, RandomState or None, default=None
        For ``shuffle=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbgopt.model_selection import ImageBlockKFold
    >>> train, test = next(ImageBlockKFold(blocks_short=2).split(np.ones((4, 6))))
    >>> print(test.astype(int))
    [[1 1 0 0 0 0]
     [1 1 0 0 0 0]
     [0 0 0 0 1 1]
     [0 0 0 0 1 1]]
    """

    n_splits: int = 3
    _: KW_ONLY
    blocks_short: int = 4
    shuffle: bool = False
    random_state: Any = None

    def split(self, X, mask=None, groups=...) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield a pair of maps for each fold.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            The image, reduced or not; only its shape matters, and the mask that it brings.
        mask : array-like of bool, shape (height, width), optional
            True = excluded: in no map.
        groups
            Refused. Searches of scikit-learn give it, which take folds of samples.

        Yields
        ------
        train, test : ndarray of bool, shape (height, width)
            True = belongs to it.

        Raises
        ------
        ValueError
            If a fold would hold no usable pixel.
        TypeError
            If `groups` is given.
        """
        _refuse(groups)
        validate_parameter_constraints(_CONSTRAINTS, asdict(self), type(self).__name__)
        usable = self._usable(X, mask)
        labels, blocks = block_labels(usable.shape[0], usable.shape[1], int(self.blocks_short))
        n_usable = np.bincount(labels.ravel(), usable.ravel(), blocks[0] * blocks[1])
        # So many folds are not even counted: each would look at each diagonal.
        are_enough = self.n_splits <= np.count_nonzero(n_usable)
        folds = (self._deal(n_usable) if self.shuffle else self._diagonal(n_usable, blocks)) if are_enough else None
        if folds is None or not self._pixels(folds, n_usable).all():
            raise ValueError(
                f"{type(self).__name__} takes images with usable pixels in each fold, got {blocks[0]} x {blocks[1]} "
                f"blocks with {int(n_usable.sum())} usable pixels for {self.n_splits} folds: "
                "take fewer folds or more blocks, or exclude less."
            )
        of_pixel = folds[labels]
        for fold in range(self.n_splits):
            yield usable & (of_pixel != fold), usable & (of_pixel == fold)

    def get_n_splits(self, X=None, mask=None, groups=...) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, mask
            Ignored.
        groups
            Refused as by `split`.

        Returns
        -------
        int
        """
        _refuse(groups)
        return self.n_splits

    def _usable(self, X, mask) -> np.ndarray:
        image, own_mask = unwrap_image(X)
        shape, who = check_image(image, type(self).__name__).shape, type(self).__name__
        usable = np.ones(shape[:2], dtype=bool)
        for excluded in (own_mask, mask):
            if excluded is not None:
                usable &= ~check_mask(excluded, shape, who)
        return usable

    def _pixels(self, folds: np.ndarray, n_usable: np.ndarray) -> np.ndarray:
        return np.bincount(folds, n_usable, self.n_splits)

    def _diagonal(self, n_usable: np.ndarray, blocks: tuple[int, int]) -> np.ndarray:
        """Return the folds of the blocks along those diagonals that share the usable pixels most evenly."""
        row, column = (index.ravel() for index in np.indices(blocks))
        # A step of 0 or n_splits from column to column would put neighbours into one fold.
        candidates = ((row + step * column) % self.n_splits for step in range(1, self.n_splits))
        return min(candidates, key=lambda folds: np.ptp(self._pixels(folds, n_usable)))

    def _deal(self, n_usable: np.ndarray) -> np.ndarray:
        """Return folds of shuffled blocks: the fullest first, each to the fold that has the least."""
        shuffled = check_random_state(self.random_state).permutation(len(n_usable))
        folds, filled = np.zeros(len(n_usable), dtype=int), np.zeros(self.n_splits)
        for block in shuffled[np.argsort(-n_usable[shuffled], kind="stable")]:
            folds[block] = np.argmin(filled)
            filled[folds[block]] += n_usable[block]
        return folds


def _refuse(groups) -> None:
    if groups is not ...:
        raise TypeError(
            "ImageBlockKFold divides one image, and scikit-learn's searches take folds of many: use BackgroundSearchCV "
            "or cross_val_score_image."
        )


@dataclass(frozen=True)
class GivenFolds:
    """Pairs of maps that a user gave, as a splitter."""

    pairs: list

    def split(self, X, mask=None):
        """Yield the pairs."""
        yield from self.pairs


def check_cv(cv):
    """Return a splitter of images.

    Parameters
    ----------
    cv : None, int, splitter or iterable of (train, test)
        3 folds of blocks, so many, an object like `ImageBlockKFold`, or pairs of boolean maps.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if cv is None:
        return ImageBlockKFold()
    if isinstance(cv, Integral):
        return ImageBlockKFold(int(cv))
    # A text has a split, too.
    if hasattr(cv, "split") and not isinstance(cv, str):
        return cv
    pairs = list(cv) if isinstance(cv, Iterable) else [cv]
    if not all(isinstance(pair, Sized) and not isinstance(pair, str) and len(pair) == 2 for pair in pairs):
        raise ValueError(
            "The 'cv' parameter must be None, a number of folds, an object like ImageBlockKFold, or pairs of boolean "
            f"maps (train, test). Got {cv!r} instead."
        )
    return GivenFolds(pairs)
