"""TIFF: gray and RGB pages; FITS cards live in the image description, below a line that marks them."""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from astropy.io import fits

from skbgopt.io._cards import merge, repaired
from skbgopt.io._convert import KEPT_TAGS, add_bayer_pattern, append_cards, fits_header, tiff_tags
from skbgopt.io._display import display_encoding
from skbgopt.io._errors import DEFLATE_RATIO, ZSTD_RATIO, ImageFormatError, check_declared_size, decoding
from skbgopt.io._layout import check_channels, check_shape, native
from skbgopt.io._metadata import ImageMetadata, Layout, StoredImage, TiffTags, bayer_pattern_of

# Not the Astro-TIFF convention, whose rows are flipped against those of its FITS header: ours are in the
# same order, so that the WCS holds.
_MARK = "FITS cards, pixels in the same row order:"
_LAYOUTS: dict[str, Layout] = {"YX": "HW", "YXS": "HWC", "SYX": "CHW"}
_PHOTOMETRICS = ("MINISBLACK", "RGB", "CFA", "LINEAR_RAW")
# The lossless ones whose decoders keep to the size of the page; those of pictures may unpack far more.
_COMPRESSIONS = ("NONE", "LZW", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "ZSTD", "LZMA")
_ORIENTATION, _SHORT, _ASCII, _BYTES = 274, 3, 2, (1, 7)
_RESOLUTIONS = (282, 283, 296)
_CFA_PATTERN = 33422
_MOST_PAGES = 1000
_BYTE_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
# They describe how the pixels were stored, or are read above or written anew: what is lost of others is named.
_DESCRIBING = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 270, 273, 277, 278, 279, 280, 281, 284, 305, 317),
    *(322, 323, 324, 325, 332, 338, 339, 340, 341, 34675, 33421),
    *(_ORIENTATION, *_RESOLUTIONS, _CFA_PATTERN),
}

# What is wrong with a file is an error or nothing; without a handler Python prints tifffile's notes on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> StoredImage:
    """Find the page of a TIFF file, of several images the first."""
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        page = _checked_page(tiff, path)
        shape = _as_image(np.broadcast_to(0, page.shape), page.axes).shape
        metadata = ImageMetadata(format="tiff", dtype=np.dtype(page.dtype), layout=_LAYOUTS[page.axes])
        beside = max(path.stat().st_size - sum(page.databytecounts), 0)
        card = _text_cards(str(page.description)).get
    return StoredImage(path, shape, metadata, partial(_read_page, path), card, nbytes_beside=beside)


def _read_page(path: Path) -> tuple[np.ndarray, ImageMetadata]:
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        page = _checked_page(tiff, path)
        image = native(_as_image(page.asarray(), page.axes))
        # tifffile notes the shape of its own arrays there, which the next writer may change.
        description = "" if page.is_shaped else str(page.description)
        tags, lost = _kept_tags(page)
        tags.description, marked, cards = description.partition(_MARK)
        tags.description = tags.description.rstrip("\n")
        header = repaired(fits.Header.fromstring(cards.lstrip("\n"), sep="\n"), path) if marked else None
        pattern = _bayer_pattern(page, description, path)
        n_more = max(len(tiff.series), len(tiff.pages)) - 1
    lost += [f"{n_more} more image{'s' * (n_more > 1)}"] * (n_more > 0)
    if lost:
        warnings.warn(f"{path}: parts of a TIFF file that write_image will not keep: {', '.join(lost)}.", stacklevel=2)
    why = display_encoding(image, tags.icc_profile)
    if why is not None:
        warnings.warn(
            f"{path} looks encoded for display, not linear: {why}. A background adds up in linear images only.",
            stacklevel=2,
        )
    metadata = ImageMetadata(
        format="tiff",
        dtype=image.dtype,
        bayer_pattern=pattern,
        layout=_LAYOUTS[page.axes],
        header=header,
        tiff=tags,
    )
    return image, metadata


def _kept_tags(page: tifffile.TiffPage) -> tuple[TiffTags, list[str]]:
    """Return what is written again, but for the description, and the names of the tags that are not."""
    tags = TiffTags(icc_profile=page.iccprofile, orientation=page.tags.valueof(_ORIENTATION))
    lost = []
    for tag in page.tags:
        value = tag.value.encode() if isinstance(tag.value, str) else tag.value
        if tag.code in KEPT_TAGS and isinstance(value, bytes) and int(tag.dtype) in (_ASCII, *_BYTES):
            tags.others.append((tag.code, int(tag.dtype), value))
        elif tag.code not in _DESCRIBING:
            lost.append(tag.name)
    values = [page.tags.valueof(code) for code in _RESOLUTIONS]
    if all(isinstance(value, tuple) and len(value) == 2 and min(value) > 0 for value in values[:2]):
        horizontal, vertical = (numerator / denominator for numerator, denominator in values[:2])
        # What tifffile writes if it is not told better.
        unit = values[2] if values[2] in (1, 3) else 2
        if (horizontal, vertical, unit) != (1, 1, 1):
            tags.resolution = horizontal, vertical, int(unit)
    return tags, lost


