"""What holds for FITS files alone."""

import gzip
import warnings
from itertools import product

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from skbgopt.io import ImageFormatError, read_image, write_image

SIMPLE = f"SIMPLE  = {'T':>20}"
IMAGE = np.arange(30, dtype="f4").reshape(5, 6)


def card(text):
    """One card image."""
    return text.ljust(80).encode("latin-1")


def raw_fits(path, cards, data=b""):
    """A file of exactly these cards and bytes."""
    header = b"".join(map(card, [*cards, "END"]))
    header += b" " * (-len(header) % 2880)
    path.write_bytes(header + data + b"\0" * (-len(data) % 2880))


def raw_image(path, *cards):
    """A file of a 2 x 3 float image with these cards added."""
    axes = [SIMPLE, "BITPIX  =  -32", "NAXIS   =  2", "NAXIS1  =  3", "NAXIS2  =  2"]
    raw_fits(path, [*axes, *cards], np.arange(6, dtype=">f4").tobytes())


@settings(max_examples=40, deadline=None)
@given(
    stored=hnp.arrays(st.sampled_from([">i2", ">i4", ">u1"]), (3, 4)),
    scale=st.floats(0.01, 100),
    zero=st.floats(-1e4, 1e4),
)
def test_scaled_integers_are_floats(tmp_path_factory, stored, scale, zero):
    """BSCALE and BZERO give stored * BSCALE + BZERO, in float64 if the integers have 32 bits."""
    path = tmp_path_factory.mktemp("scaled") / "a.fits"
    bits = stored.dtype.itemsize * 8
    axes = [SIMPLE, f"BITPIX  =  {bits}", "NAXIS   =  2", "NAXIS1  =  4", "NAXIS2  =  3"]
    raw_fits(path, [*axes, f"BSCALE  =  {scale!r}", f"BZERO   =  {zero!r}"], stored.tobytes())
    image, _ = read_image(path)
    assert image.dtype == ("float64" if bits == 32 else "float32")
    np.testing.assert_allclose(image, stored * scale + zero, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("keyword", ["BSCALE", "BZERO"])
def test_a_scale_that_is_given_twice_is_refused(tmp_path, keyword):
    """astropy heeds the one for the pixels and the other elsewhere; equal ones do no harm."""
    raw_image(tmp_path / "a.fits", f"{keyword:<8}= 2.0", f"{keyword:<8}= 3.0")
    with pytest.raises(ImageFormatError, match=rf"{keyword} is both 2.0 and 3.0"):
        read_image(tmp_path / "a.fits")
    raw_image(tmp_path / "b.fits", *2 * [f"{keyword:<8}= 2.0"])
    assert read_image(tmp_path / "b.fits")[0][0, 1] == (2 if keyword == "BSCALE" else 3)


def test_check_sums_are_left_out(tmp_path):
    """Those of the input are none of the result."""
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "a.fits", checksum=True)
    write_image(tmp_path / "b.fits", *read_image(tmp_path / "a.fits"))
    assert not {"CHECKSUM", "DATASUM"} & set(fits.getheader(tmp_path / "b.fits"))


@pytest.mark.parametrize("unsigned", [False, True])
def test_blank_is_nan(tmp_path, unsigned):
    """Integers equal to BLANK are missing, also where BZERO makes unsigned integers of them."""
    stored = np.array([[1, -7], [3, 4]], ">i2")
    axes = [SIMPLE, "BITPIX  =  16", "NAXIS   =  2", "NAXIS1  =  2", "NAXIS2  =  2", "BLANK   =  -7"]
    raw_fits(tmp_path / "a.fits", axes + ["BZERO   =  32768"] * unsigned, stored.tobytes())
    image, metadata = read_image(tmp_path / "a.fits")
    assert_array_equal(image, np.array([[1, np.nan], [3, 4]], "f4") + 32768 * unsigned)
    write_image(tmp_path / "b.fits", image, metadata)
    assert_array_equal(fits.getdata(tmp_path / "b.fits"), image)
    assert not {"BLANK", "BZERO", "BSCALE"} & set(fits.getheader(tmp_path / "b.fits"))


