"""Reading and writing of images: what holds in every format."""

import contextlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xisf
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from skbgopt.io import ImageFormatError, ImageMetadata, read_image, write_image
from skbgopt.io._cards import is_structural

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
REAL_FILES = {
    "galcenter_2mass_k.fits": ((720, 721), "float32"),
    "m94_seestar_moonlit_nan_rgb.fits": ((800, 594, 3), "float32"),
    "m94_seestar_rgb.xisf": ((984, 574, 3), "float32"),
    "ngc6976_sdss_r_f32.fits": ((496, 682), "float32"),
    "ngc7023_seestar_u16_rgb.fits": ((960, 540, 3), "uint16"),
    "panoptes_crowded_bayer.fits.fz": ((700, 700), "uint16"),
    "tetra3_wide_gradient_mono.tiff": ((768, 1024), "uint16"),
}
DTYPES = {
    ".fits": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".fits.fz": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".fit.gz": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".xisf": ["u1", "u2", "u4", "f4", "f8"],
    ".tif": ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"],
}
ROUND_TRIP = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def images(draw, suffix):
    """Images of few pixels, every dtype and channel count that the format of `suffix` holds."""
    channels = st.sampled_from([(), (3,)] if suffix in (".xisf", ".tif") else [(), (2,), (3,), (4,)])
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7))) + draw(channels)
    dtype = np.dtype(draw(st.sampled_from(DTYPES[suffix]))).newbyteorder(draw(st.sampled_from("<>")))
    return draw(hnp.arrays(dtype, shape))


def keywords():
    """Keywords that a caller may set."""
    names = st.text("ABCXYZ0189-_", min_size=1, max_size=8)
    return names.filter(lambda name: not is_structural(name) and name not in ("COMMENT", "HISTORY"))


def card_values():
    """Values that a card holds; FITS ignores blanks at the end of text."""
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.rstrip)
    numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40)
    return st.booleans() | numbers | text