def _text_cards(description: str) -> dict[str, str]:
    """Return the cards that are texts, of Astro-TIFF descriptions as well as below our mark."""
    return {name: text.rstrip() for name, text in re.findall(r"^(\w+) *=\s*'([^'\n]*)'", description, re.MULTILINE)}


def _bayer_pattern(page: tifffile.TiffPage, description: str, path: Path) -> str | None:
    colours = page.tags.valueof(_CFA_PATTERN)
    array = "".join("RGBCMYW"[colour] for colour in colours if colour < 7) if isinstance(colours, bytes) else None
    pattern = bayer_pattern_of(_text_cards(description).get, array, path=path)
    if pattern is None and page.photometric == tifffile.PHOTOMETRIC.CFA:
        raise ImageFormatError(
            f"read_image needs to know the pattern of a colour filter array. {path} is a raw mosaic that does not "
            f"name it; convert it to FITS with BAYERPAT, or debayer it."
        )
    return pattern


def _as_image(stored: np.ndarray, axes: str) -> np.ndarray:
    image = np.moveaxis(stored, 0, -1) if axes == "SYX" else stored
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _checked_page(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    _check_chain(tiff, path)
    if not tiff.series:
        raise ImageFormatError(f"read_image found no image in {path}; save it again with its pixels.")
    page = tiff.pages.first
    _check_page(page, len(tiff.series[0].pages), path)
    return page


def _check_chain(tiff: tifffile.TiffFile, path: Path) -> None:
    """Refuse pages that lead from one to the other in a circle, which tifffile would follow for ever."""
    form, places = tiff.tiff, list[int]()
    place = tiff.pages.first.offset
    with open(path, "rb") as file:
        while 0 < place < path.stat().st_size:
            if place in places or len(places) == _MOST_PAGES:
                raise ValueError(f"its pages go round in a circle, or are more than {_MOST_PAGES}")
            places.append(place)
            file.seek(place)
            n_tags = int.from_bytes(file.read(form.tagnosize), _BYTE_ORDERS[form.byteorder])
            file.seek(n_tags * form.tagsize, os.SEEK_CUR)
            place = int.from_bytes(file.read(form.offsetsize), _BYTE_ORDERS[form.byteorder])


def _check_page(page: tifffile.TiffPage, n_pages: int, path: Path) -> None:
    if n_pages > 1:
        raise ImageFormatError(
            f"read_image reads TIFF files with one page per image. {path} is a stack of {n_pages} pages; "
            f"save each as a file of its own."
        )
    if page.is_reduced:
        raise ImageFormatError(
            f"read_image reads the first image of a TIFF file. That of {path} is a thumbnail; save the image alone."
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
    compression = getattr(page.compression, "name", str(page.compression))
    if compression not in _COMPRESSIONS:
        raise ImageFormatError(
            f"read_image reads TIFF files that are not compressed or by one of {', '.join(_COMPRESSIONS[1:])}. "
            f"{path} is by {compression}; save it without."
        )
    ends = (start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True))
    check_declared_size(path, max(ends, default=0), path.stat().st_size)
    ratio = {"NONE": 1, "ZSTD": ZSTD_RATIO, "LZMA": ZSTD_RATIO}.get(compression, 2 * DEFLATE_RATIO)
    # Samples of 12 or 14 bits are packed.
    bits = int(page.bitspersample)
    declared = page.nbytes * bits // (8 * dtype.itemsize)
    # Parts of a page may lie at the same place.
    check_declared_size(path, declared, min(sum(page.databytecounts), path.stat().st_size), ratio)
    if page.is_tiled:
        # A tile is unpacked whole, and may reach far beyond the page.
        check_declared_size(path, math.prod(page.chunks) * bits // 8, max(page.databytecounts), ratio)


def write_tiff(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write one page, planar if it was read from planes."""
    tags = tiff_tags(metadata)
    planar = image.ndim == 3 and image.shape[2] == 3 and metadata.format == "tiff" and metadata.layout == "CHW"
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    extratags: list[tuple[int, int, int, bytes | int, bool]] = [
        (code, kind, len(value), value, True) for code, kind, value in tags.others
    ]
    if tags.orientation is not None:
        extratags.append((_ORIENTATION, _SHORT, 1, int(tags.orientation), True))
    horizontal, vertical, unit = tags.resolution or (1, 1, 1)
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
        resolution=(horizontal, vertical),
        resolutionunit=unit,
        extratags=extratags,
        metadata=None,
    )


def _description(metadata: ImageMetadata, tags: TiffTags, extra: fits.Header) -> str:
    header = fits.Header()
    if metadata.tiff is None:
        header = fits_header(metadata)
    elif metadata.header is not None:
        append_cards(header, metadata.header)
    # That of a raw TIFF file stands in a tag.
    if "BAYERPAT" not in tags.description:
        add_bayer_pattern(header, metadata)
    merge(header, extra)
    if not len(header):
        return tags.description
    cards = header.tostring(sep="\n", endcard=False, padding=False)
    return f"{tags.description}\n{_MARK}\n{cards}".lstrip("\n")
