"""XISF: the xisf package describes and writes images; the XML beside the pixels is kept as it is.

The package parses keywords and properties into Python values and loses some of them when it writes those
(quotes, Booleans, empty strings, byte arrays, comments, bounds). So it is shown no property at all: the
elements of the header are kept verbatim and put back into the header that the package has written.
"""

from __future__ import annotations

import base64
import copy
import math
import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

import numpy as np
from xisf import XISF

from skbgopt.io._blocks import check_position, packed_block, packing_of, position_of, read_block, unpacked_size
from skbgopt.io._cards import is_structural, to_keyword_texts
from skbgopt.io._convert import fits_header, keyword_texts, name_of, xisf_parts
from skbgopt.io._convert import xisf_tag as _tag
from skbgopt.io._errors import ImageFormatError, check_declared_size, decoding
from skbgopt.io._layout import check_channels, check_shape, native
from skbgopt.io._metadata import ImageMetadata, StoredImage, XisfParts, bayer_pattern_of, bounds_of

if TYPE_CHECKING:
    from astropy.io import fits

_NAMESPACE = "http://www.pixinsight.com/xisf"
_KEPT_ATTRIBUTES = ("id", "imageType", "offset", "orientation", "bounds")
_WRITTEN_BY_PACKAGE = tuple(
    f"XISF:{name}"
    for name in (
        *("CreationTime", "CreatorApplication", "CreatorModule", "CreatorOS"),
        *("BlockAlignmentSize", "MaxInlineBlockSize", "CompressionCodecs", "CompressionLevel"),
    )
)
_LZ4_MAX_BYTES = 0x7E000000
_HEADER_START = 16
_MOST_LEVELS, _MOST_ELEMENTS = 50, 200_000
_LARGEST_PROFILE = 2**24

ElementTree.register_namespace("", _NAMESPACE)


class _Tree(ElementTree.TreeBuilder):
    """A tree without what an XISF header has no use for, and attackers have."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._n_elements = 0

    def start(self, tag, attrs):
        self._depth += 1
        self._n_elements += 1
        if self._depth > _MOST_LEVELS:
            raise ValueError(f"its elements are nested deeper than {_MOST_LEVELS}")
        if self._n_elements > _MOST_ELEMENTS:
            raise ValueError(f"its header has more than {_MOST_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag):
        self._depth -= 1
        return super().end(tag)

    def doctype(self, name, pubid, system):
        raise ValueError("its header declares a document type")


class _Reader(XISF):
    """The package's reader without its parser of properties, on which whole files fail, and with checked blocks."""

    def _read(self) -> None:
        with open(self._fname, "rb") as file:
            start = file.read(_HEADER_START)
            length = int.from_bytes(start[8:12], "little")
            check_declared_size(Path(self._fname), length, os.path.getsize(self._fname) - _HEADER_START)
            # Some files are padded with zeros.
            self.header_end = _HEADER_START + length
            self._xisf_header = file.read(length).rstrip(b"\0")
        parser = ElementTree.XMLParser(target=_Tree())
        parser.feed(self._xisf_header)
        self._xisf_header_xml = parser.close()
        self._analyze_header()

    def _analyze_header(self) -> None:
        root = self._xisf_header_xml
        if root.find(_tag("Metadata")) is None:
            ElementTree.SubElement(root, _tag("Metadata"))
        for keyword in root.iter(_tag("FITSKeyword")):
            for name in ("name", "value", "comment"):
                keyword.attrib.setdefault(name, "")
        super()._analyze_header()

    def _process_property(self, p_et: ElementTree.Element) -> None:
        return None

    def self_contained(self, element: ElementTree.Element) -> ElementTree.Element:
        """Copy an element with its data blocks moved, as they are packed, from elsewhere in the file into the XML."""
        copied = copy.deepcopy(element)
        if next(element.iter(_tag("Reference")), None) is not None:
            raise NotImplementedError("References to elements elsewhere in the file are not followed.")
        if element.tag == _tag("ICCProfile"):
            self._unpack(copied)
        for node in copied.iter():
            position = position_of(node)
            if position is not None:
                self._take(position[1])
                node.text = _as_text(packed_block(node, Path(self._fname)))
                node.set("location", "inline:base64")
        return copied

    def _unpack(self, profile: ElementTree.Element) -> None:
        """Write a colour profile, which TIFF holds as well, as plain text."""
        codec = packing_of(profile)
        self._take(0 if codec is None else codec.size)
        text = _as_text(read_block(profile, Path(self._fname)))
        profile.clear()
        profile.text = text
        profile.set("location", "inline:base64")

    def begin(self) -> None:
        """Forget what has been moved."""
        self._n_bytes_left = os.path.getsize(self._fname) + _LARGEST_PROFILE

    def _take(self, n_bytes: int) -> None:
        # Blocks that share bytes, and packed ones, could grow far beyond the file.
        self._n_bytes_left -= n_bytes
        if self._n_bytes_left < 0:
            raise ValueError("the data blocks are larger than the file")


