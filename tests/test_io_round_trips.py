"""From every format to every other one and back: pixels, headers and properties."""

import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from skbgopt.io import ImageFormatError, read_image, write_image
from skbgopt.io._cards import is_structural
from skbgopt.io._convert import fits_header
from tests.test_io import DTYPES, REAL_FILES, real_file
from tests.test_io_fits import raw_image
from tests.test_io_xisf import elements, raw_xisf

SUFFIXES = list(DTYPES)
PAIRS = [pytest.param(*pair, id=" to ".join(pair)) for pair in product(SUFFIXES, SUFFIXES)]
CARDS = [
    "OBJECT  = 'M 31    '           / with blanks", "EXPTIME =                 1.50 / [s]", "YES     = T",
    "COUNT   =        9007199254740993 / beyond a double", "SMALL   = 1.2345678901234567E-300",
    "QUOTED  = 'it''s / not a comment'", "EMPTY   = ''", "NOTHING =", "NUMBER  = '007'",
    "DATE-OBS= '2020-01-01T00:00:00.123' / UTC", "COMMENT   indented", "COMMENT", "HISTORY first",
    "LONG    = 'this text goes on and on until it does not fit into one card of eig&'",
    "CONTINUE  'hty letters&'", "CONTINUE  '' / and neither does its comment", "HISTORY second",
    "COMMENT   indented", "HIERARCH ESO DET CHIP1 = 3 / one more", "HIERARCH ESO NAME = 'it''s'",
    "ROWORDER= 'TOP-DOWN'", "EXTNAME = 'SCI     '", "BAYERPAT= 'GRBG    '",
    "XBAYROFF=                    0", "DUP     = 1", "DUP     = 2",
]  # fmt: skip


def extreme(dtype, shape):
    """Pixels among which are the smallest and largest values of a type, for floats also NaN and infinity."""
    pixels = np.random.default_rng(0).normal(100, 30, shape).clip(0, 200).astype(dtype)
    limits = np.finfo(dtype) if pixels.dtype.kind == "f" else np.iinfo(dtype)
    pixels.flat[:2] = limits.min, limits.max
    if pixels.dtype.kind == "f":
        pixels.flat[2:6] = np.nan, np.inf, -np.inf, -0.0
    return pixels


def through(folder, image, metadata, *suffixes):
    """Write an image to files of these formats one after the other; returns what the last one holds."""
    for number, suffix in enumerate(suffixes):
        path = folder / f"{number}{suffix}"
        write_image(path, image, metadata, overwrite=True)
        image, metadata = read_image(path)
    return image, metadata


def difference(metadata, other):
    """What astropy finds that differs between the headers that two files mean, but for the storage of the pixels."""
    headers = [fits.Header([card for card in fits_header(each).cards if card.keyword]) for each in (metadata, other)]
    ignored = [card.keyword for header in headers for card in header.cards if is_structural(card.keyword)]
    diff = fits.HeaderDiff(*headers, ignore_keywords=ignored, rtol=0)
    order = [[card.keyword for card in header.cards] for header in headers]
    return "" if diff.identical and order[0] == order[1] else diff.report() + str(order)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.filterwarnings("ignore:.*looks encoded for display")
def test_pixels_of_every_type(tmp_path, first, second):
    """Every bit arrives where the second format has the type; else it says so and writes nothing."""
    for dtype, shape in product(DTYPES[first], [(5, 7), (5, 7, 3)]):
        image = extreme(dtype, shape)
        write_image(tmp_path / f"a{first}", image, overwrite=True)
        read, metadata = read_image(tmp_path / f"a{first}")
        target = tmp_path / f"b{second}"
        target.unlink(missing_ok=True)
        if dtype in DTYPES[second]:
            write_image(target, read, metadata)
            again, _ = read_image(target)
            assert again.dtype == dtype and again.tobytes() == image.tobytes()
        else:
            with pytest.raises(ImageFormatError, match=f"Got {image.dtype.name} instead"):
                write_image(target, read, metadata)
            assert not target.exists()


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_cards_of_every_kind(tmp_path, first, second):
    """Headers are equal on the way there and back, in order, with comments, digits and repeated cards."""
    raw_image(tmp_path / "a.fits", *CARDS)
    image, metadata = read_image(tmp_path / "a.fits")
    for route in ((first, second), (second, first)):
        again, metadata_again = through(tmp_path, image, metadata, *route)
        assert again.tobytes() == image.tobytes()
        assert difference(metadata, metadata_again) == ""
        assert metadata_again.bayer_pattern == "GRBG"