@pytest.mark.parametrize(
    ("stored_shape", "shape", "layout"),
    [
        ((5, 6), (5, 6), "HW"),
        ((1, 5, 6), (5, 6), "1HW"),
        ((3, 5, 6), (5, 6, 3), "CHW"),
        ((2, 5, 3), (5, 3, 2), "CHW"),
        ((5, 6, 3), (5, 6, 3), "HWC"),
    ],
)
@pytest.mark.parametrize("tiled", [False, True])
def test_layout_comes_back(tmp_path, stored_shape, shape, layout, tiled):
    """Channels are last in the image, and in the file they are where they were."""
    stored = np.arange(np.prod(stored_shape), dtype="f4").reshape(stored_shape)
    hdu = fits.CompImageHDU(stored, compression_type="GZIP_2", quantize_level=0) if tiled else fits.ImageHDU(stored)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    image, metadata = read_image(tmp_path / "a.fits")
    assert (image.shape, metadata.layout, metadata.compressed) == (shape, layout, tiled)
    write_image(tmp_path / "b.fits", image, metadata)
    assert_array_equal(fits.getdata(tmp_path / "b.fits", 1 if tiled else 0), stored)


@pytest.mark.parametrize("dtype", ["u2", "u4", "f4", "f8", "i8"])
def test_compression_is_lossless_and_named(tmp_path, dtype):
    """Floats are compressed by GZIP_2 without quantisation, integers by RICE_1."""
    image = np.random.default_rng(0).normal(1000, 100, (40, 50)).astype(dtype)
    write_image(tmp_path / "a.fits", image, compress=True)
    with fits.open(tmp_path / "a.fits", disable_image_compression=True) as hdus:
        codec = "RICE_1" if dtype in ("u2", "u4") else "GZIP_2"
        assert hdus[0].data is None and hdus[1].header["ZCMPTYPE"] == codec
    assert_array_equal(fits.getdata(tmp_path / "a.fits", 1), image)


@pytest.mark.parametrize(
    ("codec", "dtype"),
    [
        *product(["RICE_1", "GZIP_1", "HCOMPRESS_1", "NOCOMPRESS"], ["u1", "i2", "u2", "i4", "u4", "f4", "f8"]),
        *product(["PLIO_1"], ["u1", "i2", "i4", "f4"]),
        *product(["GZIP_2"], ["u2", "i8", "u8", "f4"]),
    ],
)
def test_tiles_of_every_codec(tmp_path, codec, dtype):
    """What astropy reads of any tiles, also of floats that were quantised with loss, is written again exactly."""
    image = np.random.default_rng(0).normal(100, 9, (20, 24)).astype(dtype)
    fits.CompImageHDU(image, compression_type=codec).writeto(tmp_path / "a.fits")
    image, metadata = read_image(tmp_path / "a.fits")
    assert_array_equal(image, fits.getdata(tmp_path / "a.fits", 1))
    write_image(tmp_path / "b.fits", image, metadata)
    assert_array_equal(fits.getdata(tmp_path / "b.fits", 1), image)
    assert fits.getdata(tmp_path / "b.fits", 1).dtype.name == image.dtype.name


def test_missing_pixels_in_tiles(tmp_path):
    """NaN of quantised floats and BLANK of integers are NaN."""
    image = np.random.default_rng(0).normal(100, 9, (20, 24)).astype("f4")
    image[3, 4] = np.nan
    fits.CompImageHDU(image, compression_type="RICE_1").writeto(tmp_path / "a.fits")
    integers = np.nan_to_num(image, nan=-7).astype("i2")
    fits.CompImageHDU(integers, fits.Header({"BLANK": -7}), compression_type="RICE_1").writeto(tmp_path / "b.fits")
    for name in ("a.fits", "b.fits"):
        again, metadata = read_image(tmp_path / name)
        assert np.argwhere(np.isnan(again)).tolist() == [[3, 4]]
        write_image(tmp_path / "c.fits", again, metadata, overwrite=True)
        assert_array_equal(read_image(tmp_path / "c.fits")[0], again)


