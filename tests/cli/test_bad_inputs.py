"""A table of bad inputs: each gets one sentence and exit code 2, and nothing is written."""

import gzip
import os
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits

from skbgopt import write_image
from tests.cli.command import run
from tests.fuzz.fuzz_files import packed_xisf
from tests.test_io_fits import SIMPLE, raw_fits
from tests.test_io_xisf import ATTRIBUTES, IMAGE, NAMESPACE, raw_xisf

FRAME = np.random.default_rng(0).normal(100, 1, (64, 80)).astype("f4")


def fits_of(*axes, bits=-32, cards=(), data=b""):
    """Make a FITS file whose header says this."""

    def make(path):
        lengths = [f"NAXIS{n}  = {length}" for n, length in enumerate(axes, start=1)]
        raw_fits(path, [SIMPLE, f"BITPIX  = {bits}", f"NAXIS   = {len(axes)}", *lengths, *cards], data)

    return make


def hdus_of(*hdus):
    """Make a FITS file of these HDUs."""
    return lambda path: fits.HDUList(list(hdus)).writeto(path)


def tiles_of(keyword, value):
    """Make a tile-compressed FITS file in whose table of tiles one card is wrong."""

    def make(path):
        write_image("whole.fits.fz", FRAME)
        content = Path("whole.fits.fz").read_bytes()
        os.remove("whole.fits.fz")
        found = re.search(rf"{keyword:<8}= .{{70}}".encode(), content)
        path.write_bytes(content.replace(found[0], f"{keyword:<8}= {value:>20}".ljust(80).encode()))

    return make


def xisf_of(inside="", pixels=None, metadata="<Metadata/>", **attributes):
    """Make an XISF file whose Image element says this."""
    return lambda path: raw_xisf(path, inside, pixels, metadata, **attributes)


def packed_of(codec, **changed):
    """Make an XISF file whose compressed block is described wrongly."""
    return lambda path: path.write_bytes(packed_xisf(FRAME[:5, :6], codec, **changed))


def xisf_header(text, length=None):
    """Make an XISF file of this header."""

    def make(path):
        header = text.encode()
        size = len(header) if length is None else length
        path.write_bytes(b"XISF0100" + size.to_bytes(4, "little") + bytes(4) + header)

    return make


def tiff_of(pixels, **options):
    """Make a TIFF file by its own package."""
    return lambda path: tifffile.imwrite(path, pixels, metadata=None, **options)


def tiff_tag(code, value):
    """Make a TIFF file in which the first number of a tag is another."""

    def make(path):
        tifffile.imwrite(path, FRAME, metadata=None)
        with tifffile.TiffFile(path) as tiff:
            tag = tiff.pages.first.tags[code]
            place, width = tag.valueoffset, {3: 2, 4: 4}[tag.dtype]
        content = bytearray(path.read_bytes())
        content[place : place + width] = value.to_bytes(width, "little")
        path.write_bytes(content)

    return make


def overlapping_strips(path):
    """A TIFF file of a thousand strips that all lie at the same place."""
    tifffile.imwrite(path, np.ones((1000, 100), "f4"), rowsperstrip=1, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[273]
    content = bytearray(path.read_bytes())
    first = content[tag.valueoffset : tag.valueoffset + 4]
    content[tag.valueoffset : tag.valueoffset + 4 * tag.count] = first * tag.count
    path.write_bytes(content[: int.from_bytes(first, "little") + 400])


def cut(make, share):
    """Make a file and cut it."""

    def make_cut(path):
        make(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content.rstrip(b"\0")))])

    return make_cut


def bomb(path):
    """A gzipped FITS file of few bytes whose header asks for terabytes."""
    fits_of(10**6, 10**6)(path)
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(10**6)))


def gzipped(make):
    """Make a file and gzip it under its name."""

    def make_gzipped(path):
        make(path)
        path.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))

    return make_gzipped


def many_hdus(path):
    """A FITS file of thousands of empty extensions."""
    fits_of()(path)
    cards = ["XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1", "END"]
    with path.open("ab") as file:
        file.write(b"".join(text.ljust(80).encode() for text in cards).ljust(2880) * 3000)


def tile_bomb(codec, dtype):
    """Make a FITS file of one tile that claims to be a hundred thousand pixels wide and high."""

    def make(path):
        quantised = {} if dtype != "f4" else {"quantize_level": 0}
        fits.CompImageHDU(np.ones((8, 8), dtype), compression_type=codec, tile_shape=(8, 8), **quantised).writeto(path)
        content = path.read_bytes()
        for keyword in ("ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2"):
            found = re.search(rf"{keyword:<8}= .{{70}}".encode(), content)
            content = content.replace(found[0], f"{keyword:<8}= {10**5:>20}".ljust(80).encode())
        path.write_bytes(content)

    return make


