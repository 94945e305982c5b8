"""Damaged and hostile files: the reader says one sentence, at once, and asks for no memory that a header claims."""

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skbgopt.io import ImageFormatError, open_image, read_image, write_image
from tests.fuzz.fuzz_files import check_file, check_sentence, mutated, packed_xisf, seed_files
from tests.test_io_fits import SIMPLE, raw_fits

FOUND = sorted((Path(__file__).parent / "fuzz" / "found").iterdir())
IMAGE = np.random.default_rng(0).normal(100, 1, (12, 10)).astype("f4")
CODECS = ["zlib", "zlib+sh", "lz4", "lz4+sh", "lz4hc", "lz4hc+sh", "zstd", "zstd+sh"]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Small whole files of every kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return seed_files(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_the_fuzzer_found(tmp_path, path):
    """Files that once broke a promise are read or refused by one sentence."""
    check_file(path, tmp_path)


@pytest.mark.parametrize("kind", ["fits", "gz", "xisf", "tiff"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_files_keep_the_promises(tmp_path, seeds, kind, data):
    """A little of what `python -m tests.fuzz.fuzz_files` does for many minutes."""
    content = data.draw(mutated(data.draw(st.sampled_from(seeds[kind])), kind))
    (tmp_path / "mutated").write_bytes(content)
    check_file(tmp_path / "mutated", tmp_path)


def cut_everywhere(path, header_end):
    """Cut a file at every byte of its header, then at places after it; each is refused by one sentence."""
    content = path.read_bytes()
    last = int(0.97 * len(content.rstrip(b"\0")))
    places = [*range(header_end), *np.random.default_rng(0).integers(header_end, last, 30)]
    for length in map(int, places):
        path.write_bytes(content[:length])
        with pytest.raises(ImageFormatError) as caught:
            read_image(path)
        check_sentence(caught.value)


def test_fits_cut_at_every_byte(tmp_path):
    """No part of a header is taken for a whole one."""
    write_image(tmp_path / "a.fits", IMAGE)
    cut_everywhere(tmp_path / "a.fits", 2880)


def test_xisf_cut_at_every_byte(tmp_path):
    """No part of a header is taken for a whole one."""
    (tmp_path / "a.xisf").write_bytes(packed_xisf(IMAGE, "zlib+sh"))
    content = (tmp_path / "a.xisf").read_bytes()
    cut_everywhere(tmp_path / "a.xisf", 16 + int.from_bytes(content[8:12], "little"))


def test_tiff_cut_at_every_byte(tmp_path):
    """The tags of these files lie before the pixels."""
    write_image(tmp_path / "a.tif", IMAGE)
    cut_everywhere(tmp_path / "a.tif", 300)


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_of_xisf(tmp_path, codec):
    """Every codec of the format, shuffled or not, is unpacked bit by bit."""
    (tmp_path / "a.xisf").write_bytes(packed_xisf(IMAGE, codec))
    np.testing.assert_array_equal(read_image(tmp_path / "a.xisf")[0], IMAGE)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [1, 479, 481, 4800, 10**9])
def test_blocks_that_hold_another_size(tmp_path, codec, size):
    """A block is refused that declares more or fewer bytes than it holds or the pixels need."""
    item = ":4" if "+" in codec else ""
    (tmp_path / "a.xisf").write_bytes(packed_xisf(IMAGE, codec, compression=f"{codec}:{size}{item}"))
    with pytest.raises(ImageFormatError):
        read_image(tmp_path / "a.xisf")


@pytest.mark.parametrize("codec", ["zlib", "zstd", "lz4"])
def test_bombs_are_not_unpacked(tmp_path, codec):
    """A block of 64 MiB that declares 480 bytes costs a few of them."""
    bomb = packed_xisf(np.zeros((4096, 4096), "f4"), codec, geometry="10:12:1", compression=f"{codec}:480")
    (tmp_path / "a.xisf").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(ImageFormatError):
        read_image(tmp_path / "a.xisf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.parametrize(("width", "height"), [(10**6, 10**6), (2**31, 2), (1, 10**12)])
def test_claims_are_checked_before_memory_is_asked_for(tmp_path, width, height):
    """10^12 pixels in a header cost nothing."""
    axes = [SIMPLE, "BITPIX  =  -32", "NAXIS   =  2", f"NAXIS1  =  {width}", f"NAXIS2  =  {height}"]
    raw_fits(tmp_path / "a.fits", axes)
    (tmp_path / "a.xisf").write_bytes(packed_xisf(IMAGE, "zlib", geometry=f"{width}:{height}:1"))
    for name in ("a.fits", "a.xisf"):
        tracemalloc.start()
        with pytest.raises(ImageFormatError):
            open_image(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**22


def test_one_pixel_is_an_image(tmp_path):
    """The smallest image is read and written in every format."""
    for suffix in (".fits", ".fits.fz", ".fits.gz", ".xisf", ".tif"):
        write_image(tmp_path / f"a{suffix}", np.ones((1, 1), "f4"))
        assert read_image(tmp_path / f"a{suffix}")[0].tolist() == [[1]]


@pytest.mark.parametrize("name", ["a b", "a\nb", "\N{TELESCOPE}", "x" * 240, "-c", "a;b&c$d'e\"f", "a%b[0]*?"])
def test_names_of_any_kind(tmp_path, name):
    """Names with blanks, line ends, emoji and what shells and patterns mean by something are names."""
    for suffix in (".fits", ".xisf", ".tif"):
        path = tmp_path / f"{name}{suffix}"
        write_image(path, IMAGE)
        np.testing.assert_array_equal(read_image(path)[0], IMAGE)


def test_metadata_of_another_type_is_named(tmp_path):
    """Before anything is written."""
    with pytest.raises(TypeError, match=r"'metadata' parameter of write_image must be an ImageMetadata .* Got str"):
        write_image(tmp_path / "a.fits", IMAGE, metadata="junk")
    assert not list(tmp_path.iterdir())


def test_tifffile_says_nothing(tmp_path, capfd):
    """What is wrong with a TIFF file is an error or nothing; the package's notes stay out of stderr."""
    write_image(tmp_path / "a.tif", IMAGE)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[10:40] = bytes(range(30))
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageFormatError):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
