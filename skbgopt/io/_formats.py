"""The table of formats: how each is recognised in a file's content and in a path's suffix."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skbgopt.io._errors import ImageFormatError
from skbgopt.io._metadata import FormatName

_HEAD_LENGTH = 4096


@dataclass(frozen=True)
class FileFormat:
    """One format: it is opened and written by ``open_<name>`` and ``write_<name>`` of `module`."""

    name: FormatName
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]

    @property
    def module(self) -> str:
        """Imported only when a file of this format is read or written."""
        return f"skbgopt.io._{self.name}"


def is_fits(head: bytes) -> bool:
    """Whether a file that begins with `head` is FITS, gzipped or not."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 80)
        except zlib.error:
            return False
    return head.startswith(b"SIMPLE  =")


def is_xisf(head: bytes) -> bool:
    """Whether a file that begins with `head` is a monolithic XISF file."""
    return head.startswith(b"XISF0100")


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with `head` is TIFF or BigTIFF, in either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


FORMATS = (
    FileFormat(
        "fits",
        tuple(f".{stem}{packed}" for stem in ("fits", "fit", "fts") for packed in ("", ".fz", ".gz")),
        is_fits,
    ),
    FileFormat("xisf", (".xisf",), is_xisf),
    FileFormat("tiff", (".tif", ".tiff"), is_tiff),
)


def format_of_content(path: Path) -> FileFormat:
    """Recognise the format of an existing file by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_LENGTH)
    for file_format in FORMATS:
        if file_format.matches(head):
            return file_format
    came = f"begins with {head[:8]!r}" if head else "is empty"
    raise ImageFormatError(
        f"read_image reads FITS, XISF and TIFF files. {path} is none of them, it {came}; "
        f"convert it to one of the three."
    )


def format_of_suffix(path: Path) -> FileFormat:
    """Choose the format of a file to write by the suffix of its name."""
    for file_format in FORMATS:
        if path.name.lower().endswith(file_format.suffixes):
            return file_format
    suffixes = " ".join(suffix for file_format in FORMATS for suffix in file_format.suffixes)
    raise ImageFormatError(
        f"write_image chooses the format by the suffix, one of {suffixes}. Got {path.name!r} instead; rename it."
    )
