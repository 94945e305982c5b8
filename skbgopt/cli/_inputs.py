"""What `skbgopt remove` reads: the image and its weights, as the estimator takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skbgopt.cli._mosaic import check_mosaic, join_mosaic, split_mosaic
from skbgopt.io import ImageMetadata, read_image


@dataclass(frozen=True)
class InputFrame:
    """An image as it is fitted.

    Attributes
    ----------
    pixels : ndarray
        The image; of a raw mosaic the four colour planes, shape (height / 2, width / 2, 4).
    weights : ndarray or None
        In [0, 1], 1 = use; of `pixels`' height and width.
    metadata : ImageMetadata
    is_mosaic : bool
    """

    pixels: np.ndarray
    weights: np.ndarray | None
    metadata: ImageMetadata
    is_mosaic: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image in the file."""
        height, width = self.pixels.shape[:2]
        return (2 * height, 2 * width) if self.is_mosaic else self.pixels.shape

    def as_in_file(self, image: np.ndarray) -> np.ndarray:
        """Arrange an image of `pixels`' shape as the file's."""
        return join_mosaic(image) if self.is_mosaic else image


def read_frame(path: Path, mask_path: Path | None, hdu: int | str | None) -> InputFrame:
    """Read an image and, if there is one, its mask."""
    for source in (path, *([] if mask_path is None else [mask_path])):
        if source.exists() and not (source.is_file() or source.is_dir()):
            raise ValueError(f"{source} is no regular file: give an image file.")
    image, metadata = read_image(path, hdu=hdu)
    pattern = metadata.bayer_pattern if image.ndim == 2 else None
    if pattern is not None:
        check_mosaic(image.shape, pattern)
    weights = None if mask_path is None else _read_weights(mask_path, image.shape)
    if pattern is not None:
        image = split_mosaic(image)
        weights = None if weights is None else split_mosaic(weights)
    return InputFrame(image, weights, metadata, is_mosaic=pattern is not None)


def _read_weights(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    mask, _ = read_image(path)
    channels = mask.shape[2:]
    if mask.shape[:2] != shape[:2] or (channels and len(shape) == 3 and channels != shape[2:]):
        raise ValueError(
            f"A mask must have the image's height and width and one channel or as many as the image, "
            f"{_size(shape)}, but {path} has {_size(mask.shape)}: make it from this image."
        )
    weights = _zero_to_one(mask, path)
    return weights.mean(axis=2) if channels and len(shape) == 2 else weights


def _zero_to_one(mask: np.ndarray, path: Path) -> np.ndarray:
    if mask.dtype.kind in "iu":
        mask = mask.astype(np.float32) / np.float32(np.iinfo(mask.dtype).max)
    low, high = mask.min(), mask.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"A mask must hold values from 0 (ignore) to 1 (use), or to the largest of its integer type, "
            f"but {path} has {low:g} to {high:g}: rescale it."
        )
    return mask


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
