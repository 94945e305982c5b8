"""FITS: astropy reads and writes; what its defaults would change is kept here."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skbgopt.io._cards import merge, repaired
from skbgopt.io._convert import fits_header, inherit_cards
from skbgopt.io._errors import ImageFormatError, check_counts, check_declared_size, decoding
from skbgopt.io._layout import check_shape, from_file_axes, from_file_axes_view, layout_of, to_file_axes
from skbgopt.io._metadata import ImageMetadata, StoredImage, bayer_pattern_or_none

# To copy or look at large images in parts.
_PIXELS_AT_ONCE = 1 << 20
_BLOCK = 2880


def open_fits(path: Path, *, hdu: int | str | None = None) -> StoredImage:
    """Find one image HDU, by default the first that holds pixels, and read its header."""
    with decoding(path, "FITS"), _opened(path) as hdus:
        number = _find_image(hdus, hdu, path)
        chosen = hdus[number]
        compressed = isinstance(chosen, fits.CompImageHDU)
        stored_shape = tuple(chosen.shape)
        start = _check_pixels(chosen, path, compressed)
        header = repaired(chosen.header, path)
        if number > 0:
            inherit_cards(header, repaired(hdus[0].header, path))
        metadata = ImageMetadata(
            format="fits",
            dtype=_dtype_read(header),
            bayer_pattern=bayer_pattern_or_none(
                *(header.get(key) for key in ("BAYERPAT", "COLORTYP", "CFAPAT", "FILTER"))
            ),
            layout=layout_of(stored_shape),
            compressed=compressed,
            header=header,
        )
    copy_to = None
    if start is not None and _is_copied_exactly(header, metadata):
        copy_to = partial(_copy_pixels, path, start, metadata)
    return StoredImage(
        path=path,
        shape=from_file_axes_view(np.broadcast_to(0, stored_shape), metadata.layout).shape,
        metadata=metadata,
        read=partial(_read_pixels, path, number, stored_shape, metadata),
        copy_to=copy_to,
    )


@contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    check_counts(path, 0)
    with fits.open(path, memmap=False) as hdus:
        yield hdus


def _read_pixels(
    path: Path, index: int, stored_shape: tuple[int, ...], metadata: ImageMetadata
) -> tuple[np.ndarray, ImageMetadata]:
    assert metadata.header is not None
    with decoding(path, "FITS"):
        # astropy forgets BLANK when it makes unsigned integers of BZERO.
        stored = fits.getdata(path, index, memmap=False, uint="BLANK" not in metadata.header)
        image, _ = from_file_axes(np.asarray(stored).reshape(stored_shape))
    return image, replace(metadata, dtype=image.dtype)


def _is_copied_exactly(header: fits.Header, metadata: ImageMetadata) -> bool:
    """Whether `_copy_pixels` makes the floats of what `_read_pixels` returns."""
    assert metadata.dtype is not None
    as_stored = metadata.dtype.itemsize == abs(header["BITPIX"]) // 8
    return as_stored and (metadata.dtype.kind == "f" or metadata.dtype.itemsize <= 2)


def _copy_pixels(path: Path, start: int, metadata: ImageMetadata, pixels: np.ndarray) -> None:
    """Copy plain pixels into a float array of the image's shape that has the axes of the file, band by band."""
    assert metadata.header is not None
    bits, offset = metadata.header["BITPIX"], metadata.header.get("BZERO", 0)
    stored = np.dtype(f">{'f' if bits < 0 else 'u' if bits == 8 else 'i'}{abs(bits) // 8}")
    target = to_file_axes(pixels, metadata.layout).reshape(-1)
    with open(path, "rb") as file:
        file.seek(start)
        for first in range(0, target.size, _PIXELS_AT_ONCE):
            part = target[first : first + _PIXELS_AT_ONCE]
            content = file.read(part.size * stored.itemsize)
            check_declared_size(path, part.size * stored.itemsize, len(content))
            part[...] = np.frombuffer(content, stored)
            if offset:
                part += part.dtype.type(offset)


def _dtype_read(header: fits.Header) -> np.dtype:
    """Return the type of the pixels that astropy makes."""
    bits, scale, zero = header["BITPIX"], header.get("BSCALE", 1), header.get("BZERO", 0)
    if bits < 0 and (scale, zero) == (1, 0):
        return np.dtype(f"f{-bits // 8}")
    if bits > 0 and scale == 1 and "BLANK" not in header:
        if zero == 0 or (bits, zero) == (8, -128):
            return np.dtype(f"{'u' if bits == 8 and not zero else 'i'}{bits // 8}")
        if bits > 8 and zero == 2 ** (bits - 1):
            return np.dtype(f"u{bits // 8}")
    return np.dtype("f4" if -64 < bits <= 16 else "f8")


