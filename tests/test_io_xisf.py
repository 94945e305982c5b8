"""What holds for XISF files alone."""

import base64
import hashlib
import tracemalloc
import warnings
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import xisf
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skbgopt.io import ImageFormatError, open_image, read_image, write_image
from tests.test_io_fits import raw_image

NAMESPACE = "{http://www.pixinsight.com/xisf}"
IMAGE = np.arange(18, dtype="<f4").reshape(2, 3, 3) / 20
ATTRIBUTES = {"geometry": "3:2:3", "colorSpace": "RGB", "sampleFormat": "Float32", "bounds": "0:1"}
START = 8192


def raw_xisf(path, inside="", pixels=None, metadata="<Metadata/>", **attributes):
    """A file with this XML inside its Image element; the pixels lie at 8192, planar."""
    pixels = np.moveaxis(IMAGE, -1, 0).tobytes() if pixels is None else pixels
    attributes = {**ATTRIBUTES, "location": f"attachment:{START}:{len(pixels)}", **attributes}
    listed = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    header = (
        f'<?xml version="1.0" encoding="UTF-8"?><xisf version="1.0" xmlns="{NAMESPACE[1:-1]}">'
        f"<Image {listed}>{inside}</Image>{metadata}</xisf>"
    ).encode()
    start = b"XISF0100" + len(header).to_bytes(4, "little") + bytes(4) + header
    path.write_bytes(start.ljust(START, b"\0") + pixels)


def elements(path, parent="Image"):
    """Tag, attributes and text of the elements below one of a file's header."""
    content = path.read_bytes()
    root = ElementTree.fromstring(content[16 : 16 + int.from_bytes(content[8:12], "little")])
    found = root.find(NAMESPACE + parent)
    return [(child.tag.removeprefix(NAMESPACE), dict(child.attrib), child.text) for child in found]


def test_header_elements_survive_verbatim(tmp_path):
    """Also those that the xisf package changes, skips or fails on: nothing is parsed."""
    inside = (
        """<FITSKeyword name="A" value="'007'" comment="quoted"/>"""
        """<FITSKeyword name="COMMENT" value="" comment="x"/>"""
        """<FITSKeyword name="B" value="1.50" comment=""/>"""
        """<FITSKeyword name="COMMENT" value="" comment="x"/>"""
        """<Property id="a:True" type="Boolean" value="true"/>"""
        """<Property id="a:False" type="Boolean" value="0"/>"""
        """<Property id="a:Bytes" type="ByteArray" length="3" location="inline:base64">AQID</Property>"""
        """<Property id="a:Empty" type="String"></Property>"""
        """<Property id="a:Text" type="String">é &lt; 'b'</Property>"""
        """<Property id="a:NaN" type="Float64" value="nan" comment="none" format="%f"/>"""
        """<Property id="a:Complex" type="Complex64" value="(1,2)"/>"""
        """<Property id="a:Matrix" type="Matrix" rows="1" columns="1" location="inline:hex">0000</Property>"""
        """<Resolution horizontal="72" vertical="72" unit="inch"/>"""
        """<ColorFilterArray pattern="GRBG" width="2" height="2"/>"""
    )
    metadata = """<Metadata><Property id="XISF:Title" type="String">M 94</Property></Metadata>"""
    raw_xisf(tmp_path / "a.xisf", inside, metadata=metadata, id="M94", imageType="Light", offset="0.1")
    image, read = read_image(tmp_path / "a.xisf")
    assert_array_equal(image, IMAGE)
    assert read.bayer_pattern == "GRBG"
    write_image(tmp_path / "b.xisf", image, read, compress=True)
    assert elements(tmp_path / "b.xisf") == elements(tmp_path / "a.xisf")
    assert elements(tmp_path / "a.xisf", "Metadata")[0] in elements(tmp_path / "b.xisf", "Metadata")
    assert read_image(tmp_path / "b.xisf")[1].xisf.attributes == {
        "id": "M94", "imageType": "Light", "offset": "0.1", "bounds": "0:1"
    }  # fmt: skip