def _as_text(block: bytes) -> str:
    return base64.b64encode(block).decode("ascii")


def open_xisf(path: Path) -> StoredImage:
    """Find the first image of a monolithic XISF file and read the XML."""
    with decoding(path, "XISF"):
        reader = _Reader(str(path))
        element = reader.get_metadata_xml().find(_tag("Image"))
        if element is None:
            raise ImageFormatError(f"read_image found no image in {path}; save it again with its pixels.")
        width, height, channels = _checked_geometry(reader, element, path)
        metadata = ImageMetadata(format="xisf", dtype=reader.get_images_metadata()[0]["dtype"], layout="CHW")
    shape = (height, width) if channels == 1 else (height, width, channels)
    block = position_of(_block_of(element)) or (0, 0)
    beside = max(path.stat().st_size - block[1], 0)
    cards = {text.name: text.value.strip(" '") for text in keyword_texts(element)}
    read = partial(_read_image, reader, element, path)
    return StoredImage(path, shape, metadata, read, cards.get, nbytes_beside=beside)


def _read_image(reader: _Reader, element: ElementTree.Element, path: Path) -> tuple[np.ndarray, ImageMetadata]:
    with decoding(path, "XISF"):
        image = _read_pixels(reader, element, path)
        parts = _kept_parts(reader, reader.get_metadata_xml(), element, path)
    metadata = ImageMetadata(
        format="xisf",
        dtype=image.dtype,
        bayer_pattern=_bayer_pattern(parts.elements, path),
        layout="CHW",
        xisf=parts,
    )
    return image, metadata


def _checked_geometry(reader: _Reader, element: ElementTree.Element, path: Path) -> tuple[int, int, int]:
    """Return width, height and number of channels, if the file can hold as many."""
    described = reader.get_images_metadata()[0]
    shape = described["geometry"][::-1]
    check_shape(shape, path)
    if len(shape) == 3:
        check_channels(shape[0], path, "xisf", "read_image")
    if element.get("colorSpace", "Gray") not in ("Gray", "RGB"):
        raise ImageFormatError(
            f"read_image reads XISF images in the colour spaces Gray and RGB. {path} is in "
            f"{element.get('colorSpace')}; convert it."
        )
    _byte_order(element), _storage(element)
    declared = math.prod(shape) * described["dtype"].itemsize
    check_position(_block_of(element), reader.get_metadata_xml().iter(), reader.header_end, path)
    stored = unpacked_size(_block_of(element), path)
    check_declared_size(path, declared, stored)
    if stored != declared and packing_of(_block_of(element)) is not None:
        raise ValueError(f"its pixels need {declared} bytes, its compressed block holds {stored}")
    return described["geometry"]


def _block_of(element: ElementTree.Element) -> ElementTree.Element:
    """Return the element that describes the pixels' block: the image itself, or its embedded data."""
    data = element.find(_tag("Data")) if element.get("location") == "embedded" else None
    return element if data is None else data


def _byte_order(element: ElementTree.Element) -> Literal["little", "big"]:
    # Of embedded data either may say it.
    order = _block_of(element).get("byteOrder", element.get("byteOrder", "little"))
    if order not in ("little", "big"):
        raise ValueError(f"byteOrder {order[:40]!r} is neither 'little' nor 'big'")
    return "big" if order == "big" else "little"


def _storage(element: ElementTree.Element) -> str:
    storage = element.get("pixelStorage", "Planar")
    if storage not in ("Planar", "Normal"):
        raise ValueError(f"pixelStorage {storage[:40]!r} is neither 'Planar' nor 'Normal'")
    return storage


def _read_pixels(reader: _Reader, element: ElementTree.Element, path: Path) -> np.ndarray:
    described = reader.get_images_metadata()[0]
    width, height, channels = described["geometry"]
    # The package ignores the byte order and the model of pixel storage.
    dtype = described["dtype"].newbyteorder(_byte_order(element))
    content = np.frombuffer(read_block(element, path), dtype, width * height * channels)
    if _storage(element) == "Normal":
        image = content.reshape(height, width, channels)
    else:
        image = np.moveaxis(content.reshape(channels, height, width), 0, -1)
    return native(image[..., 0] if channels == 1 else image)