def test_cards_hold_what_they_say(tmp_path):
    """The header that the others are compared with is the one that was given."""
    raw_image(tmp_path / "a.fits", *CARDS)
    header = read_image(tmp_path / "a.fits")[1].header
    assert (header["COUNT"], header["SMALL"], header["NUMBER"]) == (9007199254740993, 1.2345678901234567e-300, "007")
    assert header["LONG"].endswith("into one card of eighty letters") and header["HIERARCH ESO DET CHIP1"] == 3
    assert (list(header["HISTORY"]), list(header["COMMENT"])) == (["first", "second"], ["  indented", "", "  indented"])


def tiff_with_tags(path):
    """A TIFF file with tags of every kind that is kept."""
    tifffile.imwrite(
        path, np.arange(30, dtype="u2").reshape(5, 6), description="M 31", iccprofile=bytes(range(200)),
        resolution=(300, 72.5), resolutionunit=3, metadata=None,
        extratags=[(274, 3, 1, 6, True), (306, 2, 0, "2020:01:01 00:00:00", True), (271, 2, 0, "ZWO", True),
                   (272, 2, 0, "ASI", True), (315, 2, 0, "Jürgen".encode(), True), (33432, 2, 0, "(c) Ada", True),
                   (700, 1, 12, b"<x:xmpmeta/>", True)],
    )  # fmt: skip


