"""Between the axes of a file and the axes of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skbgopt.io._errors import ImageFormatError
from skbgopt.io._metadata import Layout

# A cube with more planes than this and a fastest axis of 3 holds interleaved colours.
_MOST_PLANES_BESIDE_THREE_COLUMNS = 4

_DTYPES = {
    "fits": ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"),
    "xisf": ("uint8", "uint16", "uint32", "float32", "float64"),
    "tiff": ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"),
}


def native(pixels: np.ndarray) -> np.ndarray:
    """Return writable, C-contiguous pixels in native byte order, copied only if needed."""
    return np.require(pixels, dtype=pixels.dtype.newbyteorder("="), requirements=["C", "W", "O"])


def check_shape(shape: tuple[int, ...], path: Path) -> None:
    """Refuse shapes that are no image, before their pixels are read."""
    if len(shape) not in (2, 3):
        raise ImageFormatError(
            f"read_image reads images with 2 axes, or 3 with channels. {path} has the shape {shape}; "
            f"cut out one image or choose another HDU."
        )
    if min(shape) < 1:
        raise ImageFormatError(
            f"read_image needs at least one pixel. {path} has the shape {shape}; check how it was made."
        )


def check_channels(channels: int, path: Path, format_name: str, function: str) -> None:
    """Refuse what XISF and TIFF images cannot hold: all but gray and RGB."""
    if format_name != "fits" and channels not in (1, 3):
        raise ImageFormatError(
            f"{function} handles {format_name.upper()} images of 1 or 3 channels. {path} has {channels}; "
            f"drop the alpha channel or use FITS."
        )


def from_file_axes(stored: np.ndarray) -> tuple[np.ndarray, Layout]:
    """Move the channels of a FITS array last; of a single one the axis is dropped."""
    if stored.ndim == 2:
        return native(stored), "HW"
    if stored.shape[0] == 1:
        return native(stored[0]), "1HW"
    if stored.shape[2] == 3 and stored.shape[0] > _MOST_PLANES_BESIDE_THREE_COLUMNS:
        return native(stored), "HWC"
    return native(np.moveaxis(stored, 0, -1)), "CHW"


def to_file_axes(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Arrange an image as the FITS file it came from, if its number of channels still allows it."""
    if image.ndim == 2:
        return image[np.newaxis] if layout == "1HW" else image
    if layout == "HWC" and image.shape[2] == 3 and image.shape[0] > _MOST_PLANES_BESIDE_THREE_COLUMNS:
        return image
    return np.moveaxis(image, -1, 0)


def writable_pixels(image: np.ndarray, path: Path, format_name: str) -> np.ndarray:
    """Return `image` as a plain array, or say why the format cannot hold it."""
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise ImageFormatError(
            f"write_image writes images of shape (height, width) or (height, width, channels) with at least "
            f"one pixel. Got the shape {pixels.shape} instead for {path}; write one image at a time."
        )
    allowed = _DTYPES[format_name]
    if pixels.dtype.name not in allowed:
        raise ImageFormatError(
            f"write_image writes {format_name.upper()} pixels of the types {', '.join(allowed)}. "
            f"Got {pixels.dtype.name} instead for {path}; convert them with astype or use another format."
        )
    check_channels(1 if pixels.ndim == 2 else pixels.shape[2], path, format_name, "write_image")
    return pixels
