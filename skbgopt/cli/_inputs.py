"""What `skbgopt remove` reads: the image and its weights, as the estimator takes them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skbgopt._validation import work_dtype
from skbgopt.cli._mosaic import check_mosaic, join_mosaic, split_mosaic
from skbgopt.io import ImageMetadata, StoredImage, open_image

# Resident memory of the program with its libraries and of a fit to blocks of 8 x 8, at the largest.
_PROGRAM = 550 * 2**20
# Bytes that a fit holds for each block, and for each channel of one besides.
_BLOCK, _BLOCK_CHANNEL = 150, 110
# Figures of a page.
_PAGE = 200 * 2**20
# The report's medians look at the floats of one channel at a time, and copy them.
_CHANNELS_COPIED = 3
# Images held at once where an image is not worked on in its file: the result, the model, and what a writer makes.
_RESULTS_HELD, _COMPRESSED_HELD = 3, 5
# What the readers hold of the decoded image at once, at most.
_INPUTS_HELD = 3
# Copies of what lies beside the pixels, such as the properties of XISF, as text and in the headers of the results.
_BESIDE_HELD = 8


@dataclass(frozen=True)
class InputFrame:
    """An image as it is fitted.

    Attributes
    ----------
    pixels : ndarray
        The image; of a raw mosaic the four colour planes, shape (height / 2, width / 2, 4).
    weights : ndarray or None
        In [0, 1], 1 = use; of `pixels`' height and width.
    bayer_pattern : str or None
        That of a raw mosaic.
    """

    pixels: np.ndarray
    weights: np.ndarray | None
    bayer_pattern: str | None

    def as_in_file(self, image: np.ndarray) -> np.ndarray:
        """Arrange an image of `pixels`' shape as the file's."""
        return image if self.bayer_pattern is None else join_mosaic(image)


def open_input(path: Path, hdu: int | str | None = None) -> StoredImage:
    """Find the image of a file without reading its pixels."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is no regular file: give an image file.")
    return open_image(path, hdu=hdu)


def stamps_of(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return what changes when a file is written to: its size and time."""
    return {path: (status.st_size, status.st_mtime_ns) for path in paths for status in [os.stat(path)]}


def check_unchanged(stamps: dict[Path, tuple[int, int]]) -> None:
    """Raise ValueError if a file is no longer what it was when its stamp was taken."""
    for path, stamp in stamps_of(stamps).items():
        if stamp != stamps[path]:
            raise ValueError(f"{path} was changed while it was read: run again when it is complete.")


def result_dtype(source: StoredImage) -> np.dtype:
    """Return the type of the results: float64 for float64 and integers of more than 16 bits, else float32."""
    assert source.metadata.dtype is not None
    return np.dtype(work_dtype(source.metadata.dtype))


def make_frame(image: np.ndarray, metadata: ImageMetadata, mask: StoredImage | None) -> InputFrame:
    """Join an image and, if there is one, its mask; split a raw mosaic."""
    pattern = metadata.bayer_pattern if image.ndim == 2 else None
    if pattern is not None:
        check_mosaic(image.shape, pattern)
    weights = None if mask is None else _read_weights(mask, image.shape)
    if pattern is not None:
        image = split_mosaic(image)
        weights = None if weights is None else split_mosaic(weights)
    return InputFrame(image, weights, pattern)


def check_memory(
    source: StoredImage,
    mask: StoredImage | None,
    limit: int | None,
    *,
    in_bands: bool,
    compress: bool,
    page: bool = False,
    block: int | None = None,
) -> None:
    """Refuse an image that needs more memory than `limit` bytes, before any of it is read.

    A page of it shows the image as a whole. A fit is to blocks of so many pixels on a side.

    Raises
    ------
    ValueError
        If it needs more.
    """
    if limit is None:
        return
    pixels = math.prod(source.shape) * result_dtype(source).itemsize
    n_channels = source.shape[2] if len(source.shape) == 3 else 1
    held = _CHANNELS_COPIED * pixels / n_channels
    if block is not None:
        n_blocks = math.ceil(source.shape[0] / block) * math.ceil(source.shape[1] / block)
        held = max(held, n_blocks * (_BLOCK + _BLOCK_CHANNEL * n_channels))
    if page or not in_bands:
        results = (_COMPRESSED_HELD if compress else _RESULTS_HELD) * pixels
        held = max(_INPUTS_HELD * source.nbytes, source.nbytes + pixels + held, results)
    held += _BESIDE_HELD * source.nbytes_beside
    if mask is not None:
        held += _INPUTS_HELD * mask.nbytes + _BESIDE_HELD * mask.nbytes_beside
    needed = _PROGRAM + page * _PAGE + round(held)
    if needed > limit:
        way_out = "allow more" if in_bands else "allow more, or use uncompressed FITS, which is worked on in bands"
        way_out = "allow more, or leave out --report" if page else way_out
        raise ValueError(
            f"{source.path} needs {size_text(needed)} of memory, --max-memory allows {size_text(limit)}: {way_out}."
        )


def size_text(nbytes: float) -> str:
    """Return a number of bytes as people say it, rounded up."""
    unit, name = (1e9, "GB") if nbytes >= 1e9 else (1e6, "MB")
    return f"{math.ceil(10 * nbytes / unit) / 10:g} {name}"


def _read_weights(stored: StoredImage, shape: tuple[int, ...]) -> np.ndarray:
    path, channels = stored.path, stored.shape[2:]
    if stored.shape[:2] != shape[:2] or (channels and len(shape) == 3 and channels != shape[2:]):
        raise ValueError(
            f"A mask must have the image's height and width and one channel or as many as the image, "
            f"{_size(shape)}, but {path} has {_size(stored.shape)}: make it from this image."
        )
    weights = _zero_to_one(*stored.read(), path)
    # In double precision the mean of equal channels is what each of them is.
    return weights.mean(axis=2, dtype=float).astype(weights.dtype) if channels and len(shape) == 2 else weights


def _zero_to_one(mask: np.ndarray, metadata: ImageMetadata, path: Path) -> np.ndarray:
    bounds = None if metadata.xisf is None else metadata.xisf.bounds
    if mask.dtype.kind == "f" and mask.max() > 1 and bounds is not None and bounds[0] < bounds[1]:
        # XISF says what is black and what is white.
        mask = (mask - mask.dtype.type(bounds[0])) / mask.dtype.type(bounds[1] - bounds[0])
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
