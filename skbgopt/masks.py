"""Which pixels of an image are used, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._validation import (
    as_channels,
    check_image,
    check_mask,
    check_weights,
    is_missing,
    refuse_stack,
    unwrap_image,
    work_dtype,
)


@dataclass(frozen=True)
class PixelSelection:
    """An image with all that excludes or weighs its pixels, read window by window.

    Attributes
    ----------
    image : ndarray of shape (height, width, n_channels)
        A view of what the user gave.
    mask : ndarray of bool, shape (height, width), or None
        True = excluded.
    weights : ndarray of shape (height, width) or (height, width, n_channels), or None
        In [0, 1], 1 = use fully.
    missing_values : float or None
        Pixels in which a channel equals it, or is not finite, are excluded.
    """

    image: np.ndarray
    mask: np.ndarray | None
    weights: np.ndarray | None
    missing_values: float | None

    @classmethod
    def from_input(cls, X, mask, sample_weight, missing_values, who: str) -> PixelSelection:
        """Check what a user passed to fit or score. A mask that X itself carries is joined to the other."""
        X, own_mask = unwrap_image(X)
        image = check_image(X, who)
        refuse_stack(image, who)
        masks = [check_mask(m, image.shape, who) for m in (own_mask, mask) if m is not None]
        weights = None if sample_weight is None else check_weights(sample_weight, image.shape, who)
        return cls(as_channels(image), np.logical_or.reduce(masks) if masks else None, weights, missing_values)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[:2]

    def window(self, rows: slice, columns: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Return a part of the image, its weights and what was excluded.

        Returns
        -------
        values : ndarray of shape (n_rows, n_columns, n_channels)
            NaN where not usable. Read-only: a view of the image where that needs no change.
        weights : ndarray of shape (n_rows, n_columns, 1 or n_channels)
            Boolean where no weights were given.
        excluded : dict of str to int
            Pixels that each reason excludes; a pixel counts for each of its reasons.
        """
        raw = self.image[rows, columns]
        values: np.ndarray = raw.astype(work_dtype(raw.dtype), copy=False)
        missing = is_missing(raw, self.missing_values)
        excluded = {"missing": int(np.count_nonzero(missing))}
        bad = missing
        if self.mask is not None:
            masked = self.mask[rows, columns]
            excluded["masked"] = int(np.count_nonzero(masked))
            bad = bad | masked
        weights = ~bad[:, :, None]
        unseen = bad
        if self.weights is not None:
            given = as_channels(self.weights[rows, columns]).astype(values.dtype)
            excluded["weight 0"] = int((given == 0).all(axis=2).sum())
            weights = np.where(weights, given, 0)
            unseen = weights == 0
        if unseen.any():
            values = values.copy()
            values[np.broadcast_to(unseen, values.shape) if unseen.ndim == 3 else unseen] = np.nan
        values = values.view()
        values.flags.writeable = False
        return values, weights, excluded
