"""What holds for TIFF files alone."""

import warnings

import numpy as np
import pytest
import tifffile

from skbgopt.io import ImageFormatError, read_image, write_image

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
