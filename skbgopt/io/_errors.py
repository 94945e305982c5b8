"""The error of files that hold no readable image, and the checks that raise it."""

from __future__ import annotations

import errno
import gzip
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# What the FITS standard allows.
_MOST_COUNTED = 999
_CARD, _BLOCK = 80, 2880
# astropy needs several seconds for more.
_MOST_HEADER_BYTES = 4 * 2**20
# How far a codec can shrink a block at the most: zlib and gzip, lz4, those of FITS for runs of equal pixels, zstd.
DEFLATE_RATIO, LZ4_RATIO, RUNS_RATIO, ZSTD_RATIO = 1100, 260, 2**13, 2**15


class ImageFormatError(ValueError):
    """A file holds no image of a readable kind, or a format cannot hold the image."""


@contextmanager
def decoding(path: Path, format_name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one ImageFormatError."""
    try:
        yield
    except ImageFormatError:
        raise
    except MemoryError as error:
        # Sizes that the file cannot hold are refused before, so that this is a large image and no damage.
        raise MemoryError(f"{path} does not fit into the memory that there is; give more, or cut it.") from error
    except Exception as error:
        # The operating system's own errors carry a number; decoders raise a bare OSError for bad content, and
        # make the system complain about positions that cannot be.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageFormatError(
            f"read_image cannot decode {path} as {format_name}: the file is damaged or uses a part of the "
            f"format that is not supported ({reason[:200]}); save it again with the program that made it."
        ) from error


def check_declared_size(path: Path, declared: int, stored: int | None = None, ratio: int = 1) -> None:
    """Refuse a header that declares more bytes of pixels than its file can hold, before they are allocated.

    `stored` is the number of bytes that are present, by default all of the file, and `ratio` how far their codec
    can have shrunk them.
    """
    largest = (os.path.getsize(path) if stored is None else stored) * ratio
    if declared > largest:
        raise ImageFormatError(
            f"read_image found {path} truncated or damaged: its header declares {declared} bytes of pixels, "
            f"the file can hold at most {max(largest, 0)}; copy or download it again."
        )


@contextmanager
def header_checks(path: Path) -> Iterator[Callable[[int], None]]:
    """Yield a function that looks at a FITS header before astropy does.

    Of the byte at which a header begins, none before the last one; it raises ValueError if there are more axes or
    fields than the standard allows, to which astropy counts, if a size is given twice, of which astropy heeds now
    the one and now the other, or if all headers so far are longer than it can bear.
    """
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        # One file for all headers: to go back in a gzipped one means to unpack it from its beginning.
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        n_bytes = 0

        def check(start: int) -> None:
            nonlocal n_bytes
            file.seek(start)
            first: dict[str, int] = {}
            for card in iter(lambda: file.read(_CARD), b""):
                n_bytes += _CARD
                if n_bytes > _MOST_HEADER_BYTES:
                    raise ValueError(f"its headers are longer than {_MOST_HEADER_BYTES} bytes")
                declared = re.match(rb"(Z?NAXIS\d*|BITPIX|[PG]COUNT|TFIELDS) *=\s*([+-]?\d+)", card)
                if declared is not None:
                    keyword, number = declared[1].decode(), int(declared[2])
                    if keyword in ("NAXIS", "ZNAXIS", "TFIELDS") and number > _MOST_COUNTED:
                        raise ValueError(f"{keyword} is {number}")
                    if first.setdefault(keyword, number) != number:
                        raise ValueError(f"{keyword} is both {first[keyword]} and {number}")
                if card.startswith(b"END "):
                    break
            n_bytes += -n_bytes % _BLOCK

        yield check