def _find_image(hdus: fits.HDUList, hdu: int | str | None, path: Path) -> int:
    if hdu is None:
        for index, candidate in _walked(hdus, path):
            if _holds_image(candidate):
                return index
        found, way_out = "no image", "export one with the program that made it"
    else:
        known = dict(_walked(hdus, path))
        try:
            index = hdus.index_of(hdu)
            candidate = hdus[index]
        except (KeyError, IndexError):
            found, way_out = f"no HDU {hdu!r}", "choose another hdu"
        else:
            if _holds_image(candidate):
                return index % len(known)
            found, way_out = f"no image in HDU {hdu!r}", "choose another hdu or leave hdu=None"
    contents = ", ".join(f"{index} {_describe(entry)}" for index, entry in enumerate(hdus))
    raise ImageFormatError(f"read_image found {found} in {path}, which holds {contents}; {way_out}.")


def _walked(hdus: fits.HDUList, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the HDUs with their numbers; astropy would follow negative sizes back and forth for ever."""
    end = 0
    for index in count():
        check_counts(path, end)
        try:
            hdu = hdus[index]
        except IndexError:
            return
        place = hdu.fileinfo()
        if place["hdrLoc"] < end or place["datSpan"] < 0:
            raise ValueError(f"the header of HDU {index} declares a negative size")
        end = place["datLoc"] + place["datSpan"]
        yield index, hdu


def _holds_image(hdu: Any) -> bool:
    # Random groups, an old form of tables, call themselves images.
    return bool(hdu.is_image and hdu.header.get("NAXIS", 0) > 0 and hdu.header.get("GROUPS") is not True)


def _describe(hdu: Any) -> str:
    kind = "image" if _holds_image(hdu) else "empty" if hdu.is_image else "table"
    return f"{hdu.name or 'unnamed'} ({kind})"


def _check_pixels(hdu: Any, path: Path, compressed: bool) -> int | None:
    """Refuse sizes that cannot be; return where plain pixels begin."""
    shape = tuple(hdu.shape)
    if any(type(length) is not int for length in shape):
        raise ValueError(f"the lengths of its axes are {shape}")
    check_shape(shape, path)
    if hdu.header["BITPIX"] not in (8, 16, 32, 64, -32, -64):
        raise ValueError(f"BITPIX {hdu.header['BITPIX']} is no type of pixels")
    with open(path, "rb") as file:
        plain = file.read(6) == b"SIMPLE" and not compressed
        file.seek(0)
        gzipped = file.read(2) == b"\x1f\x8b"
    place = hdu.fileinfo()
    present = None if gzipped else path.stat().st_size - place["datLoc"]
    check_declared_size(path, math.prod(shape) * abs(hdu.header["BITPIX"]) // 8, present if plain else None)
    # What is packed, less the padding that some files lack.
    check_declared_size(path, place["datSpan"] - _BLOCK, present)
    return place["datLoc"] if plain else None


def write_fits(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write an image as the primary HDU, or as tiles in HDU 1; a name that ends with .gz is gzipped."""
    gzipped, tiled = is_packed(path, metadata, compress)
    header = header_to_write(metadata, image, extra)
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


def is_packed(path: Path, metadata: ImageMetadata, compress: bool) -> tuple[bool, bool]:
    """Tell whether a FITS file is gzipped, and whether its image is written as tiles."""
    gzipped = path.suffix.lower() == ".gz"
    return gzipped, not gzipped and (compress or metadata.compressed or path.suffix.lower() == ".fz")


def header_to_write(metadata: ImageMetadata, image: np.ndarray, extra: fits.Header) -> fits.Header:
    """Return the cards of an image but the structural ones."""
    header = fits_header(metadata)
    _refresh_extremes(header, image)
    merge(header, extra)
    return header


def _tiles(stored: np.ndarray) -> fits.CompImageHDU:
    # RICE_1 knows at most 32 bits and loses bits of floats; GZIP_2 without quantisation loses none.
    rice = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4
    return fits.CompImageHDU(stored, compression_type="RICE_1" if rice else "GZIP_2", quantize_level=0)


def _refresh_extremes(header: fits.Header, image: np.ndarray) -> None:
    if "DATAMIN" not in header and "DATAMAX" not in header:
        return
    rows = max(1, _PIXELS_AT_ONCE * len(image) // image.size)
    bands = [image[start : start + rows] for start in range(0, len(image), rows)]
    finite = [values for band in bands if (values := _extremes(band)) is not None]
    for keyword, extreme, column in (("DATAMIN", min, 0), ("DATAMAX", max, 1)):
        if keyword in header:
            if finite:
                header[keyword] = extreme(values[column] for values in finite)
            else:
                del header[keyword]


def _extremes(band: np.ndarray) -> tuple[Any, Any] | None:
    finite = band[np.isfinite(band)]
    return (finite.min().item(), finite.max().item()) if finite.size else None
