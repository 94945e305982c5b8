"""Data blocks of XISF: every way to pack them is undone, and what does not describe a block is refused."""

import base64
import zlib
from xml.etree.ElementTree import Element, SubElement

import lz4.block
import numpy as np
import pytest
import zstandard

from skbgopt import ImageFormatError
from skbgopt.io._blocks import check_position, packing_of, position_of, read_block, unpacked_size

CONTENT = np.arange(37, dtype=np.uint16).tobytes() + b"x"
PACKERS = {
    "zlib": zlib.compress,
    "lz4": lambda content: lz4.block.compress(content, store_size=False),
    "lz4hc": lambda content: lz4.block.compress(content, mode="high_compression", store_size=False),
    "zstd": zstandard.compress,
}


def block(path, packed, **attributes):
    """An element whose block lies in a file behind ten bytes of something else."""
    path.write_bytes(b"0123456789" + packed)
    return Element("Image", {"location": f"attachment:10:{len(packed)}", **attributes})


def shuffled(content, item_size):
    """The first bytes of all items, then the second ones, and so on; what is left of an item stays at the end."""
    whole = len(content) // item_size * item_size
    return b"".join(content[first:whole:item_size] for first in range(item_size)) + content[whole:]


@pytest.mark.parametrize("name", PACKERS)
def test_packed_blocks_are_unpacked(tmp_path, name):
    """Each codec, with shuffled bytes and without."""
    path = tmp_path / "a"
    plain = block(path, PACKERS[name](CONTENT), compression=f"{name}:{len(CONTENT)}")
    assert read_block(plain, path) == CONTENT
    for size in (1, 2, 4, 8):
        packed = PACKERS[name](shuffled(CONTENT, size))
        mixed = block(path, packed, compression=f"{name}+sh:{len(CONTENT)}:{size}")
        assert unpacked_size(mixed, path) == len(CONTENT)
        assert read_block(mixed, path) == CONTENT


def test_blocks_in_parts_are_joined(tmp_path):
    """Subblocks are packed each for itself."""
    parts = [zlib.compress(CONTENT[:20]), zlib.compress(CONTENT[20:])]
    sizes = f"{len(parts[0])},20:{len(parts[1])},{len(CONTENT) - 20}"
    element = block(tmp_path / "a", b"".join(parts), compression=f"zlib:{len(CONTENT)}", subblocks=sizes)
    assert read_block(element, tmp_path / "a") == CONTENT


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("base64", base64.b64encode(CONTENT).decode()), ("hex", CONTENT.hex())],
    ids=["base64", "hex"],
)
def test_blocks_in_the_xml_are_decoded(tmp_path, encoding, text):
    """Inline, or embedded in an element of their own."""
    inline = Element("Property", location=f"inline:{encoding}")
    inline.text = text
    embedded = Element("Image", location="embedded")
    SubElement(embedded, "{xisf}Data", encoding=encoding).text = text
    assert position_of(inline) is None
    assert unpacked_size(inline, tmp_path) == len(CONTENT)
    assert read_block(inline, tmp_path) == read_block(embedded, tmp_path) == CONTENT


def test_packed_blocks_in_the_xml_are_unpacked(tmp_path):
    """Their size is the one declared."""
    element = Element("Property", location="inline:base64", compression=f"zlib:{len(CONTENT)}")
    element.text = base64.b64encode(zlib.compress(CONTENT)).decode()
    assert unpacked_size(element, tmp_path) == len(CONTENT)
    assert read_block(element, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"compression": "zlib+sh:10"}, "names no size of the items"),
        ({"compression": "zlib+sh:10:0"}, "names no size of the items"),
        ({"compression": "zlib+xy:10:2"}, "names no size of the items"),
        ({"compression": "zlib"}, "names 0 sizes"),
        ({"compression": "zlib:10:2"}, "names 2 sizes"),
        ({"compression": "rar:10"}, "Unimplemented compression codec 'rar'"),
        ({"compression": "zlib:-1"}, "'-1' is no number of bytes"),
        ({"compression": "zlib:10", "subblocks": "5,5:5"}, "sizes of the subblocks"),
        ({"compression": "zlib:10", "subblocks": "5,5:5,6"}, "sizes of the subblocks"),
    ],
)
def test_packings_that_say_too_little(attributes, message):
    """The sentence names what is wrong."""
    with pytest.raises(ValueError, match=message):
        packing_of(Element("Image", attributes))


@pytest.mark.parametrize("location", ["attachment:5", "attachment:5:6:7", "attachment:a:6", "attachment:5:²"])
def test_positions_that_are_none(location):
    """A start and a length, both numbers, or an error."""
    with pytest.raises(ValueError, match=r"is no position and size|is no number of bytes"):
        position_of(Element("Image", location=location))


@pytest.mark.parametrize(("name", "size"), [("zlib", 60), ("zlib", 90), ("zstd", 60), ("zstd", 90), ("lz4", 90)])
def test_a_block_of_another_size_than_declared(tmp_path, name, size):
    """Neither more nor less is unpacked."""
    element = block(tmp_path / "a", PACKERS[name](CONTENT), compression=f"{name}:{size}")
    with pytest.raises(ValueError, match=r"larger than declared|declares \d+ bytes"):
        read_block(element, tmp_path / "a")


def test_other_locations_are_not_followed(tmp_path):
    """A block elsewhere on the disk or in the net stays there."""
    with pytest.raises(NotImplementedError, match=r"url\(file:///etc/passwd\)"):
        read_block(Element("Image", location="url(file:///etc/passwd)"), tmp_path)


def test_blocks_that_share_bytes_are_refused(tmp_path):
    """With the header or with each other; the same block twice, one beside it and one without a place are not."""
    path, own = tmp_path / "a", Element("Image", location="attachment:100:50")
    fine = ["attachment:100:50", "attachment:150:9", "attachment:60:40", "attachment:no:place", "inline:hex"]
    check_position(own, [Element("Other", location=location) for location in fine], 100, path)
    check_position(Element("Image", location="inline:hex"), [own], 100, path)
    for others, start, first in (([], 101, 0), ([Element("Other", location="attachment:149:9")], 100, 149)):
        with pytest.raises(ImageFormatError, match=f"at byte 100 overlap what lies at byte {first}"):
            check_position(own, others, start, path)