def test_cards_of_a_table_do_not_get_into_that_of_the_tiles(tmp_path):
    """They would break it; a warning names them, and the others stay."""
    cards = ["TTYPE1  = 'x       '", "ZTILE1  = 7", "A       = 1", "TFIELDS = 9", "A       = 2", "TELESCOP= 'S50'"]
    raw_image(tmp_path / "a.fits", *cards)
    image, metadata = read_image(tmp_path / "a.fits")
    with pytest.warns(
        UserWarning, match="FITS tiles cannot hold these keywords, .*: TFIELDS, TTYPE1, ZTILE1"
    ) as caught:
        write_image(tmp_path / "b.fits.fz", image, metadata)
    assert len(caught) == 1
    again, metadata = read_image(tmp_path / "b.fits.fz")
    assert_array_equal(again, image)
    assert [card.image.rstrip() for card in metadata.header.cards][-3:] == ["A       = 1", "A       = 2", cards[-1]]


@pytest.mark.parametrize("keyword", ["BAYERPAT", "COLORTYP", "CFAPAT"])
@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".xisf", ".tif"])
def test_the_colours_of_a_mosaic_have_several_names(tmp_path, keyword, suffix):
    """Each is understood in each format, and none is added to another."""
    write_image(tmp_path / "a.fits", IMAGE, cards={keyword: "gbrg"})
    image, metadata = read_image(tmp_path / "a.fits")
    write_image(tmp_path / f"b{suffix}", image, metadata)
    image, metadata = read_image(tmp_path / f"b{suffix}")
    assert metadata.bayer_pattern == "GBRG"
    write_image(tmp_path / "c.fits", image, metadata)
    header = read_image(tmp_path / "c.fits")[1].header
    assert [key for key in ("BAYERPAT", "COLORTYP", "CFAPAT") if key in header] == [keyword]


@pytest.mark.parametrize("suffix", [".fits", ".xisf", ".tif"])
def test_unknown_colours_of_a_mosaic_are_not_passed_over(tmp_path, suffix):
    """A warning says what BAYERPAT is, unless it says that there is none."""
    for text, expected in (("FOVEON", ["BAYERPAT is 'FOVEON'"]), ("none", []), ("", [])):
        write_image(tmp_path / f"a{suffix}", IMAGE, cards={"BAYERPAT": text}, overwrite=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert read_image(tmp_path / f"a{suffix}")[1].bayer_pattern is None
        messages = [str(warning.message) for warning in caught]
        assert len(messages) == len(expected) and all(map(str.__contains__, messages, expected))


@pytest.mark.filterwarnings("ignore:.*will not keep")
def test_extension_becomes_primary_with_both_headers(tmp_path):
    """An image extension is written as the primary image; what only the primary header says is kept."""
    primary, image = fits.PrimaryHDU(), fits.ImageHDU(IMAGE, name="SCI", ver=1)
    primary.header["OBSERVER"], primary.header["EXPTIME"] = "Ada", 1.0
    primary.header["HISTORY"] = "before"
    image.header["EXPTIME"], image.header["INHERIT"] = 30.0, True
    fits.HDUList([primary, image, fits.ImageHDU(IMAGE + 1, name="ERR")]).writeto(tmp_path / "a.fits")
    write_image(tmp_path / "b.fits", *read_image(tmp_path / "a.fits"))
    with fits.open(tmp_path / "b.fits") as hdus:
        assert len(hdus) == 1
        assert_array_equal(hdus[0].data, IMAGE)
        header = hdus[0].header
    assert (header["OBSERVER"], header["EXPTIME"], header["HISTORY"][0]) == ("Ada", 30.0, "before")
    assert "INHERIT" not in header and "XTENSION" not in header


@pytest.mark.parametrize("packed", [False, True])
def test_what_lies_beside_the_image_is_named(tmp_path, packed):
    """In one warning, whichever HDU is read and however it is asked for; empty ones are not worth a word."""
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])], name="STARS")
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(IMAGE, name="SCI"), table, fits.ImageHDU(IMAGE + 1, name="ERR")]
    path = tmp_path / ("a.fits.gz" if packed else "a.fits")
    fits.HDUList(hdus).writeto(path)
    others = {1: "2 STARS (table), 3 ERR (image)", 3: "1 SCI (image), 2 STARS (table)"}
    for hdu, number in ((None, 1), (1, 1), ("sci", 1), (3, 3), ("ERR", 3), (-1, 3)):
        with pytest.warns(UserWarning) as caught:
            image, _ = read_image(path, hdu=hdu)
        assert [str(warning.message) for warning in caught] == [
            f"{path}: HDUs that write_image will not keep: {others[number]}."
        ]
        assert_array_equal(image, IMAGE + (number == 3))


