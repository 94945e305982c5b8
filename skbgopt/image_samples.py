"""Several images, each with what belongs to it: `image_samples`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._validation import unwrap_image


@dataclass(frozen=True)
class ImageSample:
    """An image with what belongs to it.

    Attributes
    ----------
    image : array-like
    name : str
        Its place among the others, for errors.
    y : array-like or None
        The true background, if known.
    mask, sample_weight : array-like or None
    """

    image: Any
    name: str
    y: Any = None
    mask: Any = None
    sample_weight: Any = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The mask and the weights that there are, by their names."""
        given = {"mask": self.mask, "sample_weight": self.sample_weight}
        return {name: part for name, part in given.items() if part is not None}

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Let errors of the block tell the image's place."""
        try:
            yield
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self.name}: {error}") from error
        except Exception as error:
            error.add_note(self.name)
            raise


def image_samples(images: list, who: str, *, y=None, mask=None, sample_weight=None) -> list[ImageSample]:
    """Give each image its own of what comes as one for each, or as an array of two axes for all.

    Parameters
    ----------
    images : list of array-like
    who : str
        Takes them, for errors.
    y, mask, sample_weight : list of one for each image (or None), stack, or ndarray of shape (height, width), optional

    Raises
    ------
    ValueError
        If there are as many of them as images, neither, or the one for all has not the shape of each.
    """
    truths = _one_each(y, images, "true backgrounds y", who)
    masks = _one_each(mask, images, "masks", who)
    weights = _one_each(sample_weight, images, "sample_weight arrays", who)
    names = [f"image {k + 1} of {len(images)} (index {k})" for k in range(len(images))]
    return [ImageSample(*parts) for parts in zip(images, names, truths, masks, weights, strict=True)]


def is_stack(X) -> bool:
    """Return whether X is one array of numbers; scikit-learn may make lists of images arrays of objects."""
    return isinstance(X, np.ndarray) and X.dtype != object


def is_list_of_images(X) -> bool:
    """Return whether X is a list of images, and not one image as a list of rows."""
    is_list = isinstance(X, list | tuple | np.ndarray) and not is_stack(X)
    return is_list and all(len(image_shape(image)) > 1 for image in X)


def image_shape(image) -> tuple[int, ...]:
    """Return the shape of an image, whatever carries it."""
    array: Any = unwrap_image(image)[0]
    return np.shape(array)


def _one_each(values, images: list, what: str, who: str) -> list:
    n = len(images)
    if values is None:
        return [None] * n
    if is_stack(values) and values.ndim == 2:
        if any(image_shape(image)[:2] != values.shape for image in images):
            raise ValueError(
                f"{who} takes one array for all {n} images only where all have its shape {values.shape}: "
                f"pass a list of {n} {what}."
            )
        return [values] * n
    if not hasattr(values, "__len__") or len(values) != n:
        came = len(values) if hasattr(values, "__len__") else f"a {type(values).__name__}"
        raise ValueError(f"{who} takes as many {what} as images, got {came} for {n} images: pass a list of {n}.")
    return list(values)