def test_attached_data_blocks_move_into_the_header(tmp_path):
    """Properties and profiles that lie elsewhere in the file survive, compressed ones too."""
    vector, text, icc = np.arange(1000.0), "long " * 2000, bytes(range(200))
    packed = zlib.compress(text.encode())
    pixels = np.moveaxis(IMAGE, -1, 0).tobytes()
    blocks = pixels, vector.tobytes(), packed, icc
    at = [START + sum(map(len, blocks[:n])) for n in range(4)]
    inside = (
        f"""<Property id="v" type="F64Vector" length="1000" location="attachment:{at[1]}:8000"/>"""
        f"""<Property id="s" type="String" location="attachment:{at[2]}:{len(packed)}" """
        f"""compression="zlib:{len(text)}"/><ICCProfile location="attachment:{at[3]}:200"/>"""
    )
    raw_xisf(tmp_path / "a.xisf", inside, b"".join(blocks), location=f"attachment:{START}:{len(pixels)}")
    write_image(tmp_path / "b.xisf", *read_image(tmp_path / "a.xisf"))
    opened = xisf.XISF(str(tmp_path / "b.xisf"))
    properties = opened.get_images_metadata()[0]["XISFProperties"]
    assert_array_equal(properties["v"]["value"], vector)
    assert properties["s"]["value"] == text
    assert base64.b64decode(elements(tmp_path / "b.xisf")[2][2]) == icc
    assert_array_equal(opened.read_image(0), IMAGE)


def test_packed_properties_stay_packed(tmp_path):
    """So that a bomb among them does not go off; their check sums go on holding."""
    packed = zlib.compress(bytes(2**26), 9)
    pixels = np.moveaxis(IMAGE, -1, 0).tobytes()
    told = f"""compression="zlib:{2**26}" checksum="sha1:{hashlib.sha1(packed).hexdigest()}\""""
    place = f"attachment:{START + len(pixels)}:{len(packed)}"
    inside = f"""<Property id="b" type="ByteArray" length="{2**26}" location="{place}" {told}/>"""
    raw_xisf(tmp_path / "a.xisf", inside, pixels + packed, location=f"attachment:{START}:{len(pixels)}")
    tracemalloc.start()
    write_image(tmp_path / "b.xisf", *read_image(tmp_path / "a.xisf"))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    _, attributes, text = elements(tmp_path / "b.xisf")[0]
    assert base64.b64decode(text) == packed and attributes["checksum"].endswith(hashlib.sha1(packed).hexdigest())


def test_blocks_larger_than_the_file_are_not_kept(tmp_path):
    """Many properties may share the same bytes, but they are not copied for each of them."""
    pixels = np.moveaxis(IMAGE, -1, 0).tobytes()
    place = f"attachment:{START + len(pixels)}:{2**20}"
    inside = "".join(f"""<Property id="p{n}" type="ByteArray" location="{place}"/>""" for n in range(40))
    raw_xisf(tmp_path / "a.xisf", inside, pixels + bytes(2**20), location=f"attachment:{START}:{len(pixels)}")
    stored = open_image(tmp_path / "a.xisf")
    for _ in range(2):
        with pytest.warns(UserWarning, match="will not keep: p17, p18"):
            _, metadata = stored.read()
        assert len(metadata.xisf.elements) == 17


def test_packed_colour_profiles_are_unpacked(tmp_path):
    """TIFF holds them as well; one that claims too much is named instead."""
    icc = bytes(range(250)) * 9
    packed = base64.b64encode(zlib.compress(icc)).decode()
    for size, kept in ((len(icc), True), (2**30, False)):
        inside = f"""<ICCProfile location="inline:base64" compression="zlib:{size}">{packed}</ICCProfile>"""
        raw_xisf(tmp_path / "a.xisf", inside)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write_image(tmp_path / "b.tif", *read_image(tmp_path / "a.xisf"), overwrite=True)
        assert [str(warning.message).endswith("keep: ICCProfile.") for warning in caught] == [True] * (not kept)
        assert read_image(tmp_path / "b.tif")[1].tiff.icc_profile == (icc if kept else None)


def test_what_is_lost_is_named_once(tmp_path):
    """One warning names the blocks that are not in the file and the other images."""
    inside = """<Property id="bad" type="F64Vector" length="9" location="attachment:8264:99"/>"""
    listed = " ".join(f'{name}="{value}"' for name, value in ATTRIBUTES.items())
    other = f"""<Metadata/><Image id="second" {listed} location="attachment:1:1"/>"""
    pixels = np.moveaxis(IMAGE, -1, 0).tobytes()
    raw_xisf(tmp_path / "a.xisf", inside + "<Reference ref='x'/>", pixels + bytes(9), location=f"attachment:{START}:72")
    with pytest.warns(UserWarning, match="will not keep: bad, Reference") as caught:
        read_image(tmp_path / "a.xisf")
    assert len(caught) == 1
    raw_xisf(tmp_path / "b.xisf", metadata=other)
    with pytest.warns(UserWarning, match="will not keep: second"):
        read_image(tmp_path / "b.xisf")


