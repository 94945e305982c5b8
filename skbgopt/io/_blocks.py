"""XISF data blocks: found, checked against the file and unpacked, never beyond the size that they declare.

The xisf package trusts what a header says; its own decoders are used, with bounds.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import lz4.block
import numpy as np
import zstandard

from skbgopt.io._errors import DEFLATE_RATIO, LZ4_RATIO, ZSTD_RATIO, ImageFormatError, check_declared_size

_RATIOS = {"zlib": DEFLATE_RATIO, "lz4": LZ4_RATIO, "lz4hc": LZ4_RATIO, "zstd": ZSTD_RATIO}
_BYTES_AT_ONCE = 1 << 20
# By the names that XISF has for them.
_DIGESTS = {
    **{f"sha{dash}{bits}": f"sha{bits}" for bits in (1, 256, 512) for dash in ("", "-")},
    **{f"sha3-{bits}": f"sha3_{bits}" for bits in (256, 512)},
}


class Codec(NamedTuple):
    """How a block is packed: ``name[+sh]:bytes[:item bytes]`` and perhaps sizes of parts."""

    name: str
    size: int
    item_size: int
    parts: list[tuple[int, int]]


def packing_of(element: Element) -> Codec | None:
    """Read the compression of a block; None if it is stored as it is.

    Raises
    ------
    ValueError
        If it says too little to be unpacked.
    """
    described = element.get("compression")
    if not described:
        return None
    codec, *numbers = described.split(":")
    name, plus, shuffle = codec.partition("+")
    sizes = [_natural(number) for number in numbers]
    if plus and (shuffle != "sh" or len(sizes) != 2 or sizes[1] < 1):
        raise ValueError(f"compression {described!r} names no size of the items that were shuffled")
    if len(sizes) != 1 + bool(plus):
        raise ValueError(f"compression {described!r} names {len(sizes)} sizes")
    if name not in _RATIOS:
        raise ValueError(f"Unimplemented compression codec {name!r}")
    parts = [tuple(map(_natural, part.split(","))) for part in element.get("subblocks", "").split(":") if part]
    if any(len(part) != 2 for part in parts) or (parts and sum(part[1] for part in parts) != sizes[0]):
        raise ValueError("the sizes of the subblocks are not those of the block")
    return Codec(name, sizes[0], sizes[1] if plus else 1, [(part[0], part[1]) for part in parts])


def position_of(element: Element) -> tuple[int, int] | None:
    """Return start and length of a block in the file; None if it lies in the XML."""
    method, *numbers = element.get("location", "").split(":")
    if method != "attachment":
        return None
    if len(numbers) != 2:
        raise ValueError(f"location {element.get('location')!r} is no position and size")
    return _natural(numbers[0]), _natural(numbers[1])


def check_position(element: Element, others: Iterable[Element], start: int, path: Path) -> None:
    """Refuse a block that begins before `start`, where the header ends, or shares bytes with another one."""
    own = position_of(element)
    if own is None:
        return
    for first, length in [(0, start), *filter(None, map(_position_or_none, others))]:
        if (first, length) != own and first < sum(own) and own[0] < first + length:
            raise ImageFormatError(
                f"read_image found {path} damaged: the pixels at byte {own[0]} overlap what lies at byte {first}; "
                f"save it again with the program that made it."
            )


def unpacked_size(element: Element, path: Path) -> int:
    """Return the number of bytes of a block, if the file can hold as many.

    Raises
    ------
    ImageFormatError
        If it cannot.
    ValueError
        If the element does not describe a block.
    """
    codec, position = packing_of(element), position_of(element)
    if position is None:
        return codec.size if codec is not None else len(packed_block(element, path))
    first, length = position
    check_declared_size(path, length, os.path.getsize(path) - first)
    if codec is not None:
        check_declared_size(path, codec.size, length, _RATIOS[codec.name])
    return length if codec is None else codec.size


def read_block(element: Element, path: Path) -> bytes:
    """Return the bytes of the data block of an element, unpacked."""
    # The data of an embedded block describes itself.
    if element.get("location") == "embedded":
        element = next(child for child in element if child.tag.endswith("}Data"))
    codec, size = packing_of(element), unpacked_size(element, path)
    packed = packed_block(element, path)
    if codec is None:
        return packed
    content, at = b"", 0
    for length, part_size in codec.parts or [(len(packed), size)]:
        content += _unpack(codec.name, packed[at : at + length], part_size)
        at += length
    return _unshuffled(content, codec.item_size) if codec.item_size > 1 else content


def packed_block(element: Element, path: Path) -> bytes:
    """Return the bytes of a data block as they are stored, if they have the check sum that is given."""
    block = _stored_block(element, path)
    name, _, digest = element.get("checksum", "").partition(":")
    if name and name not in _DIGESTS:
        raise ValueError(f"checksum {name[:40]!r} is none of {', '.join(_DIGESTS)}")
    if name and hashlib.new(_DIGESTS[name], block, usedforsecurity=False).hexdigest() != digest.strip().lower():
        raise ValueError(f"a data block does not have the {name} checksum that is given")
    return block


def _stored_block(element: Element, path: Path) -> bytes:
    position = position_of(element)
    if position is not None:
        check_declared_size(path, position[1], os.path.getsize(path) - position[0])
        with open(path, "rb") as file:
            file.seek(position[0])
            return file.read(position[1])
    location = element.get("location", f"inline:{element.get('encoding')}")
    text = element.text or ""
    if location == "inline:base64":
        return base64.b64decode(text)
    if location == "inline:hex":
        return bytes.fromhex(text)
    raise NotImplementedError(f"Data block location {location[:40]!r} not implemented")


def _unpack(name: str, packed: bytes, size: int) -> bytes:
    if name == "zlib":
        # One byte more than declared shows that there is more.
        content = zlib.decompressobj().decompress(packed, size + 1)
    elif name == "zstd":
        # Part by part: otherwise what is declared, here or in the frame, would be allocated before it is there.
        parts, left = [], size + 1
        with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            while left > 0 and (part := reader.read(min(left, _BYTES_AT_ONCE))):
                parts.append(part)
                left -= len(part)
        content = b"".join(parts)
    else:
        content = lz4.block.decompress(packed, uncompressed_size=size)
    if len(content) != size:
        raise ValueError(f"a compressed block declares {size} bytes and holds others")
    return content


def _unshuffled(content: bytes, item_size: int) -> bytes:
    """Undo the byte shuffling: first bytes of all items, then second ones, ...; an incomplete item stays last."""
    whole = len(content) // item_size * item_size
    planes = np.frombuffer(content, np.uint8, whole).reshape(item_size, -1)
    return planes.T.tobytes() + content[whole:]


def _natural(number: str) -> int:
    if not (number.isascii() and number.isdecimal() and len(number) < 20):
        raise ValueError(f"{number[:40]!r} is no number of bytes")
    return int(number)


def _position_or_none(element: Element) -> tuple[int, int] | None:
    try:
        return position_of(element)
    except ValueError:
        return None
