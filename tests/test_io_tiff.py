"""What holds for TIFF files alone."""

import struct
import warnings

import numpy as np
import pytest
import tifffile
from astropy.io import fits

from skbgopt.io import ImageFormatError, read_image, write_image
from skbgopt.io._display import display_encoding

RGB = np.arange(90, dtype="u2").reshape(5, 6, 3)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_page_layout_comes_back(tmp_path, planar, bigtiff, byteorder):
    """Interleaved and planar colours are read alike and written as they were."""
    stored = np.moveaxis(RGB, -1, 0) if planar else RGB
    options = {"planarconfig": "separate" if planar else "contig", "bigtiff": bigtiff, "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    image, metadata = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype.isnative and metadata.layout == ("CHW" if planar else "HWC")
    write_image(tmp_path / "b.tif", image.astype("f4"), metadata, compress=True)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages.first.axes == ("SYX" if planar else "YXS")
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        np.testing.assert_array_equal(tiff.asarray(), stored)


def test_tags_survive(tmp_path):
    """Description, colour profile and orientation are written again; cards go below the description."""
    icc = bytes(range(128))
    tifffile.imwrite(
        tmp_path / "a.tif", RGB, photometric="rgb", description="Jürgen's M 94".encode(), iccprofile=icc,
        extratags=[(274, 3, 1, 4, True)], metadata=None,
    )  # fmt: skip
    image, metadata = read_image(tmp_path / "a.tif")
    for history in ("first", "second"):
        write_image(tmp_path / "b.tif", image, metadata, history=[history], overwrite=True)
        image, metadata = read_image(tmp_path / "b.tif")
    assert metadata.tiff.description == "Jürgen's M 94"
    assert metadata.tiff.icc_profile == icc and metadata.tiff.orientation == 4
    assert list(metadata.header["HISTORY"]) == ["first", "second"]
    write_image(tmp_path / "c.fits", image, metadata)
    header = read_image(tmp_path / "c.fits")[1].header
    assert list(header["COMMENT"]) == ["J\\xfcrgen's M 94"] and list(header["HISTORY"]) == ["first", "second"]


@pytest.mark.parametrize(
    ("pixels", "profile", "words"),
    [
        (RGB, "desc sRGB IEC61966-2.1".encode("utf-16-be"), "profile is sRGB"),
        (RGB, b"desc Adobe RGB (1998)", "profile is Adobe RGB"),
        (RGB.astype("u1"), None, "8 bits"),
        (RGB, b"desc linear Rec.2020", None),
        (RGB[..., 0].astype("u1"), None, None),
    ],
)
def test_display_encoding_is_noted(tmp_path, pixels, profile, words):
    """Colours of 8 bits or with a display's profile are read with a warning; masks and linear files without."""
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=kind, iccprofile=profile, metadata=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(tmp_path / "a.tif")
    assert [words in str(warning.message) for warning in caught] == ([True] if words else [])


def profile(*curves):
    """An ICC profile named sRGB that holds nothing but tone curves."""
    start, tags, data = 132 + 12 * len(curves), b"", b""
    for name, curve in zip((b"rTRC", b"gTRC", b"bTRC"), curves, strict=False):
        tags += struct.pack(">4sII", name, start + len(data), len(curve))
        data += curve
    return b"sRGB".ljust(128, b"\0") + struct.pack(">I", len(curves)) + tags + data


TABLE = np.linspace(0, 1, 256)
LINEAR = [
    b"curv" + bytes(4) + struct.pack(">I", 0),
    b"curv" + bytes(4) + struct.pack(">IH", 1, 256),
    b"curv" + bytes(4) + struct.pack(">I", 256) + (TABLE * 65535).astype(">u2").tobytes(),
    b"para" + bytes(4) + struct.pack(">Hxxi", 0, 65536),
]
BENT = [
    b"curv" + bytes(4) + struct.pack(">IH", 1, 563),
    b"curv" + bytes(4) + struct.pack(">I", 256) + (TABLE**2.2 * 65535).astype(">u2").tobytes(),
    b"para" + bytes(4) + struct.pack(">Hxxi", 3, int(2.4 * 65536)),
]


@pytest.mark.parametrize(("curve", "bends"), [*((c, False) for c in LINEAR), *((c, True) for c in BENT)])
def test_the_tone_curve_of_a_profile_decides(curve, bends):
    """A linear profile is one, whatever it is called; broken ones are judged by their name."""
    for curves in ([curve], [curve] * 3, [LINEAR[0], curve]):
        assert (display_encoding(RGB, profile(*curves)) is not None) == bends
    whole = profile(curve)
    for length in range(128, len(whole)):
        assert display_encoding(RGB, whole[:length]) in (None, "its colour profile is sRGB")
    assert display_encoding(RGB, whole.replace(b"sRGB", b"mine")) == (
        "its colour profile has a tone curve" if bends else None
    )


def test_colours_become_planes_of_fits(tmp_path):
    """As every reader of FITS expects them, however TIFF has them."""
    for planar in ("contig", "separate"):
        stored = RGB if planar == "contig" else np.moveaxis(RGB, -1, 0)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata=None)
        write_image(tmp_path / "a.fits", *read_image(tmp_path / "a.tif"), overwrite=True)
        np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), np.moveaxis(RGB, -1, 0))