def real_file(name):
    """The path of a real image, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


def header_of(path):
    """The header of the image as astropy reads it, without the cards that describe the storage."""
    with fits.open(path) as hdus:
        header = hdus[1 if len(hdus) > 1 else 0].header
        return [card.image for card in header.cards if not is_structural(card.keyword)]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", DTYPES)
@ROUND_TRIP
@given(data=st.data())
def test_pixels_survive_bit_by_bit(tmp_path, suffix, compress, data):
    """What is read is what was written, in shape, type and every bit."""
    image = data.draw(images(suffix))
    before = image.tobytes()
    write_image(tmp_path / f"a{suffix}", image, compress=compress, overwrite=True)
    again, metadata = read_image(tmp_path / f"a{suffix}")
    native = image.astype(image.dtype.newbyteorder("="))
    assert again.tobytes() == native.tobytes() and again.shape == image.shape
    assert again.dtype == metadata.dtype == native.dtype and again.dtype.isnative
    assert again.flags.writeable and again.flags.c_contiguous
    assert image.tobytes() == before


@pytest.mark.parametrize("route", [(".fits",), (".xisf",), (".tif", ".xisf"), (".xisf", ".tif")])
@ROUND_TRIP
@given(
    cards=st.dictionaries(keywords(), card_values(), max_size=5),
    history=st.lists(st.text(max_size=99), max_size=3),
)
def test_cards_survive_every_route(tmp_path, route, cards, history):
    """Cards and history written in any format arrive in FITS with equal values."""
    image, metadata = np.ones((3, 4), "f4"), None
    options = {"cards": cards, "history": history}
    for suffix in (*route, ".fits"):
        write_image(tmp_path / f"a{suffix}", image, metadata, overwrite=True, **options)
        image, metadata = read_image(tmp_path / f"a{suffix}")
        options = {}
    header = metadata.header
    assert {key: header[key] for key in cards} == cards
    direct = tmp_path / "direct.fits"
    write_image(direct, image, history=history, overwrite=True)
    lines = [line.rstrip() for line in header.get("HISTORY", [])]
    assert lines == [line.rstrip() for line in fits.getheader(direct).get("HISTORY", [])]


@pytest.mark.parametrize("value", ["a'/b", "'/", "30' / 20'", "it''s / ours", "'"])
@pytest.mark.parametrize("route", [(".fits",), (".xisf",), (".fits", ".tif"), (".fits", ".xisf")])
def test_a_quote_before_a_slash_ends_no_text(tmp_path, route, value):
    """As it does in astropy: text and comment arrive whole, and FITS holds each quote twice."""
    image, metadata, options = np.ones((3, 4), "f4"), None, {"cards": {"NOTE": (value, "a / b")}}
    for suffix in (*route, ".fits"):
        path = tmp_path / f"a{suffix}"
        write_image(path, image, metadata, overwrite=True, **options)
        image, metadata = read_image(path)
        options = {}
    assert (metadata.header["NOTE"], metadata.header.comments["NOTE"]) == (value, "a / b")
    doubled = value.replace("'", "''")
    assert f"NOTE    = '{doubled:<8}'".encode() in path.read_bytes()


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_are_read_as_described(name):
    """Shape and type are those that SOURCES.md lists."""
    image, metadata = read_image(real_file(name))
    assert (image.shape, image.dtype.name) == REAL_FILES[name]
    assert metadata.dtype == image.dtype


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_keep_everything_in_their_own_format(tmp_path, name):
    """Written and opened with the format's own package, pixels and metadata equal those of the source."""
    source, target = real_file(name), tmp_path / name
    image, metadata = read_image(source)
    write_image(target, image, metadata, cards={"SKBGTEST": (1.5, "ours")})
    if ".fits" in name:
        index = 1 if name.endswith(".fz") else 0
        assert_array_equal(fits.getdata(target, index), fits.getdata(source, index))
        assert fits.getdata(target, index).dtype.name == image.dtype.name
        ours = fits.Card("SKBGTEST", 1.5, "ours").image
        assert sorted(header_of(target)) == sorted([*header_of(source), ours])
        assert [card for card in header_of(target) if card != ours] == header_of(source)
    elif name.endswith(".xisf"):
        was, now = xisf.XISF(str(source)), xisf.XISF(str(target))
        assert_array_equal(now.read_image(0), was.read_image(0))
        before, after = was.get_images_metadata()[0], now.get_images_metadata()[0]
        assert after["FITSKeywords"].pop("SKBGTEST") == [{"value": "1.5", "comment": "ours"}]
        assert after["FITSKeywords"] == before["FITSKeywords"]
        assert after["bounds"] == before["bounds"] and after["id"] == before["id"]
    else:
        assert_array_equal(tifffile.imread(target), tifffile.imread(source))


