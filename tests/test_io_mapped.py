"""Images that are opened without their pixels, copied in bands, and made part by part in their file."""

import errno
import os

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbgopt.io import ImageFormatError, _mapped, open_image, read_image, write_image
from skbgopt.io._mapped import create_image
from tests.test_io_fits import SIMPLE, raw_fits

IMAGE = np.random.default_rng(0).normal(100, 1, (7, 9, 3)).astype("f4")
CARDS = {"OBJECT": "M 31", "DATAMIN": 0.0, "DATAMAX": 1.0}
SUFFIXES = [".fits", ".fits.fz", ".fits.gz", ".xisf", ".tif"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("stored_shape", [(5, 6), (1, 5, 6), (3, 5, 6), (2, 5, 3), (5, 6, 3)])
def test_a_made_image_is_the_written_one(tmp_path, stored_shape, dtype):
    """Byte by byte, in every layout, with the cards that are set last."""
    fits.PrimaryHDU(np.ones(stored_shape, "f4"), fits.Header(CARDS)).writeto(tmp_path / "a.fits")
    image, metadata = read_image(tmp_path / "a.fits")
    image = np.random.default_rng(0).normal(size=image.shape).astype(dtype)
    write_image(tmp_path / "b.fits", image, metadata, history=["done"], cards={"LOSS": 2.5})
    with create_image(tmp_path / "c.fits", image.shape, dtype, metadata, history=["done"], cards={"LOSS": None}) as new:
        assert not new.pixels.any()
        new.pixels[...] = image
        new.cards = {"LOSS": 2.5}
    assert (tmp_path / "c.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


@pytest.mark.parametrize("dtype", ["f4", "u2"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_made_part_by_part(tmp_path, suffix, dtype):
    """What does not lie in its file is written at the end."""
    with create_image(tmp_path / f"a{suffix}", IMAGE.shape, dtype) as new:
        for row, values in enumerate(IMAGE.astype(dtype)):
            new.pixels[row] = values
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}")[0], IMAGE.astype(dtype))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    image=hnp.arrays(
        st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]),
        st.sampled_from([(4, 5), (4, 5, 3), (4, 3, 2)]),
    )
)
def test_copying_in_bands_is_reading(tmp_path, image):
    """The copy holds the floats of what `read_image` returns."""
    write_image(tmp_path / "a.fits", image, overwrite=True)
    stored = open_image(tmp_path / "a.fits")
    dtype = "f8" if image.dtype in ("u4", "i4", "f8") else "f4"
    with create_image(tmp_path / "b.fits", stored.shape, dtype, stored.metadata, overwrite=True) as new:
        stored.copy_to(new.pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "b.fits")[0], image.astype(dtype))
    assert stored.shape == image.shape and stored.nbytes == image.nbytes


@pytest.mark.parametrize(
    "cards", [["BLANK   = 7"], ["BSCALE  = 2.0"], ["BZERO   = 5.0"], ["BZERO   = 32768", "BLANK   = 7"]]
)
@pytest.mark.parametrize("bits", [16, 64])
def test_scaled_integers_are_not_copied_in_bands(tmp_path, cards, bits):
    """astropy scales them, on the whole image."""
    axes = [SIMPLE, f"BITPIX  = {bits}", "NAXIS   = 2", "NAXIS1  = 3", "NAXIS2  = 2"]
    raw_fits(tmp_path / "a.fits", [*axes, *cards], np.arange(6, dtype=f">i{bits // 8}").tobytes())
    stored = open_image(tmp_path / "a.fits")
    assert stored.copy_to is None
    assert stored.read()[0].dtype == stored.metadata.dtype == ("f4" if bits == 16 else "f8")


@pytest.mark.parametrize("cards", [["BSCALE  = 2.1"], ["BSCALE  = 2.1", "BZERO   = 1.0"], ["BZERO   = 5.0"]])
@pytest.mark.parametrize("bits", [-32, -64])
def test_scaled_floats_are_copied_in_their_units(tmp_path, bits, cards):
    """The copy is what astropy makes of BSCALE and BZERO."""
    stored = np.random.default_rng(0).normal(100, 1, (2, 3)).astype(f">f{-bits // 8}")
    axes = [SIMPLE, f"BITPIX  = {bits}", "NAXIS   = 2", "NAXIS1  = 3", "NAXIS2  = 2"]
    raw_fits(tmp_path / "a.fits", [*axes, *cards], stored.tobytes())
    image = open_image(tmp_path / "a.fits")
    copied = np.empty(image.shape, image.metadata.dtype)
    image.copy_to(copied)
    np.testing.assert_array_equal(copied, fits.getdata(tmp_path / "a.fits"))


def test_the_file_may_shrink_while_it_is_copied(tmp_path):
    """A file that loses its end after it was opened gives a sentence."""
    write_image(tmp_path / "a.fits", IMAGE)
    stored = open_image(tmp_path / "a.fits")
    os.truncate(tmp_path / "a.fits", 3000)
    with pytest.raises(ImageFormatError, match="truncated"):
        stored.copy_to(np.moveaxis(np.empty((3, 7, 9), "f4"), 0, -1))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file(tmp_path, error):
    """The target is replaced only by a whole image."""
    write_image(tmp_path / "a.fits", IMAGE)
    before = (tmp_path / "a.fits").read_bytes()
    with pytest.raises(type(error)), create_image(tmp_path / "a.fits", (3, 4), "f4", overwrite=True):
        raise error
    assert (tmp_path / "a.fits").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    """Room is reserved first: writing to a mapping without it would kill the process."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"), create_image(tmp_path / "a.fits", (3, 4), "f4"):
        pytest.fail("The block must not be entered.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["posix_fallocate", "mmap"])
def test_file_systems_that_can_do_less(tmp_path, monkeypatch, missing):
    """Without reservation zeros are written, without mappings the image lies in memory; the file is the same."""

    def refuse(*_):
        raise OSError(errno.ENODEV, "not supported")

    monkeypatch.setattr(*((os, missing) if missing == "posix_fallocate" else (_mapped, "_map")), refuse)
    with create_image(tmp_path / "a.fits", IMAGE.shape, "f4") as new:
        new.pixels[...] = IMAGE
    write_image(tmp_path / "b.fits", IMAGE)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