@pytest.mark.filterwarnings("ignore")
def test_what_lies_behind_the_image_may_be_broken(tmp_path):
    """The image is read all the same."""
    fits.HDUList([fits.PrimaryHDU(IMAGE), fits.ImageHDU(IMAGE)]).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    for broken in (content[: 3 * 2880], content[: 2 * 2880] + b"no header" * 99, content[: 2 * 2880 + 99]):
        (tmp_path / "a.fits").write_bytes(broken)
        assert_array_equal(read_image(tmp_path / "a.fits", hdu=0)[0], IMAGE)


def test_long_lists_of_hdus_are_cut_short(tmp_path):
    """A sentence stays one."""
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(60))]).writeto(tmp_path / "a.fits")
    with pytest.raises(ImageFormatError, match=r"19 unnamed \(empty\) and 41 more; export"):
        read_image(tmp_path / "a.fits")


def test_order_and_repetition_of_lines_survive(tmp_path):
    """COMMENT, HISTORY, blank and repeated cards keep their order; new history follows the old."""
    cards = [
        "COMMENT one", "COMMENT", "A       =  1 / first", "HISTORY two", "COMMENT one", "COMMENT", "",
        "A       =  2 / again", "HISTORY three", "LONG    = 'ends in&'", "CONTINUE  ' a second card'",
    ]  # fmt: skip
    raw_image(tmp_path / "a.fits", *cards)
    write_image(tmp_path / "b.fits", *read_image(tmp_path / "a.fits"), history=["four"])
    header = fits.getheader(tmp_path / "b.fits")
    text = [line.rstrip() for line in repr(header).splitlines()]
    assert text[-len(cards) - 1 :] == [*cards, "HISTORY four"]
    assert header["LONG"] == "ends in a second card"


def test_broken_cards_do_not_lose_the_others(tmp_path):
    """Cards that break the standard are repaired or dropped with one warning, text that is not ASCII too."""
    raw_image(tmp_path / "a.fits", "OBSERVER= 'J\xfcrgen'", "FOO     = abc def", "GOOD    =  1", "NOT     = NaN")
    with pytest.warns(UserWarning) as caught:
        image, metadata = read_image(tmp_path / "a.fits")
    assert any("FOO" in str(warning.message) for warning in caught)
    write_image(tmp_path / "b.fits", image, metadata)
    header = fits.getheader(tmp_path / "b.fits")
    assert header["GOOD"] == 1 and header["OBSERVER"] == "J?rgen" and header["FOO"] == "abc def"
    assert header["NOT"] == "NaN"


def test_extremes_in_the_header_stay_true(tmp_path):
    """DATAMIN and DATAMAX describe the pixels that were written."""
    write_image(tmp_path / "a.fits", IMAGE, cards={"DATAMIN": 0.0, "DATAMAX": 29.0})
    _, metadata = read_image(tmp_path / "a.fits")
    write_image(tmp_path / "b.fits", IMAGE - 10, metadata)
    header = fits.getheader(tmp_path / "b.fits")
    assert (header["DATAMIN"], header["DATAMAX"]) == (-10, 19)