@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".xisf", ".tif"])
@pytest.mark.parametrize(
    "name", ["galcenter_2mass_k.fits", "ngc6976_sdss_r_f32.fits", "panoptes_crowded_bayer.fits.fz"]
)
def test_wcs_survives_conversion(tmp_path, name, suffix):
    """The corners of the image have the same celestial coordinates after a way through every format."""
    image, metadata = read_image(real_file(name))
    write_image(tmp_path / f"via{suffix}", image, metadata)
    write_image(tmp_path / "back.fits.gz", *read_image(tmp_path / f"via{suffix}"))
    back, metadata_back = read_image(tmp_path / "back.fits.gz")
    assert_array_equal(back, image)
    rows, columns = np.meshgrid([0, image.shape[0] - 1], [0, image.shape[1] - 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        was, now = (WCS(meta.header).pixel_to_world(columns, rows) for meta in (metadata, metadata_back))
    assert_array_equal([was.ra.deg, was.dec.deg], [now.ra.deg, now.dec.deg])


def test_row_order_and_bayer_pattern_survive_conversion(tmp_path):
    """ROWORDER and BAYERPAT come back from every format, and the metadata names the pattern."""
    image = np.arange(12, dtype="u2").reshape(3, 4)
    cards = {"BAYERPAT": "GRBG", "ROWORDER": ("TOP-DOWN", "as stored")}
    metadata = None
    for suffix in (".fits", ".xisf", ".tif", ".fits.fz", ".tif", ".xisf", ".fits"):
        write_image(tmp_path / f"a{suffix}", image, metadata, cards=cards, overwrite=True)
        again, metadata = read_image(tmp_path / f"a{suffix}")
        assert_array_equal(again, image)
        assert metadata.bayer_pattern == "GRBG"
        cards = None
    assert metadata.header["ROWORDER"] == "TOP-DOWN" and metadata.header.comments["ROWORDER"] == "as stored"


def test_integer_files_may_become_float_files(tmp_path):
    """An integer file's header on float pixels, negative and NaN ones too, carries no scaling over."""
    write_image(tmp_path / "u.fits", np.arange(6, dtype="u2").reshape(2, 3))
    image, metadata = read_image(tmp_path / "u.fits")
    assert image.dtype == "uint16" and metadata.header["BZERO"] == 32768
    floats = image - np.float32(2.5)
    floats[0, 0] = np.nan
    for suffix in (".fits", ".fits.fz", ".xisf", ".tif"):
        write_image(tmp_path / f"f{suffix}", floats, metadata)
        again, metadata_again = read_image(tmp_path / f"f{suffix}")
        assert_array_equal(again, floats)
        assert metadata_again.header is None or "BZERO" not in metadata_again.header


def test_content_decides_the_format(tmp_path):
    """A file with a misleading suffix is recognised."""
    write_image(tmp_path / "a.xisf", np.ones((2, 3), "f4"))
    os.rename(tmp_path / "a.xisf", tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits")[1].format == "xisf"


def test_metadata_is_not_changed_by_writing(tmp_path):
    """The same metadata serves any number of images."""
    for suffix in (".fits", ".xisf", ".tif"):
        path = tmp_path / f"a{suffix}"
        write_image(path, np.ones((2, 3), "f4"), history=["one"], cards={"A": 1})
        image, metadata = read_image(path)
        for target in ("b.fits", "b.xisf", "b.tif"):
            write_image(tmp_path / target, image, metadata, history=["two"], cards={"A": 2}, overwrite=True)
        write_image(tmp_path / "c.fits", image, metadata, overwrite=True)
        header = fits.getheader(tmp_path / "c.fits")
        assert header["A"] == 1 and list(header["HISTORY"]) == ["one"]


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (np.ones((2, 2)), "a.png", "one of .fits .fits.fz .* Got 'a.png' instead"),
        (np.ones((2, 2)), "fits", "chooses the format by the suffix"),
        (np.ones((2, 2, 2, 2)), "a.fits", r"Got the shape \(2, 2, 2, 2\)"),
        (np.ones(2), "a.fits", r"Got the shape \(2,\)"),
        (np.ones((0, 2)), "a.fits", "at least one pixel"),
        (np.ones((2, 2), complex), "a.fits", "Got complex128 instead"),
        (np.ones((2, 2), bool), "a.tif", "Got bool instead"),
        (np.ones((2, 2), "i2"), "a.xisf", "uint8, uint16, uint32, float32, float64. Got int16 instead"),
        (np.ones((2, 2, 2)), "a.xisf", "1 or 3 channels. .* has 2"),
        (np.ones((2, 2, 4)), "a.tif", "1 or 3 channels. .* has 4"),
    ],
)
def test_images_that_a_format_cannot_hold(tmp_path, image, name, message):
    """The error says what is allowed and what came, and no file appears."""
    with pytest.raises(ImageFormatError, match=message):
        write_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"TOOLONGKEY": 1}, "1 to 8 letters"),
        ({"ÄB": 1}, "1 to 8 letters"),
        ({"A": float("nan")}, "A=nan instead"),
        ({"A": [1]}, r"A=\[1\] instead"),
        ({"BITPIX": 8}, "must not hold 'BITPIX'"),
        ({"HISTORY": "x"}, "must not hold 'HISTORY'"),
    ],
)
def test_cards_that_fits_cannot_hold(tmp_path, cards, message):
    """Bad cards are refused before anything is written."""
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / "a.fits", np.ones((2, 2)), cards=cards)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "it is empty"), (b"\x89PNG....", "begins with b'.x89PNG"), (b"\x1f\x8bxx", "none of")],
)
def test_files_of_unknown_formats(tmp_path, content, message):
    """A file that is none of the three formats is named with its first bytes."""
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(ImageFormatError, match=message):
        read_image(tmp_path / "a.fits")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".fits.gz", ".xisf", ".tif"])
