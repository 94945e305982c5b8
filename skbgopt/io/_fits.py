"""FITS: astropy reads and writes; what its defaults would change is kept here."""

from __future__ import annotations

import gzip
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skbgopt.io._cards import append_all, merge, repaired
from skbgopt.io._convert import fits_header, inherit_cards
from skbgopt.io._errors import (
    DEFLATE_RATIO,
    RUNS_RATIO,
    ImageFormatError,
    check_declared_size,
    decoding,
    header_checks,
)
from skbgopt.io._layout import check_shape, from_file_axes, from_file_axes_view, layout_of, to_file_axes
from skbgopt.io._metadata import ImageMetadata, StoredImage, bayer_pattern_of
from skbgopt.io._tiles import write_tiles

# To copy or look at large images in parts.
_PIXELS_AT_ONCE = 1 << 20
_BLOCK = 2880
_MOST_DESCRIBED = 20


def open_fits(path: Path, *, hdu: int | str | None = None) -> StoredImage:
    """Find one image HDU, by default the first that holds pixels, and read its header."""
    with decoding(path, "FITS"), _opened(path) as (hdus, walk):
        number, passed = _find_image(walk, hdu, path)
        chosen = passed[number]
        compressed = isinstance(chosen, fits.CompImageHDU)
        stored_shape = tuple(chosen.shape)
        start = _check_pixels(chosen, path, compressed)
        header = repaired(chosen.header, path)
        _check_scale(chosen.header, header)
        if number > 0:
            inherit_cards(header, repaired(hdus[0].header, path))
        _warn_of_others(number, chain(passed, walk), path)
        metadata = ImageMetadata(
            format="fits",
            dtype=_dtype_read(header),
            bayer_pattern=bayer_pattern_of(header.get, path=path),
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
        card=header.get,
        copy_to=copy_to,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[fits.HDUList, Iterator[Any]]]:
    """Open a file; yields its HDUs and a walk along them that looks at each header first."""
    with header_checks(path) as check:
        check(0)
        with fits.open(path, memmap=False) as hdus:
            yield hdus, _walk(hdus, check)


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
    bits, dtype = header["BITPIX"], metadata.dtype
    # Integers that are read as floats have a scale or a BLANK.
    return bits // 8 == -dtype.itemsize or (dtype.kind != "f" and bits <= 32)


def _copy_pixels(path: Path, start: int, metadata: ImageMetadata, pixels: np.ndarray) -> None:
    """Copy plain pixels into a float array of the image's shape that has the axes of the file, band by band."""
    assert metadata.header is not None
    bits, scale, offset = (metadata.header.get(*card) for card in (("BITPIX",), ("BSCALE", 1), ("BZERO", 0)))
    stored = np.dtype(f">{'f' if bits < 0 else 'u' if bits == 8 else 'i'}{abs(bits) // 8}")
    target = to_file_axes(pixels, metadata.layout).reshape(-1)
    with open(path, "rb") as file:
        file.seek(start)
        for first in range(0, target.size, _PIXELS_AT_ONCE):
            part = target[first : first + _PIXELS_AT_ONCE]
            content = file.read(part.size * stored.itemsize)
            check_declared_size(path, part.size * stored.itemsize, len(content))
            part[...] = np.frombuffer(content, stored)
            if scale != 1:
                part *= part.dtype.type(scale)
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


def _find_image(walk: Iterator[Any], hdu: int | str | None, path: Path) -> tuple[int, list[Any]]:
    """Walk to the HDU that is wanted; returns its number and the HDUs passed."""
    passed: list[Any] = []
    for candidate in walk:
        passed.append(candidate)
        if _holds_image(candidate) and _is_wanted(candidate, len(passed) - 1, hdu):
            return len(passed) - 1, passed
    from_end = hdu + len(passed) if isinstance(hdu, int) and -len(passed) <= hdu < 0 else None
    if from_end is not None and _holds_image(passed[from_end]):
        return from_end, passed
    if hdu is None:
        found, way_out = "no image", "export one with the program that made it"
    elif from_end is not None or any(_is_wanted(entry, number, hdu) for number, entry in enumerate(passed)):
        found, way_out = f"no image in HDU {hdu!r}", "choose another hdu or leave hdu=None"
    else:
        found, way_out = f"no HDU {hdu!r}", "choose another hdu"
    described = _described([f"{number} {_describe(entry)}" for number, entry in enumerate(passed)])
    raise ImageFormatError(f"read_image found {found} in {path}, which holds {described}; {way_out}.")