def test_properties_lost_in_conversion_are_named(tmp_path):
    """FITS and TIFF cannot hold XISF properties, and one warning says so."""
    raw_xisf(tmp_path / "a.xisf", """<Property id="PCL:Signature" type="String">x</Property>""")
    image, metadata = read_image(tmp_path / "a.xisf")
    for name in ("b.fits", "b.tif"):
        with pytest.warns(UserWarning, match="PCL:Signature") as caught:
            write_image(tmp_path / name, image, metadata)
        assert len(caught) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=6), st.sampled_from(["0:1", "0:65535", "-2.5:3"]))
def test_bounds_hold_every_finite_pixel(tmp_path_factory, values, bounds):
    """Bounds are those of the file, widened only as far as the pixels demand."""
    folder = tmp_path_factory.mktemp("bounds")
    raw_xisf(folder / "a.xisf", bounds=bounds)
    _, metadata = read_image(folder / "a.xisf")
    image = np.array([values], "f4")
    write_image(folder / "b.xisf", image, metadata)
    again, read = read_image(folder / "b.xisf")
    assert_array_equal(again, image)
    low, high = map(float, read.xisf.attributes["bounds"].split(":"))
    finite = image[np.isfinite(image)].tolist()
    declared = [float(part) for part in bounds.split(":")]
    assert (low, high) == (min([*finite, declared[0]]), max([*finite, declared[1]]))


def test_integers_have_no_bounds(tmp_path):
    """A float file written with integers loses its bounds."""
    raw_xisf(tmp_path / "a.xisf")
    write_image(tmp_path / "b.xisf", np.ones((2, 3), "u2"), read_image(tmp_path / "a.xisf")[1])
    assert "bounds" not in read_image(tmp_path / "b.xisf")[1].xisf.attributes


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("storage", ["Planar", "Normal"])
def test_byte_order_and_pixel_storage(tmp_path, order, storage):
    """Two attributes that the xisf package ignores."""
    stored = IMAGE if storage == "Normal" else np.moveaxis(IMAGE, -1, 0)
    pixels = stored.astype(">f4" if order == "big" else "<f4").tobytes()
    raw_xisf(tmp_path / "a.xisf", pixels=pixels, byteOrder=order, pixelStorage=storage)
    assert_array_equal(read_image(tmp_path / "a.xisf")[0], IMAGE)