def test_tags_of_tiff_come_back(tmp_path):
    """Also a second time."""
    tiff_with_tags(tmp_path / "a.tif")
    image, metadata = read_image(tmp_path / "a.tif")
    assert metadata.tiff.resolution == (300, 72.5, 3) and metadata.tiff.orientation == 6
    assert [value for _, _, value in metadata.tiff.others] == [
        b"ZWO", b"ASI", b"2020:01:01 00:00:00", "Jürgen".encode(), b"<x:xmpmeta/>", b"(c) Ada"
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert through(tmp_path, image, metadata, ".tif", ".tif")[1].tiff == metadata.tiff
    with tifffile.TiffFile(tmp_path / "1.tif") as tiff:
        assert tiff.pages.first.tags["Artist"].value == "Jürgen"
        assert tiff.pages.first.tags["DateTime"].value == "2020:01:01 00:00:00"


def test_what_tiff_and_xisf_both_hold(tmp_path):
    """Colour profile, orientation and resolution survive the way through the other; what does not is named once."""
    tiff_with_tags(tmp_path / "a.tif")
    image, metadata = read_image(tmp_path / "a.tif")
    with pytest.warns(UserWarning, match="XISF cannot hold the TIFF properties Make, Model, DateTime") as caught:
        write_image(tmp_path / "a.xisf", image, metadata)
    assert len(caught) == 1
    _, middle = read_image(tmp_path / "a.xisf")
    assert middle.xisf.attributes["orientation"] == "-90"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_image(tmp_path / "b.tif", image, middle)
    tags, before = read_image(tmp_path / "b.tif")[1].tiff, metadata.tiff
    assert (tags.icc_profile, tags.orientation, tags.resolution) == (
        before.icc_profile, before.orientation, before.resolution
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"FITS cannot .* and 4 more; they are left out") as caught:
        write_image(tmp_path / "a.fits", image, metadata)
    assert len(caught) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_mean_the_same(tmp_path, orientation):
    """A turn of XISF (counter-clockwise, then a mirror) shows what TIFF says of the rows and columns."""
    image = np.arange(6, dtype="u2").reshape(2, 3)
    tifffile.imwrite(tmp_path / "a.tif", image, metadata=None, extratags=[(274, 3, 1, orientation, True)])
    write_image(tmp_path / "a.xisf", *read_image(tmp_path / "a.tif"))
    turned = read_image(tmp_path / "a.xisf")[1].xisf.attributes.get("orientation", "0")
    angle, _, mirrored = "0;flip".partition(";") if turned == "flip" else turned.partition(";")
    by_xisf = np.rot90(image, int(angle) // 90)
    by_xisf = by_xisf[:, ::-1] if mirrored else by_xisf
    # Row 0 and column 0 of the stored pixels lie at these sides of what is seen.
    by_tiff = image.T if orientation >= 5 else image
    by_tiff = by_tiff[::-1] if orientation in (3, 4, 7, 8) else by_tiff
    by_tiff = by_tiff[:, ::-1] if orientation in (2, 3, 6, 7) else by_tiff
    np.testing.assert_array_equal(by_xisf, by_tiff)


def test_properties_of_every_type(tmp_path):
    """From XISF to XISF the XML stays; to the others its keywords, and one warning names all else."""
    inside = (
        """<FITSKeyword name="OBJECT" value="'M 31'" comment="x"/>"""
        """<Property id="a:True" type="Boolean" value="true"/><Property id="a:Text" type="String">'007'</Property>"""
        """<Property id="a:Bytes" type="ByteArray" length="3" location="inline:base64">AQID</Property>"""
        """<Property id="a:Table" type="Table" caption="t"><Structure><Field id="c" type="Int32" header="h"/>"""
        """</Structure><Row><Cell value="1"/></Row></Property>"""
        """<Property id="a:Time" type="TimePoint" value="2020-01-01T00:00:00Z" comment="when"/>"""
        """<ICCProfile location="inline:base64">AQID</ICCProfile>"""
        """<Resolution horizontal="72" vertical="72" unit="inch"/>"""
        """<ColorFilterArray pattern="GRBG" width="2" height="2"/>"""
        """<DisplayFunction m="0.5:0.5:0.5:0.5" s="0:0:0:0" h="1:1:1:1" l="0:0:0:0" r="1:1:1:1" name="stretch"/>"""
    )
    kept = {".xisf": set(), ".tif": {"ICCProfile", "Resolution"}, ".fits": set()}
    named = {"a:True", "a:Text", "a:Bytes", "a:Table", "a:Time"}
    raw_xisf(tmp_path / "a.xisf", inside, id="M31", imageType="Light")
    image, metadata = read_image(tmp_path / "a.xisf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert through(tmp_path, image, metadata, ".xisf", ".xisf")[1].bayer_pattern == "GRBG"
    assert elements(tmp_path / "1.xisf") == elements(tmp_path / "a.xisf")
    for suffix in (".tif", ".fits"):
        with pytest.warns(UserWarning, match="cannot hold the XISF properties") as caught:
            write_image(tmp_path / f"b{suffix}", image, metadata)
        assert len(caught) == 1
        text = str(caught[0].message)
        assert all(name in text for name in named), text
        assert f"and {5 - len(kept[suffix])} more" in text, text
        again = read_image(tmp_path / f"b{suffix}")[1]
        assert (again.header["OBJECT"], again.header["BAYERPAT"]) == ("M 31", "GRBG")
    tags = read_image(tmp_path / "b.tif")[1].tiff
    assert (tags.icc_profile, tags.resolution) == (b"\1\2\3", (72, 72, 2))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", REAL_FILES)
@pytest.mark.filterwarnings("ignore:.*cannot hold the XISF properties")
def test_real_files_come_back(tmp_path, name, suffix):
    """By way of any format to their own: every pixel of a part, every card, and the coordinates of its corners."""
    image, metadata = read_image(real_file(name))
    image = np.ascontiguousarray(image[:160, :160])
    own = "".join(Path(name).suffixes)
    again, metadata_again = through(tmp_path, image, metadata, suffix, own)
    assert again.dtype == image.dtype and again.tobytes() == image.tobytes()
    assert difference(metadata, metadata_again) == ""
    assert metadata_again.bayer_pattern == metadata.bayer_pattern
    rows, columns = np.meshgrid([0, image.shape[0] - 1], [0, image.shape[1] - 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        was, now = (WCS(fits_header(each)).celestial for each in (metadata, metadata_again))
    assert was.naxis == now.naxis
    if was.naxis == 2:
        np.testing.assert_array_equal(was.wcs_pix2world(columns, rows, 0), now.wcs_pix2world(columns, rows, 0))
        np.testing.assert_array_equal(was.all_pix2world(columns, rows, 0), now.all_pix2world(columns, rows, 0))