def links(path):
    """Two links that point to each other."""
    path.symlink_to("other")
    Path("other").symlink_to(path.name)


def nested(depth):
    """An XISF header of elements in elements."""
    return f'<xisf version="1.0" xmlns="{NAMESPACE[1:-1]}">{"<a>" * depth}{"</a>" * depth}</xisf>'


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + f']><xisf version="1.0" xmlns="{NAMESPACE[1:-1]}">&m;</xisf>'
)
LISTED = " ".join(f'{name}="{value}"' for name, value in ATTRIBUTES.items())
SECOND = f'<Metadata/><Image {LISTED} location="attachment:8200:72"/>'
FILES = {
    # name: (how the file is made, words of its sentence)
    "missing.fits": (lambda path: None, "No such file or directory: missing.fits"),
    "two\nlines.fits": (lambda path: None, r"No such file or directory: two\nlines.fits"),
    "empty.fits": (lambda path: path.touch(), "it is empty"),
    "text.xisf": (lambda path: path.write_text("no image"), "begins with b'no image'"),
    "picture.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "none of them"),
    "folder.fits": (lambda path: path.mkdir(), "Is a directory: folder.fits"),
    "pipe.fits": (os.mkfifo, "is no regular file"),
    "loop.fits": (links, "Too many levels of symbolic links: loop.fits"),
    "x" * 300 + ".fits": (lambda path: None, "File name too long"),
    "\N{TELESCOPE}" * 70 + ".fits": (lambda path: None, "File name too long"),
    "y" * 250 + ".fits": (lambda path: write_image(path, FRAME), "The name of the output is too long"),
    "a b\nc \N{TELESCOPE}.fits": (lambda path: path.touch(), "a b c \N{TELESCOPE}.fits is none of them"),
    "zero_axes.fits": (hdus_of(fits.PrimaryHDU()), "found no image"),
    "table.fits": (hdus_of(fits.PrimaryHDU(), fits.BinTableHDU(name="EVENTS")), "1 EVENTS (table)"),
    "line.fits": (hdus_of(fits.PrimaryHDU(FRAME[0])), "has the shape (80,)"),
    "four_axes.fits": (hdus_of(fits.PrimaryHDU(np.ones((2, 2, 3, 4)))), "has the shape (2, 2, 3, 4)"),
    "one_pixel.fits": (hdus_of(fits.PrimaryHDU(np.ones((1, 1), "f4"))), "usable"),
    "no_pixel.fits": (fits_of(0, 3), "at least one pixel"),
    "negative.fits": (fits_of(-128, 64), "cannot decode negative.fits"),
    "negative_table.fits": (
        fits_of(cards=["EXTEND  = T"], data=b"".join(
            text.ljust(80).encode() for text in [
                "XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = -5760", "NAXIS2  = 1",
                "PCOUNT  = 0", "GCOUNT  = 1", "TFIELDS = 0", "END",
            ]
        )),
        "damaged",
    ),
    "huge.fits": (fits_of(10**6, 10**6), "declares 4000000000000 bytes"),
    "huge_cube.fits": (fits_of(10**4, 10**4, 10**4), "truncated or damaged"),
    "huge.fits.gz": (bomb, "declares 4000000000000 bytes"),
    "no_number.fits": (fits_of("'x'", 2), "cannot decode"),
    "no_bits.fits": (fits_of(3, 2, bits=17), "cannot decode"),
    "many_axes.fits": (fits_of(cards=["NAXIS   = 1000000000000"]), "many_axes.fits"),
    "no_end.fits": (lambda path: path.write_bytes(SIMPLE.ljust(80).encode()), "cannot decode"),
    "header_only.fits": (fits_of(80, 64), "file can hold at most"),
    "short.fits": (cut(hdus_of(fits.PrimaryHDU(FRAME)), 0.7), "truncated or damaged"),
    "short.fits.gz": (cut(lambda path: write_image(path, FRAME), 0.7), "short.fits.gz"),
    "short.fits.fz": (cut(lambda path: write_image(path, FRAME), 0.7), "short.fits.fz"),
    "tiles_huge.fits.fz": (tiles_of("ZNAXIS1", 10**9), "truncated or damaged"),
    "tiles_other.fits.fz": (tiles_of("ZTILE1", 0), "cannot decode"),
    "tiles_codec.fits.fz": (tiles_of("ZCMPTYPE", "'MAGIC'"), "cannot decode"),
    "tiles_wrong.fits.fz": (tiles_of("ZCMPTYPE", "'RICE_1'"), "tiles_wrong.fits.fz"),
    "endless.fits": (lambda path: path.write_bytes(SIMPLE.ljust(2**23).encode()), "its headers are longer than"),
    "endless.fits.gz": (gzipped(lambda path: path.write_bytes(SIMPLE.ljust(2**25).encode())), "headers are longer"),
    "lines.fits": (fits_of(4, 3, cards=["HISTORY x"] * 60_000), "its headers are longer than"),
    "hdus.fits": (many_hdus, "its headers are longer than"),
    "hdus.fits.gz": (gzipped(many_hdus), "its headers are longer than"),
    "claims.fits.gz": (gzipped(fits_of(10**5, 10**4, data=os.urandom(9999))), "declares 4000000000 bytes"),
    "no_gzip.fits.gz": (lambda path: path.write_bytes(gzip.compress(b"no FITS")), "none of them"),
    "rice.fits.fz": (tile_bomb("RICE_1", "i2"), "declares 20000000000 bytes"),
    "gzip.fits.fz": (tile_bomb("GZIP_2", "f4"), "declares 40000000000 bytes"),
    "plio.fits.fz": (tile_bomb("PLIO_1", "i2"), "declares 20000000000 bytes"),
    "hcompress.fits.fz": (tile_bomb("HCOMPRESS_1", "i4"), "declares 40000000000 bytes"),
    "four_axes.fits.fz": (hdus_of(fits.PrimaryHDU(), fits.CompImageHDU(np.ones((2, 2, 9, 9), "i2"))), "(2, 2, 9, 9)"),
    "groups.fits": (fits_of(0, 3, 2, cards=["GROUPS  = T", "PCOUNT  = 0", "GCOUNT  = 1"]), "found no image"),
    "nan.fits": (hdus_of(fits.PrimaryHDU(FRAME * np.nan)), "5120 missing"),
    "infinite.fits": (hdus_of(fits.PrimaryHDU(FRAME * np.inf)), "5120 missing"),
    "huge.xisf": (xisf_of(geometry="1000000:1000000:1"), "declares 4000000000000 bytes"),
    "bomb.xisf": (packed_of("zlib", compression="zlib:4000000000000", geometry="1000000:1000000:1"), "declares"),
    "bomb_zstd.xisf": (packed_of("zstd", compression="zstd:4000000000000", geometry="1000000:1000000:1"), "declares"),
    "more_inside.xisf": (packed_of("zlib", compression="zlib:60", geometry="5:3:1"), "declares 60 bytes"),
    "less_inside.xisf": (packed_of("zlib", compression="zlib:240", geometry="6:10:1"), "declares 240 bytes"),
    "more_zstd.xisf": (packed_of("zstd", compression="zstd:60", geometry="5:3:1"), "declares 60 bytes and holds"),
    "more_lz4.xisf": (packed_of("lz4", compression="lz4:60", geometry="5:3:1"), "cannot decode"),
    "no_item_size.xisf": (packed_of("zlib+sh", compression="zlib+sh:120"), "names no size of the items"),
    "item_size_0.xisf": (packed_of("zlib+sh", compression="zlib+sh:120:0"), "names no size of the items"),
    "other_codec.xisf": (packed_of("zlib", compression="zstd:120"), "cannot decode"),
    "no_codec.xisf": (packed_of("zlib", compression="brotli:120"), "codec 'brotli'"),
    "no_size.xisf": (packed_of("zlib", compression="zlib"), "cannot decode"),
    "parts.xisf": (packed_of("zlib", subblocks="10,60:10,50"), "subblocks"),
    "geometry.xisf": (packed_of("zlib", geometry="6:4:1"), "need 96 bytes"),
    "negative.xisf": (xisf_of(geometry="-3:-2:3"), "at least one pixel"),
    "negative_block.xisf": (xisf_of(location="attachment:-8:72"), "'-8' is no number of bytes"),
    "in_header.xisf": (xisf_of(location="attachment:20:72"), "overlap what lies at byte 0"),
    "overlap.xisf": (xisf_of(pixels=IMAGE.tobytes() * 2, metadata=SECOND), "overlap what lies at byte 8200"),
    "beyond.xisf": (xisf_of(location="attachment:99999:72"), "truncated or damaged"),
    "elsewhere.xisf": (xisf_of(location="url(http://localhost/a)"), "not implemented"),
    "four.xisf": (xisf_of(geometry="3:2:2:3"), "has the shape (3, 2, 2, 3)"),
    "complex.xisf": (xisf_of(sampleFormat="Complex32"), "Complex32"),
    "lab.xisf": (xisf_of(colorSpace="CIELab"), "colour spaces Gray and RGB"),
    "entities.xisf": (xisf_header(ENTITIES), "declares a document type"),
    "deep.xisf": (xisf_header(nested(100_000)), "nested deeper"),
    "wide.xisf": (xisf_header(nested(1).replace("</a>", "<b/>" * 200_001 + "</a>")), "more than 200000 elements"),
    "one_axis.xisf": (xisf_of(geometry="3:2"), "cannot decode"),
    "claims_zstd.xisf": (packed_of("zstd", compression="zstd:4000000", geometry="1000:1000:1"), "declares 4000000"),
    "huge_lz4.xisf": (packed_of("lz4", compression="lz4:4000000", geometry="1000:1000:1"), "can hold at most"),
    "reference.xisf": (xisf_of(location="inline:"), "not implemented"),
    "no_xml.xisf": (xisf_header("not xml"), "cannot decode"),
    "no_image.xisf": (xisf_header(nested(1)), "found no image"),
    "long_header.xisf": (xisf_header("<xisf/>", 4_000_000_000), "declares 4000000000 bytes"),
    "stack.tif": (tiff_of(np.ones((4, 5, 6), "f4"), photometric="minisblack"), "stack of 4 pages"),
    "alpha.tif": (tiff_of(np.ones((5, 6, 4), "u1"), photometric="rgb", extrasamples=["unassalpha"]), "has 4"),
    "complex.tif": (tiff_of(np.ones((5, 6), "c8")), "type complex64"),
    "white.tif": (tiff_of(np.ones((5, 6), "u1"), photometric="miniswhite"), "MINISWHITE"),
    "huge.tif": (tiff_tag(256, 2**31 - 1), "huge.tif"),
    "no_width.tif": (tiff_tag(256, 0), "no_width.tif"),
    "beyond.tif": (tiff_tag(273, 2**31), "truncated or damaged"),
    "codec.tif": (tiff_tag(259, 7), "codec.tif"),
    "no_page.tif": (lambda path: path.write_bytes(b"II*\0" + bytes(4)), "no_page.tif"),
    "far_page.tif": (lambda path: path.write_bytes(b"II*\0" + b"\xff" * 4), "far_page.tif"),
    "overlap.tif": (overlapping_strips, "declares 400000 bytes"),
    "jpeg.tif": (tiff_of(np.ones((16, 16), "u1"), compression="jpeg"), "is by JPEG; save it without"),
    "png.tif": (tiff_of(np.ones((16, 16), "u1"), compression="png"), "is by PNG"),
    "thumbnail.tif": (tiff_of(np.ones((5, 6), "u1"), subfiletype=1), "is a thumbnail"),
    "mosaic.tif": (tiff_of(np.ones((6, 6), "u2"), photometric="cfa"), "does not name it"),
    "bits.tif": (tiff_of(np.ones((5, 6), bool)), "type bool"),
    "claims_zstd.tif": (tiff_tag(259, 50000), "claims_zstd.tif"),
    "short.tif": (cut(tiff_of(FRAME), 0.7), "truncated or damaged"),
    "deflate.tif": (
        lambda path: path.write_bytes(_broken(FRAME, zlib.compress(FRAME.tobytes())[:20])), "deflate.tif"
    ),
}  # fmt: skip


