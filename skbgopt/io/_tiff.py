"""TIFF: gray and RGB pages; FITS cards live in the image description, below a line that marks them."""

from __future__ import annotations

import logging
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from astropy.io import fits

from skbgopt.io._cards import merge, repaired
from skbgopt.io._convert import append_cards, fits_header
from skbgopt.io._errors import ImageFormatError, check_declared_size, decoding
from skbgopt.io._layout import check_channels, check_shape, native
from skbgopt.io._metadata import ImageMetadata, Layout, StoredImage, TiffTags, bayer_pattern_or_none

# Not the Astro-TIFF convention, whose rows are flipped against those of its FITS header: ours are in the
# same order, so that the WCS holds.
_MARK = "FITS cards, pixels in the same row order:"
_LAYOUTS: dict[str, Layout] = {"YX": "HW", "YXS": "HWC", "SYX": "CHW"}
_PHOTOMETRICS = ("MINISBLACK", "RGB", "CFA", "LINEAR_RAW")
_DISPLAY_PROFILES = (b"sRGB", b"Adobe RGB", b"AdobeRGB", b"Display P3", b"ProPhoto")
_ORIENTATION_TAG, _SHORT = 274, 3

# What is wrong with a file is an error or nothing; without a handler Python prints tifffile's notes on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> StoredImage:
    """Find the page of a TIFF file, of several images the first."""
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        page = _checked_page(tiff, path)
        shape = _as_image(np.broadcast_to(0, page.shape), page.axes).shape
        metadata = ImageMetadata(format="tiff", dtype=np.dtype(page.dtype), layout=_LAYOUTS[page.axes])
    return StoredImage(path, shape, metadata, partial(_read_page, path))


def _read_page(path: Path) -> tuple[np.ndarray, ImageMetadata]:
    with decoding(path, "TIFF"):
        with tifffile.TiffFile(path) as tiff:
            page = _checked_page(tiff, path)
            stored = page.asarray()
            image = native(_as_image(stored, page.axes))
            # tifffile notes the shape of its own arrays there, which the next writer may change.
            description = "" if page.is_shaped else str(page.description)
            tags = TiffTags(
                icc_profile=page.iccprofile,
                orientation=page.tags.valueof(_ORIENTATION_TAG),
            )
        _warn_of_display_encoding(path, image, tags.icc_profile)
        tags.description, marked, cards = description.partition(_MARK)
        tags.description = tags.description.rstrip("\n")
        header = repaired(fits.Header.fromstring(cards.lstrip("\n"), sep="\n"), path) if marked else None
    metadata = ImageMetadata(
        format="tiff",
        dtype=image.dtype,
        # Found in Astro-TIFF descriptions as well as below our mark.
        bayer_pattern=bayer_pattern_or_none(*re.findall(r"^BAYERPAT=\s*'(\w+)", description, re.MULTILINE)),
        layout=_LAYOUTS[page.axes],
        header=header,
        tiff=tags,
    )
    return image, metadata


def _warn_of_display_encoding(path: Path, image: np.ndarray, profile: bytes | None) -> None:
    # The names of profiles are ASCII or UTF-16.
    names = (profile or b"").replace(b"\0", b"")
    named = next((name for name in _DISPLAY_PROFILES if name in names), None)
    colour_bytes = image.ndim == 3 and image.dtype == np.uint8
    if named or colour_bytes:
        why = f"its colour profile is {named.decode()}" if named else "its colours have 8 bits"
        warnings.warn(
            f"{path} looks encoded for display, not linear: {why}. A background adds up in linear images only.",
            stacklevel=2,
        )


def _as_image(stored: np.ndarray, axes: str) -> np.ndarray:
    image = np.moveaxis(stored, 0, -1) if axes == "SYX" else stored
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _checked_page(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    if not tiff.series:
        raise ImageFormatError(f"read_image found no image in {path}; save it again with its pixels.")
    page = tiff.pages.first
    _check_page(page, len(tiff.series[0].pages), path)
    return page


def _check_page(page: tifffile.TiffPage, n_pages: int, path: Path) -> None:
    if n_pages > 1:
        raise ImageFormatError(
            f"read_image reads TIFF files with one page per image. {path} is a stack of {n_pages} pages; "
            f"save each as a file of its own."
        )
    check_shape(page.shape, path)
    check_channels(page.samplesperpixel, path, "tiff", "read_image")
    photometric = getattr(page.photometric, "name", str(page.photometric))
    dtype = np.dtype(page.dtype) if page.dtype is not None else None
    if photometric not in _PHOTOMETRICS or dtype is None or dtype.kind not in "iuf" or len(page.shape) < 2:
        raise ImageFormatError(
            f"read_image reads gray and RGB TIFF pixels that are integers or floats. {path} holds "
            f"{photometric} pixels of type {dtype}; convert it."
        )
    ends = (start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True))
    check_declared_size(path, max(ends, default=0), path.stat().st_size)
    plain = page.compression == tifffile.COMPRESSION.NONE
    check_declared_size(path, page.nbytes, sum(page.databytecounts) if plain else None)


def write_tiff(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write one page, planar if it was read from planes."""
    tags = metadata.tiff or TiffTags()
    planar = image.ndim == 3 and image.shape[2] == 3 and metadata.format == "tiff" and metadata.layout == "CHW"
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    orientation = [] if tags.orientation is None else [(_ORIENTATION_TAG, _SHORT, 1, int(tags.orientation), True)]
    tifffile.imwrite(
        path,
        np.ascontiguousarray(np.moveaxis(pixels, -1, 0) if planar else pixels),
        photometric="rgb" if pixels.ndim == 3 else "minisblack",
        planarconfig=("separate" if planar else "contig") if pixels.ndim == 3 else None,
        compression="zlib" if compress else None,
        # Differences of neighbours compress integers well and floats not at all.
        predictor=compress and pixels.dtype.kind in "iu",
        description=_description(metadata, tags, extra).encode(),
        software="skbgopt",
        iccprofile=tags.icc_profile,
        extratags=orientation,
        metadata=None,
    )


def _description(metadata: ImageMetadata, tags: TiffTags, extra: fits.Header) -> str:
    header = fits.Header()
    if metadata.tiff is None:
        header = fits_header(metadata)
    elif metadata.header is not None:
        append_cards(header, metadata.header)
    merge(header, extra)
    if not len(header):
        return tags.description
    cards = header.tostring(sep="\n", endcard=False, padding=False)
    return f"{tags.description}\n{_MARK}\n{cards}".lstrip("\n")
