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
    layout = layout_of(stored.shape)
    return native(from_file_axes_view(stored, layout)), layout


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Tell from the shape of a FITS array which of its axes are the channels."""
    if len(shape) == 2:
        return "HW"
    if shape[0] == 1:
        return "1HW"
    return "HWC" if shape[2] == 3 and shape[0] > _MOST_PLANES_BESIDE_THREE_COLUMNS else "CHW"


def from_file_axes_view(stored: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the image of a FITS array of this layout, not copied."""
    if stored.ndim == 2 or layout == "HWC":
        return stored
    return stored[0] if layout == "1HW" else np.moveaxis(stored, 0, -1)


def file_layout(shape: tuple[int, ...], layout: Layout) -> Layout:
    """Return the layout in which an image of this shape is written: that of the file it came from, if it can be."""
    if len(shape) == 2:
        return "1HW" if layout == "1HW" else "HW"
    interleaved = layout == "HWC" and shape[2] == 3 and shape[0] > _MOST_PLANES_BESIDE_THREE_COLUMNS
    return "HWC" if interleaved else "CHW"


def to_file_axes(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Return an image as a FITS array of `file_layout`, not copied."""
    layout = file_layout(image.shape, layout)
    if layout == "1HW":
        return image[np.newaxis]
    return np.moveaxis(image, -1, 0) if layout == "CHW" else image


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
