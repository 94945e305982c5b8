"""The error of files that hold no readable image, and the checks that raise it."""

from __future__ import annotations

import errno
import gzip
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the FITS standard allows.
_MOST_COUNTED = 999
# No codec of the three formats shrinks pixels further: zlib ends at 1032, zstd near 2**15.
_HIGHEST_COMPRESSION_RATIO = 2**15


class ImageFormatError(ValueError):
    """A file holds no image of a readable kind, or a format cannot hold the image."""


@contextmanager
def decoding(path: Path, format_name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one ImageFormatError."""
    try:
        yield
    except ImageFormatError:
        raise
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


def check_declared_size(path: Path, declared: int, stored: int | None = None) -> None:
    """Refuse a header that declares more bytes of pixels than its file can hold, before they are allocated.

    `stored` is the number of bytes present of an uncompressed image, None for a compressed one.
    """
    largest = os.path.getsize(path) * _HIGHEST_COMPRESSION_RATIO if stored is None else stored
    if declared > largest:
        raise ImageFormatError(
            f"read_image found {path} truncated or damaged: its header declares {declared} bytes of pixels, "
            f"the file can hold at most {max(largest, 0)}; copy or download it again."
        )


def check_counts(path: Path, start: int) -> None:
    """Refuse a FITS header that declares more axes or fields than the standard allows: astropy counts to them."""
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        file.seek(start)
        for card in iter(lambda: file.read(80), b""):
            declared = re.match(rb"(Z?NAXIS|TFIELDS) *=\s*\+?(\d+)", card)
            if declared is not None and int(declared[2]) > _MOST_COUNTED:
                raise ValueError(f"{declared[1].decode()} is {int(declared[2])}")
            if card.startswith(b"END "):
                return