def test_new_cards_replace_old_ones_in_place(tmp_path):
    """A card that is set again keeps its place, and its comment unless a new one is given."""
    raw_image(tmp_path / "a.fits", "EXPTIME =  10.0 / seconds", "OBJECT  = 'M 94'")
    cards = {"exptime": 20, "OBJECT": ("M 95", "moved"), "NEW": np.float64(0.1 + 0.2)}
    write_image(tmp_path / "b.fits", *read_image(tmp_path / "a.fits"), cards=cards, history="one line")
    header = fits.getheader(tmp_path / "b.fits")
    assert list(header)[-4:] == ["EXPTIME", "OBJECT", "NEW", "HISTORY"]
    assert (header["EXPTIME"], header.comments["EXPTIME"]) == (20, "seconds")
    assert (header["OBJECT"], header.comments["OBJECT"]) == ("M 95", "moved")
    assert header["NEW"] == 0.1 + 0.2 and list(header["HISTORY"]) == ["one line"]


def test_gzipped_files_are_reproducible(tmp_path):
    """The same image gives the same bytes, and they are a gzipped FITS file."""
    for name in ("a.fits.gz", "b.fits.gz"):
        write_image(tmp_path / name, IMAGE)
    content = (tmp_path / "a.fits.gz").read_bytes()
    assert content == (tmp_path / "b.fits.gz").read_bytes()
    assert gzip.decompress(content).startswith(b"SIMPLE")


@pytest.mark.parametrize(
    ("hdus", "hdu", "message"),
    [
        ([fits.PrimaryHDU()], None, r"found no image in .* holds 0 PRIMARY \(empty\)"),
        ([fits.PrimaryHDU(), fits.BinTableHDU(name="EVENTS")], None, r"1 EVENTS \(table\)"),
        ([fits.PrimaryHDU(IMAGE)], 3, "found no HDU 3"),
        ([fits.PrimaryHDU(IMAGE)], "SCI", "found no HDU 'SCI'"),
        ([fits.PrimaryHDU(), fits.ImageHDU(IMAGE)], 0, "no image in HDU 0"),
        ([fits.PrimaryHDU(np.ones((2, 2, 2, 2)))], None, r"has the shape \(2, 2, 2, 2\)"),
        ([fits.PrimaryHDU(np.ones(5))], None, r"has the shape \(5,\)"),
    ],
)
def test_files_without_a_readable_image(tmp_path, hdus, hdu, message):
    """The error names what the file holds."""
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(ImageFormatError, match=message):
        read_image(tmp_path / "a.fits", hdu=hdu)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ((0, 3), "at least one pixel"),
        ((10**6, 10**6), "truncated or damaged"),
        ((-1, 3), "at least one pixel"),
        (("x", 2), "damaged"),
    ],
)
def test_headers_that_lie_about_the_size(tmp_path, axes, message):
    """Impossible sizes are refused before memory is asked for."""
    cards = [SIMPLE, "BITPIX  =  -32", "NAXIS   =  2", f"NAXIS1  =  {axes[0]}", f"NAXIS2  =  {axes[1]}"]
    raw_fits(tmp_path / "a.fits", cards)
    with pytest.raises(ImageFormatError, match=message):
        read_image(tmp_path / "a.fits")


def test_tiles_that_lie_about_the_size(tmp_path):
    """A small table of tiles cannot ask for terabytes."""
    write_image(tmp_path / "a.fits.fz", IMAGE)
    content = (tmp_path / "a.fits.fz").read_bytes()
    for axis, length in (("ZNAXIS1", 6), ("ZNAXIS2", 5)):
        old = f"{axis:<8}= {length:>20}".encode()
        assert old in content
        content = content.replace(old, f"{axis:<8}= {10**6:>20}".encode())
    (tmp_path / "a.fits.fz").write_bytes(content)
    with pytest.raises(ImageFormatError, match="truncated or damaged"):
        read_image(tmp_path / "a.fits.fz")