def _kept_parts(reader: _Reader, root: ElementTree.Element, image: ElementTree.Element, path: Path) -> XisfParts:
    properties = root.findall(_tag("Metadata"))[0]
    others = [element for element in root if element is not image and element is not properties]
    parts = XisfParts({name: image.attrib[name] for name in _KEPT_ATTRIBUTES if name in image.attrib})
    lost = [name_of(element) for element in others]
    reader.begin()
    for kept, elements in ((parts.elements, image), (parts.file_elements, properties)):
        for element in elements:
            # A thumbnail shows the old pixels.
            if element.tag == _tag("Thumbnail") or element.get("id") in _WRITTEN_BY_PACKAGE:
                continue
            try:
                kept.append(reader.self_contained(element))
            except Exception:
                lost.append(name_of(element))
    if lost:
        warnings.warn(f"{path}: XISF elements that write_image will not keep: {', '.join(lost)}.", stacklevel=2)
    return parts


def _bayer_pattern(elements: list[ElementTree.Element], path: Path) -> str | None:
    cards = {text.name: text.value for text in keyword_texts(elements)}
    arrays = [element.get("pattern") for element in elements if element.tag == _tag("ColorFilterArray")]
    properties = [element.text for element in elements if element.get("id") == "PCL:CFASourcePattern"]
    return bayer_pattern_of(cards.get, *arrays, *properties, path=path)


def write_xisf(path: Path, image: np.ndarray, metadata: ImageMetadata, extra: fits.Header, *, compress: bool) -> None:
    """Write one image, then put the kept elements into the header that the package wrote."""
    pixels = native(image if image.ndim == 3 else image[..., np.newaxis])
    parts = _parts_to_write(metadata, extra)
    elements, file_elements, attributes = parts.elements, parts.file_elements, parts.attributes
    attributes.setdefault("id", "image")
    bounds = attributes.pop("bounds", None) or _usual_bounds(metadata, pixels)
    if pixels.dtype.kind == "f":
        attributes["bounds"] = _true_bounds(bounds, pixels)
    # The header's length places the pixels, so a long id holds the room that the elements will take.
    room = 1024 + sum(map(len, map(ElementTree.tostring, [*elements, *file_elements])))
    room += len(repr(attributes))
    XISF.write(
        str(path),
        pixels,
        creator_app="skbgopt",
        image_metadata={"id": "x" * room},
        codec=("lz4hc" if pixels.nbytes < _LZ4_MAX_BYTES else "zlib") if compress else None,
        shuffle=compress and pixels.itemsize > 1,
    )
    _amend_header(path, attributes, elements, file_elements)


def _parts_to_write(metadata: ImageMetadata, extra: fits.Header) -> XisfParts:
    added = to_keyword_texts(extra)
    replaced = {text.name for text in added} - {"HISTORY"}
    parts = metadata.xisf
    if parts is None:
        parts = xisf_parts(metadata, [_keyword_element(*text) for text in to_keyword_texts(fits_header(metadata))])
    elements = [
        element
        for element in parts.elements
        if element.tag != _tag("FITSKeyword")
        or not (is_structural(element.get("name", "")) or element.get("name") in replaced)
    ]
    elements += [_keyword_element(*text) for text in added]
    return XisfParts(dict(parts.attributes), elements, parts.file_elements)


def _keyword_element(name: str, value: str, comment: str) -> ElementTree.Element:
    return ElementTree.Element(_tag("FITSKeyword"), {"name": name, "value": value, "comment": comment})


def _usual_bounds(metadata: ImageMetadata, pixels: np.ndarray) -> str:
    """Return the range that the values come from, so that all results of one image are displayed alike.

    That of the integers that the image was stored in; else 0 to 1, or to 65535 for counts.
    """
    dtype = np.dtype(metadata.dtype or np.float32)
    if dtype.kind in "iu":
        return f"0:{np.iinfo(dtype).max}"
    return "0:1" if not (pixels > 1.5).any() else "0:65535"


def _true_bounds(bounds: str, pixels: np.ndarray) -> str:
    """Widen the bounds until they hold every finite pixel: PixInsight cuts off what lies outside."""
    low, high = bounds_of(bounds) or (0.0, 1.0)
    finite = np.isfinite(pixels)
    low = np.min(pixels, where=finite, initial=low)
    high = np.max(pixels, where=finite, initial=high)
    return f"{float(low):.17g}:{float(high):.17g}"


def _amend_header(
    path: Path,
    attributes: dict[str, str],
    elements: list[ElementTree.Element],
    file_elements: list[ElementTree.Element],
) -> None:
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(_HEADER_START)[8:12], "little")
        root = ElementTree.fromstring(file.read(length))
        image, properties = root.find(_tag("Image")), root.find(_tag("Metadata"))
        if image is None or properties is None:
            raise RuntimeError("The xisf package wrote a header without Image or Metadata.")
        image.attrib.update(attributes)
        image.extend(elements)
        properties.extend(file_elements)
        header = ElementTree.tostring(root, encoding="UTF-8")
        if len(header) > length:
            raise RuntimeError(f"The XISF header needs {len(header)} bytes, only {length} are reserved.")
        file.seek(_HEADER_START)
        file.write(header.ljust(length))
