"""Properties of files: whatever is written is read again."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skbgopt import read_image, write_image
from skbgopt.io import ImageMetadata
from skbgopt.io._cards import is_structural
from skbgopt.io._metadata import TiffTags
from tests.properties.strategies import card_texts, examples, headers, stored_images, suffixes


def round_trip(suffix, image, metadata=None, **options):
    """Write to a file of its own and read it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"image{suffix}"
        write_image(path, image, metadata, **options)
        return read_image(path)


def cards_of(metadata):
    """The cards beside those that describe the storage."""
    return [card.image for card in metadata.header.cards if not is_structural(card.keyword)]


@examples(60)
@given(suffixes, st.booleans(), st.data())
def test_pixels_survive_bit_by_bit(suffix, compress, data):
    """Any shape, dtype, byte order, memory layout and bits, compressed or not."""
    image = data.draw(stored_images([suffix]))
    again, metadata = round_trip(suffix, image, compress=compress)
    native = np.ascontiguousarray(image).astype(image.dtype.newbyteorder("="))
    assert again.shape == image.shape
    assert again.dtype == metadata.dtype == native.dtype
    assert again.tobytes() == native.tobytes()
    assert again.flags.writeable and again.flags.c_contiguous


@examples(40)
@given(suffixes, st.booleans(), headers, st.data())
def test_metadata_survive_a_second_time(suffix, compress, header, data):
    """What is read is what was written, cards, history and layout, however often."""
    image = data.draw(stored_images([suffix]))
    first, metadata = round_trip(suffix, image, compress=compress, **header)
    second, again = round_trip(suffix, first, metadata, compress=compress)
    assert second.tobytes() == first.tobytes()
    names = ("format", "dtype", "bayer_pattern", "layout", "compressed", "tiff")
    assert {name: getattr(again, name) for name in names} == {name: getattr(metadata, name) for name in names}
    if suffix.startswith(".fit"):
        assert cards_of(again) == cards_of(metadata)
        assert {name: metadata.header[name] for name in header["cards"]} == header["cards"]


@examples(40)
@given(st.lists(suffixes, min_size=1, max_size=3), headers, st.data())
def test_pixels_and_cards_survive_every_route(route, header, data):
    """Through any formats and at last FITS: the pixels bit by bit, the cards with equal values, the history."""
    route = [*route, ".fits"]
    image = given_image = data.draw(stored_images(route))
    metadata, options = None, header
    for suffix in route:
        image, metadata = round_trip(suffix, image, metadata, **options)
        options = {}
    native = np.ascontiguousarray(given_image).astype(given_image.dtype.newbyteorder("="))
    assert image.tobytes() == native.tobytes() and image.shape == given_image.shape
    assert {name: metadata.header[name] for name in header["cards"]} == header["cards"]
    lines = [line.rstrip() for line in metadata.header.get("HISTORY", [])]
    assert "".join(lines) == "".join(line.rstrip() for line in wrapped(header["history"]))


def wrapped(history):
    """The lines of 72 letters that FITS makes of long ones."""
    return [line[k : k + 72] for line in history for k in range(0, len(line), 72)]


@given(st.sampled_from(["RGGB", "BGGR", "GRBG", "GBRG"]), st.lists(suffixes, min_size=1, max_size=4), st.data())
def test_the_bayer_pattern_survives_every_route(pattern, route, data):
    """Whoever reads the last file knows the colours of its pixels."""
    image, metadata = data.draw(stored_images(route)), None
    for suffix in route:
        cards = {"BAYERPAT": pattern} if metadata is None else None
        image, metadata = round_trip(suffix, image, metadata, cards=cards)
    assert metadata.bayer_pattern == pattern


@given(card_texts.map(str.strip), st.none() | st.binary(min_size=1, max_size=99), st.none() | st.integers(1, 8))
def test_the_tags_of_a_tiff_survive(description, profile, orientation):
    """Description (but for blanks around it), colour profile and orientation."""
    tags = TiffTags(description, profile, orientation)
    given_metadata = ImageMetadata("tiff", tiff=tags)
    _, metadata = round_trip(".tif", np.ones((3, 4), np.uint16), given_metadata, cards={"SKBGA": 1})
    assert metadata.tiff == tags
    assert metadata.header["SKBGA"] == 1


@given(suffixes, st.data())
def test_an_existing_file_is_kept_unless_told(suffix, data):
    """A refused write leaves every byte."""
    image = data.draw(stored_images([suffix]))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"image{suffix}"
        write_image(path, image)
        before = path.read_bytes()
        try:
            write_image(path, image[::-1])
        except FileExistsError:
            assert path.read_bytes() == before
        else:
            raise AssertionError("written without asking")
        assert list(Path(directory).iterdir()) == [path]
