"""FITS tiles: astropy compresses them, their header is ours."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

from skbgopt.io._cards import append_all, filled

# They describe the table in which the tiles are stored; astropy drops some of them, and some would break it.
_OF_THE_TABLE = re.compile(
    r"TFIELDS|THEAP|ZTABLE|ZSIMPLE|ZTENSION|ZEXTEND|ZBLOCKED|ZPCOUNT|ZGCOUNT|ZMASKCMP"
    r"|(TTYPE|TFORM|TUNIT|TNULL|TSCAL|TZERO|TDISP|TBCOL|TDIM|ZNAXIS|ZTILE|ZNAME|ZVAL)\d*"
)
_PRIMARY = 2880


def write_tiles(path: Path, stored: np.ndarray, header: fits.Header) -> None:
    """Write an image in the axes and byte order of FITS as tiles in HDU 1, with all cards of a header in order."""
    tiles = _tiles(stored)
    own = fits.Header()
    append_all(own, header)
    lost = sorted({card.keyword for card in header.cards if _OF_THE_TABLE.fullmatch(card.keyword)})
    for keyword in lost:
        own.remove(keyword, remove_all=True)
    if lost:
        warnings.warn(f"FITS tiles cannot hold these keywords, they are left out: {', '.join(lost)}.", stacklevel=2)
    # astropy merges repeated cards and reorders lines of text, so it is given others that keep their room.
    room = [f"SK{number:06d}" for number in range(len(own.tostring(endcard=False, padding=False)) // 80)]
    for keyword in room:
        tiles.header.append((keyword, 0), end=True)
    with open(path, "wb") as file:
        fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(file, output_verify="silentfix")
    with open(path, "r+b") as file:
        file.seek(_PRIMARY)
        table = fits.Header.fromfile(file)
        end = file.tell()
        for keyword in [*room, *(["EXTNAME"] if "EXTNAME" in own else [])]:
            del table[keyword]
        append_all(table, own)
        file.seek(_PRIMARY)
        file.write(filled(table, end - _PRIMARY))


def _tiles(stored: np.ndarray) -> fits.CompImageHDU:
    # RICE_1 knows at most 32 bits and loses bits of floats; GZIP_2 without quantisation loses none.
    rice = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4
    return fits.CompImageHDU(stored, compression_type="RICE_1" if rice else "GZIP_2", quantize_level=0)