@pytest.mark.parametrize("storage", ["Planar", "Normal"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_embedded_data_has_a_byte_order_of_its_own(tmp_path, order, storage):
    """As the specification has it, the element of the data describes the data."""
    stored = IMAGE if storage == "Normal" else np.moveaxis(IMAGE, -1, 0)
    text = base64.b64encode(stored.astype(">f4" if order == "big" else "<f4").tobytes()).decode()
    inside = f"""<Data encoding="base64" byteOrder="{order}">{text}</Data>"""
    raw_xisf(tmp_path / "a.xisf", inside, location="embedded", pixelStorage=storage)
    assert_array_equal(read_image(tmp_path / "a.xisf")[0], IMAGE)


@pytest.mark.parametrize(
    "attribute", [{"byteOrder": "BIG"}, {"byteOrder": ""}, {"pixelStorage": "normal"}, {"pixelStorage": "Chunky"}]
)
def test_unknown_ways_to_store_pixels_are_refused(tmp_path, attribute):
    """They are not taken for the usual ones, in which the image would be noise."""
    raw_xisf(tmp_path / "a.xisf", **attribute)
    ((name, value),) = attribute.items()
    with pytest.raises(ImageFormatError, match=f"{name} '{value}' is neither"):
        open_image(tmp_path / "a.xisf")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["sha1", "sha-1", "sha256", "sha-256", "sha512", "sha-512", "sha3-256", "sha3-512"])
def test_check_sums_of_pixels_are_heeded(tmp_path, name, compress):
    """Of the block as it is stored; a wrong one, or one of an unknown kind, is refused."""
    stored = np.moveaxis(IMAGE, -1, 0).tobytes()
    packing = {"compression": f"zlib:{len(stored)}"} if compress else {}
    stored = zlib.compress(stored) if compress else stored
    right = hashlib.new(name.replace("sha-", "sha").replace("3-", "3_"), stored).hexdigest().upper()
    raw_xisf(tmp_path / "a.xisf", pixels=stored, checksum=f"{name}:{right}", **packing)
    assert_array_equal(read_image(tmp_path / "a.xisf")[0], IMAGE)
    for checksum, words in ((f"{name}:{right[:-1]}", f"does not have the {name} checksum"), ("crc:1", "'crc' is none")):
        raw_xisf(tmp_path / "a.xisf", pixels=stored, checksum=checksum, **packing)
        with pytest.raises(ImageFormatError, match=words):
            read_image(tmp_path / "a.xisf")


def test_structural_keywords_do_not_lie(tmp_path):
    """BITPIX and BZERO that an integer file brought from FITS are not written beside float pixels."""
    names = ("BITPIX", "BZERO", "OBJECT")
    raw_xisf(tmp_path / "a.xisf", "".join(f"<FITSKeyword name='{name}' value='16'/>" for name in names))
    image, metadata = read_image(tmp_path / "a.xisf")
    write_image(tmp_path / "b.xisf", image, metadata, cards={"OBJECT": "007"}, history=["a", "b"])
    rows = [tuple(attributes.values()) for _, attributes, _ in elements(tmp_path / "b.xisf")]
    assert rows == [("OBJECT", "'007'", ""), ("HISTORY", "", "a"), ("HISTORY", "", "b")]


def test_keywords_become_cards(tmp_path):
    """Numbers keep their digits, quoted numbers stay text, text of any length and spelling arrives."""
    rows = {
        "PIXELS": ("1.50000000000000000", 1.5), "TEXT": ("'007'", "007"), "BARE": ("M 94", "M 94"),
        "YES": ("T", True), "QUOTE": ("'it''s'", "it's"), "EMPTY": ("", None),
        "LONG": ("'" + "x" * 99 + "'", "x" * 99), "LONGKEYWORD": ("3.5", 3.5), "LONG TEXT": ("'3.5'", "3.5"),
        "UMLAUT": ("'\u00fc'", "\\xfc"),
    }  # fmt: skip
    inside = "".join(
        f"""<FITSKeyword name="{name}" value="{value}" comment=""/>""" for name, (value, _) in rows.items()
    )
    raw_xisf(tmp_path / "a.xisf", inside)
    image, metadata = read_image(tmp_path / "a.xisf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_image(tmp_path / "b.fits", image, metadata)
    header = fits.getheader(tmp_path / "b.fits")
    for name, (_, value) in rows.items():
        assert header[name] == value or (value is None and isinstance(header[name], fits.card.Undefined))
    assert "1.50000000000000000" in header.cards["PIXELS"].image


def test_titles_without_keyword_become_comments(tmp_path):
    """XISF has no keyword without a name; empty lines are dropped."""
    raw_image(tmp_path / "a.fits", "         / SITE", "", "LAT     = 1.0", "         / TELESCOPE", "FOCAL   = 250")
    write_image(tmp_path / "a.xisf", *read_image(tmp_path / "a.fits"))
    rows = [tuple(attributes.values()) for _, attributes, _ in elements(tmp_path / "a.xisf")]
    assert rows == [
        ("COMMENT", "", " / SITE"), ("LAT", "1.0", ""), ("COMMENT", "", " / TELESCOPE"), ("FOCAL", "250", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"geometry": "3:2:3", "sampleFormat": "Complex32"}, "Complex32 not implemented"),
        ({"geometry": "3:2:2:3"}, r"shape \(3, 2, 2, 3\)"),
        ({"geometry": "0:2:3"}, "at least one pixel"),
        ({"geometry": "-3:-2:3"}, "at least one pixel"),
        ({"geometry": "3:2:4"}, "has 4"),
        ({"geometry": "nonsense"}, "cannot decode"),
        ({"geometry": "1000000:1000000:3"}, "truncated or damaged"),
        ({"compression": "lz4:12000000000000", "geometry": "1000000:1000000:3"}, "truncated or damaged"),
        ({"compression": "zlib:72"}, "cannot decode"),
        ({"compression": "unknown:72"}, "Unimplemented compression"),
        ({"location": "attachment:999999:72"}, "truncated or damaged"),
        ({"location": "url(http://localhost/a)"}, "not implemented"),
        ({"colorSpace": "CIELab"}, "colour spaces Gray and RGB"),
    ],
)
def test_files_without_a_readable_image(tmp_path, attributes, message):
    """The package trusts headers; here each lie is one ImageFormatError."""
    raw_xisf(tmp_path / "a.xisf", **attributes)
    with pytest.raises(ImageFormatError, match=message):
        read_image(tmp_path / "a.xisf")


def test_files_without_any_image(tmp_path):
    """The error says that there is none."""
    header = f'<xisf version="1.0" xmlns="{NAMESPACE[1:-1]}"/>'.encode()
    (tmp_path / "a.xisf").write_bytes(b"XISF0100" + len(header).to_bytes(4, "little") + bytes(4) + header)
    with pytest.raises(ImageFormatError, match="found no image"):
        read_image(tmp_path / "a.xisf")
