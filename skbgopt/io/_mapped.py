"""Images that are made part by part; plain FITS in the mapped file itself, so that they may be larger than memory."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

from skbgopt._atomic import replacing
from skbgopt.io import write_image
from skbgopt.io._cards import append_all, cards_to_add, filled
from skbgopt.io._convert import warn_of_losses
from skbgopt.io._fits import header_to_write, is_packed
from skbgopt.io._formats import format_of_suffix
from skbgopt.io._layout import file_layout, from_file_axes_view, to_file_axes, writable_pixels
from skbgopt.io._metadata import ImageMetadata

_BLOCK = 2880
_map = mmap.mmap
_ZEROS_AT_ONCE = 1 << 20
_SECONDS_BETWEEN_DROPS = 0.005
# Where the file system cannot reserve room, or where a file cannot be mapped.
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)


@dataclass
class NewImage:
    """An image that is being made.

    Attributes
    ----------
    pixels : ndarray of shape (height, width) or (height, width, channels)
        To be filled; 0 to begin with. In the byte order of FITS where they lie in the file.
    history, cards
        As in `write_image`. They may be set until the image is complete, as long as their number stays.
    """

    pixels: np.ndarray
    history: Iterable[str] = ()
    cards: Mapping[str, Any] = field(default_factory=dict)


def is_mapped(path: Path, dtype: np.dtype, metadata: ImageMetadata, *, compress: bool) -> bool:
    """Whether `create_image` makes this image in its file: floats in FITS that is neither gzipped nor tiled."""
    return (
        format_of_suffix(path).name == "fits"
        and not any(is_packed(path, metadata, compress))
        and dtype.name in ("float32", "float64")
    )


@contextmanager
def create_image(
    path: str | os.PathLike[str],
    shape: tuple[int, ...],
    dtype: np.dtype | type,
    metadata: ImageMetadata | None = None,
    *,
    overwrite: bool = False,
    compress: bool = False,
    history: Iterable[str] = (),
    cards: Mapping[str, Any] | None = None,
) -> Iterator[NewImage]:
    """Make an image part by part; `write_image` for images that may be larger than memory.

    The file appears under its name when the block ends without an error. Floats in uncompressed FITS lie in the
    file from the beginning, at its full size; other images lie in memory until then.

    Parameters
    ----------
    path : str or path-like
        Its suffix names the format.
    shape : tuple of int
        (height, width) or (height, width, channels).
    dtype : numpy.dtype
        Of the pixels.
    metadata, overwrite, compress, history, cards
        As in `write_image`.

    Yields
    ------
    NewImage

    Raises
    ------
    ImageFormatError
        If the format cannot hold the image.
    OSError
        If there is no room for the file.
    """
    path, dtype = Path(path), np.dtype(dtype)
    metadata = ImageMetadata(format="fits") if metadata is None else metadata
    writable_pixels(_likeness(shape, dtype), path, format_of_suffix(path).name)
    if is_mapped(path, dtype, metadata, compress=compress):
        warn_of_losses(metadata, "fits")
        image = NewImage(_likeness(shape, dtype.newbyteorder(">")), history, cards or {})
        with replacing(path, overwrite=overwrite) as temporary, _in_file(temporary, image, metadata):
            yield image
    else:
        image = NewImage(np.zeros(shape, dtype), history, cards or {})
        yield image
        write_image(
            path,
            image.pixels,
            metadata,
            overwrite=overwrite,
            compress=compress,
            history=image.history,
            cards=image.cards,
        )


@contextmanager
def _in_file(path: Path, image: NewImage, metadata: ImageMetadata) -> Iterator[None]:
    likeness = to_file_axes(image.pixels, metadata.fits_layout)
    with open(path, "r+b") as file:
        room = len(_header(likeness, metadata, image).tostring())
        size = room + likeness.nbytes + -likeness.nbytes % _BLOCK
        _reserve(file, size)
        buffer = _mapped(file, size)
        stored = np.frombuffer(buffer, likeness.dtype, likeness.size, room).reshape(likeness.shape)
        image.pixels = from_file_axes_view(stored, file_layout(image.pixels.shape, metadata.fits_layout))
        with _dropping(buffer):
            yield
            buffer[:room] = filled(_header(likeness, metadata, image), room)
        if isinstance(buffer, mmap.mmap):
            buffer.flush()
        else:
            file.write(buffer)


def _likeness(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array of a shape and type that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _header(likeness: np.ndarray, metadata: ImageMetadata, image: NewImage) -> fits.Header:
    hdu = fits.PrimaryHDU(likeness)
    append_all(hdu.header, header_to_write(metadata, image.pixels, cards_to_add(image.history, image.cards)))
    hdu.verify("silentfix")
    return hdu.header


def _reserve(file: BinaryIO, size: int) -> None:
    """Give the file its size and all its room: on a full disk a mapping without room kills the process."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NOT_SUPPORTED:
            raise
        for start in range(0, size, _ZEROS_AT_ONCE):
            file.write(bytes(min(_ZEROS_AT_ONCE, size - start)))
        file.flush()
        file.seek(0)


def _mapped(file: BinaryIO, size: int) -> mmap.mmap | bytearray:
    """Map the file; where a file system cannot, its content is kept in memory."""
    try:
        return _map(file.fileno(), size)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        return bytearray(size)


@contextmanager
def _dropping(buffer: mmap.mmap | bytearray) -> Iterator[None]:
    """Take the resident pages of a mapping from the process again and again.

    Nothing is lost, they are the file's. Who works on the pixels reads and writes them in an order that is not
    known here, so the clock decides when.
    """
    if not (isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED")):
        yield
        return
    done = threading.Event()

    def drop() -> None:
        while not done.wait(_SECONDS_BETWEEN_DROPS):
            buffer.madvise(mmap.MADV_DONTNEED)

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