def _broken(pixels, packed):
    """A deflated TIFF whose packed bytes begin otherwise."""
    tifffile.imwrite("whole.tif", pixels, compression="zlib", metadata=None)
    with tifffile.TiffFile("whole.tif") as tiff:
        place = tiff.pages.first.dataoffsets[0]
    content = bytearray(Path("whole.tif").read_bytes())
    os.remove("whole.tif")
    content[place : place + 40] = packed + b"\xff" * 20
    return bytes(content)


def test_the_table_is_long():
    """At least sixty."""
    assert len(FILES) >= 60


@pytest.mark.parametrize("name", FILES, ids=lambda name: name[:24])
@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_one_sentence(folder, name):
    """Exit code 2, one line that says what is wrong, and no file or directory appears."""
    make, words = FILES[name]
    make(Path(name))
    before = sorted(path.name for path in folder.iterdir())
    result = run("remove", name, "results", code=2)
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("skbgopt: ") and words in sentence
    assert [line for line in result.stderr.splitlines() if not line.startswith("warning: ")] == [sentence]
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["empty.fits", "short.fits", "entities.xisf", "no_item_size.xisf", "huge.tif"])
def test_bad_mask_is_one_sentence(folder, name):
    """A bad mask is refused like a bad image."""
    make, words = FILES[name]
    make(Path(name))
    write_image("image.fits", FRAME)
    result = run("remove", "image.fits", "results", "-m", name, code=2)
    assert words in result.stderr and not Path("results").exists()