def _is_wanted(candidate: Any, number: int, hdu: int | str | None) -> bool:
    if isinstance(hdu, str):
        # As astropy compares names.
        return candidate.name.strip().upper() == hdu.strip().upper()
    return hdu is None or number == hdu


def _walk(hdus: fits.HDUList, check: Callable[[int], None]) -> Iterator[Any]:
    """Yield the HDUs; astropy would follow negative sizes back and forth for ever."""
    end = 0
    for index in count():
        check(end)
        try:
            hdu = hdus[index]
        except IndexError:
            return
        place = hdu.fileinfo()
        if place["hdrLoc"] < end or place["datSpan"] < 0:
            raise ValueError(f"the header of HDU {index} declares a negative size")
        end = place["datLoc"] + place["datSpan"]
        yield hdu


def _warn_of_others(image: int, hdus: Iterable[Any], path: Path) -> None:
    """Name the HDUs beside the image that hold anything."""
    texts = []
    # What lies behind the image may be damaged or endless, the image is not.
    with suppress(Exception):
        for number, hdu in enumerate(hdus):
            if number != image and (_holds_image(hdu) or not hdu.is_image):
                texts.append(f"{number} {_describe(hdu)}")
    if texts:
        warnings.warn(f"{path}: HDUs that write_image will not keep: {_described(texts)}.", stacklevel=2)


def _described(texts: list[str]) -> str:
    more = len(texts) - _MOST_DESCRIBED
    return ", ".join(texts[:_MOST_DESCRIBED]) + (f" and {more} more" if more > 0 else "")


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
    present = path.stat().st_size - (0 if gzipped else place["datLoc"])
    around, within = DEFLATE_RATIO if gzipped else 1, 1
    if compressed:
        within = RUNS_RATIO if hdu.compression_type in ("PLIO_1", "HCOMPRESS_1") else DEFLATE_RATIO
    check_declared_size(path, math.prod(shape) * abs(hdu.header["BITPIX"]) // 8, present, around * within)
    # What is packed, less the padding that some files lack.
    check_declared_size(path, place["datSpan"] - _BLOCK, present, around)
    return place["datLoc"] if plain else None


def _check_scale(stored: fits.Header, header: fits.Header) -> None:
    """Refuse cards of the pixels' scale that are no numbers, or lost in the repair: astropy would heed them."""
    for keyword in ("BSCALE", "BZERO", "BLANK"):
        value = stored.get(keyword, 0)
        if isinstance(value, str | bool) or header.get(keyword, 0) != value:
            raise ValueError(f"{keyword} is no number")
        # astropy heeds the last one for the pixels, and the first one elsewhere.
        others = [stored[keyword, n] for n in range(1, stored.count(keyword))] if keyword in stored else []
        if any(other != value for other in others):
            raise ValueError(f"{keyword} is both {value} and {others[-1]}")


def write_fits(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write an image as the primary HDU, or as tiles in HDU 1; a name that ends with .gz is gzipped."""
    gzipped, tiled = is_packed(path, metadata, compress)
    header = header_to_write(metadata, image, extra)
    stored = to_file_axes(image, metadata.fits_layout)
    # A copy in the byte order of FITS: astropy would swap the caller's own pixels and swap them back.
    stored = stored.astype(stored.dtype.newbyteorder(">"), order="C")
    if tiled:
        write_tiles(path, stored, header)
        return
    hdus = fits.HDUList([fits.PrimaryHDU(stored)])
    append_all(hdus[0].header, header)
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