def test_truncated_files(tmp_path, suffix, compress):
    """A file cut anywhere gives one ImageFormatError of one line, never part of an image."""
    path = tmp_path / f"a{suffix}"
    image = np.random.default_rng(0).normal(size=(70, 50)).astype("f4")
    write_image(path, image, compress=compress)
    content = path.read_bytes()
    # Without padding and check sums, whose loss takes no pixel away.
    last = int(0.95 * len(content.rstrip(b"\0")))
    for length in np.linspace(30, last, 12).astype(int):
        path.write_bytes(content[:length])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ImageFormatError) as caught:
                read_image(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".fits.gz", ".xisf", ".tif"])
@ROUND_TRIP
@given(data=st.data())
def test_damaged_files_raise_one_kind_of_error(tmp_path, suffix, data):
    """Whatever bytes are changed, the file is read or ImageFormatError is raised, nothing else."""
    path = tmp_path / f"a{suffix}"
    write_image(path, np.arange(30, dtype="f4").reshape(5, 6), compress=True, cards={"A": "b"}, overwrite=True)
    content = bytearray(path.read_bytes())
    structure = len(content.rstrip(b"\0"))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, structure - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ImageFormatError):
        read_image(path)


def test_the_errors_of_the_operating_system_pass(tmp_path):
    """Missing files, directories and closed doors keep their usual exceptions."""
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.fits")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError):
        write_image(tmp_path / "none" / "a.fits", np.ones((2, 2)))
    (tmp_path / "dir.fits").mkdir()
    with pytest.raises(IsADirectoryError):
        write_image(tmp_path / "dir.fits", np.ones((2, 2)), overwrite=True)


def test_existing_files_are_replaced_only_on_request(tmp_path):
    """Without overwrite the old file stays; with it, its permissions and the link to it stay."""
    path, link = tmp_path / "a.fits", tmp_path / "link.fits"
    write_image(path, np.zeros((2, 2)))
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        write_image(path, np.ones((2, 2)))
    assert read_image(path)[0].max() == 0
    write_image(link, np.ones((2, 2)), overwrite=True)
    assert read_image(path)[0].max() == 1 and link.is_symlink() and path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".fits.gz", ".xisf", ".tif"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_while_writing_changes_nothing(tmp_path, monkeypatch, suffix, error):
    """If writing breaks off after some bytes, the old file is untouched and no temporary one is left."""
    path = tmp_path / f"a{suffix}"
    write_image(path, np.zeros((4, 4)))
    before = path.read_bytes()

    def break_off(target, *args, **kwargs):
        with open(target, "wb") if isinstance(target, str | Path) else target as file:
            file.write(b"half")
            raise error

    monkeypatch.setattr(fits.HDUList, "writeto", lambda self, file, **kwargs: break_off(file))
    monkeypatch.setattr(xisf.XISF, "write", staticmethod(break_off))
    monkeypatch.setattr(tifffile, "imwrite", break_off)
    with pytest.raises(type(error)):
        write_image(path, np.ones((4, 4)), overwrite=True)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_hdu_is_for_fits_only(tmp_path):
    """The error says so."""
    write_image(tmp_path / "a.xisf", np.ones((2, 2)))
    with pytest.raises(ImageFormatError, match="is for FITS files only"):
        read_image(tmp_path / "a.xisf", hdu=1)


def test_import_is_light():
    """Importing the package loads none of the packages that know the formats."""
    heavy = ["astropy", "xisf", "tifffile"]
    code = f"import sys, skbgopt.io; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_masked_and_single_channel_images(tmp_path):
    """A mask is not written and its pixels are; one channel is written as no channel axis is read."""
    masked = np.ma.array(np.arange(6.0).reshape(2, 3), mask=True)
    for suffix in (".fits", ".xisf", ".tif"):
        write_image(tmp_path / f"a{suffix}", masked[..., np.newaxis], ImageMetadata("fits"))
        assert_allclose(read_image(tmp_path / f"a{suffix}")[0], masked.data, rtol=0)
