"""Reading and writing of linear images: FITS, XISF and TIFF, pixels and metadata unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skbgopt._atomic import replacing
from skbgopt.io._errors import ImageFormatError
from skbgopt.io._formats import format_of_content, format_of_suffix
from skbgopt.io._metadata import ImageMetadata, StoredImage

if TYPE_CHECKING:
    import os

    import numpy as np

__all__ = ["ImageFormatError", "ImageMetadata", "StoredImage", "open_image", "read_image", "write_image"]


def read_image(path: str | os.PathLike[str], *, hdu: int | str | None = None) -> tuple[np.ndarray, ImageMetadata]:
    """Read the image of a FITS, XISF or TIFF file.

    The format is recognised by the file's content, whatever its suffix.

    Parameters
    ----------
    path : str or path-like
        The file. FITS may be gzipped or tile-compressed.
    hdu : int or str, default=None
        FITS only: number or name of the HDU to read. The first HDU that holds an image by default.

    Returns
    -------
    image : ndarray of shape (height, width) or (height, width, channels)
        The pixels as stored: row 0 is the first row of the file, integers stay integers, in native byte
        order, writable and C-contiguous. FITS integers with BSCALE are scaled to float32 (float64 from 32
        bits on), and those that equal BLANK are NaN. A single channel has no axis. Of an XISF or a TIFF
        file with several images the first one is read.
    metadata : ImageMetadata
        What `write_image` needs to write an image with the same header, layout and properties.

    Raises
    ------
    ImageFormatError
        If the file holds no image that this function can read.

    Warns
    -----
    UserWarning
        Names what of the file `write_image` will not keep: other HDUs and images, cards that break the standard,
        tags that are unknown. Also if a TIFF file looks encoded for display.

    Notes
    -----
    A FITS cube ``(n, height, width)`` has n channels. It is taken for ``(height, width, 3)`` only if its
    fastest axis has length 3 and its slowest one more than 4.
    """
    return open_image(path, hdu=hdu).read()


def open_image(path: str | os.PathLike[str], *, hdu: int | str | None = None) -> StoredImage:
    """Find the image of a file and check its size, but read no pixel.

    Parameters and errors are those of `read_image`.

    Returns
    -------
    StoredImage
        Its shape and metadata, ``read()``, and where the file allows it ``copy_to(array)``, which reads in bands.
    """
    path = Path(path)
    file_format = format_of_content(path)
    if hdu is not None and file_format.name != "fits":
        raise ImageFormatError(
            f"The 'hdu' parameter of read_image is for FITS files only. "
            f"{path} is {file_format.name.upper()}; leave hdu=None."
        )
    options = {"hdu": hdu} if file_format.name == "fits" else {}
    return getattr(import_module(file_format.module), f"open_{file_format.name}")(path, **options)


def write_image(
    path: str | os.PathLike[str],
    image: np.ndarray,
    metadata: ImageMetadata | None = None,
    *,
    overwrite: bool = False,
    compress: bool = False,
    history: Iterable[str] = (),
    cards: Mapping[str, Any] | None = None,
) -> None:
    """Write an image, with the metadata of the file it comes from, in the format that the suffix names.

    Rows are never flipped, so that the WCS and a Bayer pattern mean the same pixels in every format, and
    cards that describe only the storage (BITPIX, BSCALE, BZERO, BLANK) are written anew. Check sums are left out.

    The file appears complete or not at all: it is written under a temporary name in the same directory and
    then takes the place of `path`. If that is a symbolic link, it stays and the file behind it is replaced.

    Parameters
    ----------
    path : str or path-like
        Ends with .fits, .fit, .fts (these also with .fz: tile-compressed, or .gz), .xisf, .tif or .tiff.
    image : ndarray of shape (height, width) or (height, width, channels)
        The pixels, written with the dtype they have and never rescaled. FITS holds any number of channels
        and integers of any size; XISF and TIFF hold 1 or 3 channels; XISF holds no signed integers. Of a
        masked array the data is written, not the mask.
    metadata : ImageMetadata, default=None
        As `read_image` returned it, also from a file of another format. It is not changed.
    overwrite : bool, default=False
        Whether an existing file may be replaced.
    compress : bool, default=False
        Lossless compression: tiles in FITS (RICE_1 for integers, GZIP_2 for floats), lz4hc with byte
        shuffling in XISF, deflate in TIFF. FITS images that were read from tiles are always compressed.
    history : iterable of str, default=()
        Lines to add as HISTORY. What is not ASCII is written as backslash escapes.
    cards : mapping of str to value or (value, comment), default=None
        FITS cards to set: keywords of at most 8 letters, digits, "-" or "_"; values are str, bool, int,
        finite float or None.

    Raises
    ------
    ImageFormatError
        If the suffix is unknown or the format cannot hold this image.
    TypeError
        If `metadata` is something else.
    FileExistsError
        If the file exists and `overwrite` is False.

    Warns
    -----
    UserWarning
        Names what of the metadata the format cannot hold.
    """
    path = Path(path)
    file_format = format_of_suffix(path)
    pixels = import_module("skbgopt.io._layout").writable_pixels(image, path, file_format.name)
    extra = import_module("skbgopt.io._cards").cards_to_add(history, cards or {})
    metadata = ImageMetadata(format=file_format.name) if metadata is None else metadata
    if not isinstance(metadata, ImageMetadata):
        raise TypeError(
            f"The 'metadata' parameter of write_image must be an ImageMetadata or None. "
            f"Got {type(metadata).__name__} instead; pass what read_image returned."
        )
    write = getattr(import_module(file_format.module), f"write_{file_format.name}")
    import_module("skbgopt.io._convert").warn_of_losses(metadata, file_format.name)
    with replacing(path, overwrite=overwrite) as temporary:
        write(temporary, pixels, metadata, extra, compress=compress)