def test_other_images_and_tags_are_named(tmp_path):
    """In one warning."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(RGB, photometric="rgb", metadata=None, extratags=[(37510, 7, 3, b"abc", True)])
        tiff.write(RGB[:2, :2], photometric="rgb", metadata=None)
        tiff.write(RGB[:3, :2], photometric="rgb", metadata=None)
    with pytest.warns(UserWarning, match="will not keep: UserComment, 2 more images") as caught:
        image, _ = read_image(tmp_path / "a.tif")
    assert len(caught) == 1 and image.shape == RGB.shape


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_packed_samples(tmp_path, bits):
    """Integers of few bits are read as 16-bit ones."""
    image = np.arange(70, dtype="u2").reshape(7, 10) * 7
    tifffile.imwrite(tmp_path / "a.tif", image, bitspersample=bits, metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], image)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-3])
    with pytest.raises(ImageFormatError, match="truncated"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_lossless_compressions(tmp_path, compression, dtype):
    """With a predictor and without."""
    image = np.random.default_rng(0).normal(100, 9, (20, 24)).astype(dtype)
    for predictor in (False, compression != "packbits"):
        tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, predictor=predictor, metadata=None)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], image)


def test_bayer_pattern_of_a_raw_file(tmp_path):
    """The tag of TIFF/EP is understood, and becomes a card."""
    tags = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([1, 0, 2, 1]), True)]
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], photometric="cfa", extratags=tags, metadata=None)
    for target in ("b.tif", "b.fits", "b.xisf"):
        image, metadata = read_image(tmp_path / "a.tif")
        assert metadata.bayer_pattern == "GRBG"
        write_image(tmp_path / target, image, metadata)
        assert read_image(tmp_path / target)[1].bayer_pattern == "GRBG"


def test_bayer_pattern_of_astro_tiff(tmp_path):
    """The pattern is found in the header that the Astro-TIFF convention puts in the description."""
    text = "SIMPLE  =                    T\r\nBAYERPAT= 'GBRG    ' / pattern\r\nEND"
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], description=text, metadata=None)
    assert read_image(tmp_path / "a.tif")[1].bayer_pattern == "GBRG"


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.ones((4, 5, 6), "f4"), {"photometric": "minisblack"}, "stack of 4 pages"),
        (np.ones((5, 6, 4), "u1"), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, "has 4"),
        (np.ones((5, 6), "u1"), {"photometric": "miniswhite"}, "MINISWHITE pixels"),
        (np.ones((5, 6), "c8"), {}, "type complex64"),
        (np.ones((5, 6), bool), {}, "type bool"),
        (np.ones((5, 6), "u1"), {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}, "PALETTE"),
    ],
)
def test_pages_that_are_no_linear_image(tmp_path, pixels, options, message):
    """The error says what the file holds."""
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, **options)
    with pytest.raises(ImageFormatError, match=message):
        read_image(tmp_path / "a.tif")
