"""FITS: astropy reads and writes; what its defaults would change is kept here."""

from __future__ import annotations

import copy
import gzip
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skbgopt.io._cards import merge
from skbgopt.io._convert import fits_header, inherit_cards
from skbgopt.io._errors import ImageFormatError, check_declared_size, decoding
from skbgopt.io._layout import check_shape, from_file_axes, to_file_axes
from skbgopt.io._metadata import ImageMetadata, bayer_pattern_or_none


def read_fits(path: Path, *, hdu: int | str | None = None) -> tuple[np.ndarray, ImageMetadata]:
    """Read one image HDU, by default the first that holds pixels."""
    with decoding(path, "FITS"):
        with fits.open(path, memmap=False) as hdus:
            index = _find_image(hdus, hdu, path)
            chosen = hdus[index]
            compressed = isinstance(chosen, fits.CompImageHDU)
            _check_pixels(chosen, path, compressed)
            header = _repaired(chosen.header, path)
            if index > 0:
                inherit_cards(header, _repaired(hdus[0].header, path))
        # astropy forgets BLANK when it makes unsigned integers of BZERO.
        stored = fits.getdata(path, index, memmap=False, uint="BLANK" not in header)
        image, layout = from_file_axes(np.asarray(stored))
    metadata = ImageMetadata(
        format="fits",
        dtype=image.dtype,
        bayer_pattern=bayer_pattern_or_none(*(header.get(key) for key in ("BAYERPAT", "COLORTYP", "CFAPAT", "FILTER"))),
        layout=layout,
        compressed=compressed,
        header=header,
    )
    return image, metadata


def _find_image(hdus: fits.HDUList, hdu: int | str | None, path: Path) -> int:
    if hdu is None:
        for index, candidate in enumerate(hdus):
            if _holds_image(candidate):
                return index
        found, way_out = "no image", "export one with the program that made it"
    else:
        try:
            index = hdus.index_of(hdu)
            candidate = hdus[index]
        except (KeyError, IndexError):
            found, way_out = f"no HDU {hdu!r}", "choose another hdu"
        else:
            if _holds_image(candidate):
                return index % len(hdus)
            found, way_out = f"no image in HDU {hdu!r}", "choose another hdu or leave hdu=None"
    contents = ", ".join(f"{index} {_describe(entry)}" for index, entry in enumerate(hdus))
    raise ImageFormatError(f"read_image found {found} in {path}, which holds {contents}; {way_out}.")


def _holds_image(hdu: Any) -> bool:
    # Random groups, an old form of tables, call themselves images.
    return bool(hdu.is_image and hdu.header.get("NAXIS", 0) > 0 and hdu.header.get("GROUPS") is not True)


def _describe(hdu: Any) -> str:
    kind = "image" if _holds_image(hdu) else "empty" if hdu.is_image else "table"
    return f"{hdu.name or 'unnamed'} ({kind})"


def _check_pixels(hdu: Any, path: Path, compressed: bool) -> None:
    shape = tuple(hdu.shape)
    check_shape(shape, path)
    with open(path, "rb") as file:
        plain = file.read(6) == b"SIMPLE" and not compressed
    stored = path.stat().st_size - hdu.fileinfo()["datLoc"] if plain else None
    check_declared_size(path, math.prod(shape) * abs(hdu.header["BITPIX"]) // 8, stored)


def _repaired(header: fits.Header, path: Path) -> fits.Header:
    """Copy a header card by card, so that one that cannot be read does not lose the others."""
    kept = fits.Header()
    repaired, dropped = [], []
    for card in map(copy.copy, header.cards):
        try:
            _ = card.value, card.comment
        except fits.VerifyError:
            try:
                card.verify("silentfix")
                _ = card.value, card.comment
                repaired.append(card.keyword)
            except (fits.VerifyError, ValueError):
                dropped.append(card.keyword)
                continue
        kept.append(card, end=True)
    for cards, what in ((repaired, "repaired"), (dropped, "dropped")):
        if cards:
            warnings.warn(f"{path}: {what} FITS cards that break the standard: {', '.join(cards)}.", stacklevel=2)
    return kept


def write_fits(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write an image as the primary HDU, or as tiles in HDU 1; a name that ends with .gz is gzipped."""
    gzipped = path.suffix.lower() == ".gz"
    tiled = not gzipped and (compress or metadata.compressed or path.suffix.lower() == ".fz")
    header = fits_header(metadata)
    _refresh_extremes(header, image)
    merge(header, extra)
    stored = to_file_axes(image, metadata.layout)
    # A copy in the byte order of FITS: astropy would swap the caller's own pixels and swap them back.
    stored = stored.astype(stored.dtype.newbyteorder(">"), order="C")
    hdu = _tiles(stored) if tiled else fits.PrimaryHDU(stored)
    # Appended one by one: the constructors merge repeated cards and reorder the comments.
    for card in header.cards:
        hdu.header.append(card, end=True)
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu] if tiled else [hdu])
    with open(path, "wb") as file:
        if gzipped:
            # Neither name nor time, so that the same image gives the same bytes.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=6) as packed:
                hdus.writeto(packed, output_verify="silentfix")
        else:
            hdus.writeto(file, output_verify="silentfix")


def _tiles(stored: np.ndarray) -> fits.CompImageHDU:
    # RICE_1 knows at most 32 bits and loses bits of floats; GZIP_2 without quantisation loses none.
    rice = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4
    return fits.CompImageHDU(stored, compression_type="RICE_1" if rice else "GZIP_2", quantize_level=0)


def _refresh_extremes(header: fits.Header, image: np.ndarray) -> None:
    finite = np.isfinite(image)
    for keyword, extreme in (("DATAMIN", np.min), ("DATAMAX", np.max)):
        if keyword in header:
            if finite.any():
                header[keyword] = extreme(image[finite]).item()
            else:
                del header[keyword]
