"""Damaged and hostile image files, made from real ones: whatever they hold, one sentence comes out.

    python -m tests.fuzz.fuzz_files --minutes 20 --keep found/

reads mutated FITS, XISF and TIFF files under a limit of memory and of seconds of the processor for each, writes what
could be read in every format, and keeps the files that break a promise.
"""

from __future__ import annotations

import argparse
import gzip
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path

import lz4.block
import numpy as np
import tifffile
import zstandard
from astropy.io import fits
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from skbgopt.io import ImageFormatError, open_image, read_image, write_image

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SECONDS = 10
HOSTILE_NUMBERS = [
    *("0", "1", "2", "3", "-1", "-128", "7", "255", "65536", "2147483647", "2147483648", "4294967295"),
    *("9223372036854775807", "18446744073709551616", "1000000000000", "1e999", "NaN", "-0.0", "1.5", "T", "F"),
]
HOSTILE_TEXTS = [
    *("", "''", "' '", "&&", "'unclosed", "\x00", "\xff\xfe", "x" * 200, "=", "/", "RICE_1", "GZIP_2", "HCOMPRESS_1"),
    *("attachment:0:0", "attachment:-1:8", "attachment:8192:9999999999999", "inline:base64", "embedded"),
    *("zlib:120", "zlib+sh:120:4", "lz4+sh:120:0", "zstd:9999999999999", "lz4hc:120", "zlib+sh:120"),
    *("6:5:1", "5:6:3", "-6:-5:1", "1000000:1000000:1", "6:5:1:1", "Float64", "UInt8", "Complex32", "RGB"),
]


def hostile_values():
    """Numbers and words that a header should not hold."""
    return st.sampled_from(HOSTILE_NUMBERS) | st.sampled_from(HOSTILE_TEXTS) | st.integers(-(2**40), 2**40).map(str)


def seed_files(folder):
    """Small whole files of every kind, some with the headers of real ones; returns their contents by kind."""
    image = np.arange(30, dtype="f4").reshape(5, 6) + 1
    colour = np.stack([image, image + 1, image + 2], axis=2)
    cards = {"OBJECT": "M 31", "BAYERPAT": "RGGB", "EXPTIME": 1.5, "LONG": "x" * 100}
    sources = [(image, None), (colour, None), (image.astype("u2"), None)]
    for path in sorted(DATA.glob("*.*")):
        if path.suffix != ".md":
            whole, metadata = read_image(path)
            sources.append((np.ascontiguousarray(whole[:5, :6]), metadata))
    seeds = {"fits": [], "xisf": [], "tiff": [], "gz": []}
    for pixels, metadata in sources:
        for suffix, kind in ((".fits", "fits"), (".fits.fz", "fits"), (".xisf", "xisf"), (".tif", "tiff")):
            for compress in (False, True):
                path = folder / f"seed{suffix}"
                write_image(path, pixels, metadata, cards=cards, compress=compress, overwrite=True)
                seeds[kind].append(path.read_bytes())
    seeds["xisf"] += [packed_xisf(image, codec) for codec in ("zlib", "zlib+sh", "lz4", "lz4hc+sh", "zstd", "zstd+sh")]
    seeds["xisf"].append(packed_xisf(image, "zlib", properties=True))
    seeds["tiff"] += tiff_seeds(image, colour, folder / "seed.tif")
    seeds["fits"] += tile_seeds(image, folder / "seed.fits")
    seeds["gz"] = seeds["fits"]
    return seeds


def tiff_seeds(image, colour, path):
    """TIFF files of every compression, with tags of every kind, of several images and of a raw camera."""
    tags = [(274, 3, 1, 6, True), (315, 2, 0, "Ada", True), (700, 1, 4, b"<x/>", True), (37510, 7, 3, b"abc", True)]
    named = {"metadata": None, "iccprofile": bytes(range(200)), "extratags": tags, "resolution": (72, 72)}
    cfa = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([1, 0, 2, 1]), True)]
    written = [
        *((image, {"compression": name, **named}) for name in ("lzw", "zlib", "packbits", "zstd", "lzma", None)),
        (colour.astype("u2"), {"planarconfig": "separate", "photometric": "rgb", "byteorder": ">", **named}),
        (image.astype("u2"), {"bitspersample": 12, "bigtiff": True, "metadata": None}),
        (image.astype("u2"), {"photometric": "cfa", "extratags": cfa, "metadata": None}),
        (np.pad(image, 20), {"tile": (16, 16), "compression": "zlib", "predictor": True, "metadata": None}),
    ]
    contents = []
    for pixels, options in written:
        tifffile.imwrite(path, pixels, **options)
        contents.append(path.read_bytes())
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, metadata=None)
        tiff.write(image[:2, :3], metadata=None)
    return [*contents, path.read_bytes()]


def tile_seeds(image, path):
    """FITS files of tiles of every codec, and of several HDUs."""
    contents = []
    for codec in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
        for dtype in ("i2", "f4"):
            hdus = [fits.PrimaryHDU(), fits.CompImageHDU(np.pad(image, 6).astype(dtype), compression_type=codec)]
            fits.HDUList(hdus).writeto(path, overwrite=True)
            contents.append(path.read_bytes())
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])], name="STARS")
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI"), table]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return [*contents, path.read_bytes()]


def packed_xisf(image, codec, properties=False, **changed):
    """An XISF file of one channel whose pixels are packed by this codec."""
    content = image.tobytes()
    name, _, shuffled = codec.partition("+")
    if shuffled:
        content = np.frombuffer(content, np.uint8).reshape(-1, image.itemsize).T.tobytes()
    pack = {
        "zlib": zlib.compress,
        "lz4": lambda block: lz4.block.compress(block, store_size=False),
        "lz4hc": lambda block: lz4.block.compress(block, mode="high_compression", store_size=False),
        "zstd": zstandard.compress,
    }[name]
    packed = pack(content)
    compression = f"{codec}:{len(content)}" + (f":{image.itemsize}" if shuffled else "")
    attributes = {
        "geometry": f"{image.shape[1]}:{image.shape[0]}:1",
        "sampleFormat": {"f": "Float", "u": "UInt"}[image.dtype.kind] + str(8 * image.itemsize),
        "bounds": "0:1",
        "colorSpace": "Gray",
        "location": f"attachment:4096:{len(packed)}",
        "compression": compression,
        **changed,
    }
    listed = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    inside, block = "", zlib.compress(bytes(range(200)))
    if properties:
        place = f'location="attachment:{4096 + len(packed)}:{len(block)}" compression="zlib:200"'
        inside = (
            f'<Property id="b" type="ByteArray" length="200" {place}/><ICCProfile {place}/>'
            f'<Resolution horizontal="72" vertical="72" unit="inch"/><ColorFilterArray pattern="RGGB"/>'
        )
        packed += block
    header = (
        f'<?xml version="1.0" encoding="UTF-8"?><xisf version="1.0" xmlns="http://www.pixinsight.com/xisf">'
        f'<Image {listed}><Property id="a" type="Boolean" value="1"/>{inside}</Image><Metadata/></xisf>'
    ).encode()
    start = b"XISF0100" + len(header).to_bytes(4, "little") + bytes(4) + header
    return start.ljust(4096, b"\0") + packed


@st.composite
def mutated(draw, content, kind):
    """The bytes of a file, changed in one to six ways that fit its kind."""
    data = bytearray(content)
    special = {"fits": mutate_card, "gz": mutate_card, "xisf": mutate_attribute, "tiff": mutate_number}[kind]
    for _ in range(draw(st.integers(1, 6))):
        change = draw(st.sampled_from([special, special, special, mutate_bytes, mutate_length]))
        data = change(draw, data) if data else data
    if kind == "gz":
        data = bytearray(gzip.compress(bytes(data), compresslevel=1))
        if draw(st.booleans()):
            data = mutate_bytes(draw, data)
    return bytes(data)


def mutate_card(draw, data):
    """Give a FITS card another value, drop it, repeat it or exchange it with another."""
    at = 80 * draw(st.integers(0, max(len(data) // 80 - 1, 0)))
    other = 80 * draw(st.integers(0, max(len(data) // 80 - 1, 0)))
    keywords = [match.start() for match in re.finditer(rb"(NAXIS|BITPIX|Z[A-Z]|B[SZL]|TFORM|PCOUNT|THEAP)", data)]
    if keywords and draw(st.booleans()):
        at = draw(st.sampled_from(keywords)) // 80 * 80
    card = bytes(data[at : at + 80])
    what = draw(st.sampled_from(["value", "value", "value", "drop", "repeat", "exchange"]))
    if what == "value":
        text = draw(hostile_values()).encode("latin-1")[:70]
        data[at : at + 80] = (card[:8] + b"= " + text.rjust(20)).ljust(80)[:80]
    elif what == "drop":
        data[at : at + 80] = b" " * len(card)
    elif what == "repeat":
        data[other : other + 80] = card
    else:
        data[at : at + 80], data[other : other + 80] = data[other : other + 80], card
    return data


def mutate_attribute(draw, data):
    """Give an XML attribute of an XISF header another value, or drop or repeat an element."""
    attributes = list(re.finditer(rb'([\w:]+)="([^"]*)"', data[:8192]))
    if not attributes:
        return data
    found = draw(st.sampled_from(attributes))
    if draw(st.integers(0, 4)):
        value = re.sub(r'[<&"]', "", draw(hostile_values())).encode("utf-8", "replace")
        new = found[1] + b'="' + value + b'"'
    else:
        new = draw(st.sampled_from([b"", bytes(found[0]) * 2, b"><", b"/>", b"<!DOCTYPE a>", b"&lol;"]))
    # The pixels stay where the header places them, for as long as the padding lasts.
    room = len(found[0]) - len(new)
    data = data[: found.start()] + new + data[found.end() :]
    end = data.find(b"</xisf>") + 7
    if room >= 0:
        data[end:end] = b" " * room
    elif data[end : end - room].strip(b" \0") == b"":
        del data[end : end - room]
    return data


def mutate_number(draw, data):
    """Overwrite an aligned number of a TIFF file."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    at = draw(st.integers(0, max(len(data) // 2 - 1, 0))) * 2
    number = draw(st.sampled_from([0, 1, 2, 3, 4, 8, 255, 2**15, 2**31, 2**32 - 1, 2**63]) | st.integers(0, 2**64 - 1))
    order = draw(st.sampled_from(["little", "big"]))
    data[at : at + width] = (number % 256**width).to_bytes(width, order)
    return data


def mutate_bytes(draw, data):
    """Overwrite some bytes."""
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    new = draw(st.binary(min_size=1, max_size=8))
    data[at : at + len(new)] = new
    return data


def mutate_length(draw, data):
    """Cut the file, or remove or repeat a part of it."""
    first, last = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
    what = draw(st.sampled_from(["cut", "remove", "repeat"]))
    if what == "cut":
        return data[:last]
    return data[:first] + data[last:] if what == "remove" else data[:last] + data[first:]


def check_file(path, folder):
    """Read a file, and write what it holds in every format: it works, or ImageFormatError says why not.

    Raises
    ------
    AssertionError
        If something else comes out, or the error is no sentence, or hides that memory ran out.
    """
    try:
        stored = open_image(path)
        image, metadata = stored.read()
        assert image.shape == stored.shape and image.dtype == stored.metadata.dtype, "open_image told another shape"
        if stored.copy_to is not None:
            copied = np.empty(image.shape, image.dtype if image.dtype.kind == "f" else "f4")
            moved = np.moveaxis(copied.reshape(-1).reshape(np.moveaxis(image, -1, 0).shape), 0, -1)
            stored.copy_to(moved if metadata.layout == "CHW" and image.ndim == 3 else copied)
    except ImageFormatError as error:
        check_sentence(error)
        return False
    for suffix in (".fits", ".fits.fz", ".xisf", ".tif"):
        try:
            write_image(folder / f"again{suffix}", image, metadata, overwrite=True)
        except ImageFormatError as error:
            check_sentence(error)
        else:
            again, _ = read_image(folder / f"again{suffix}")
            assert np.array_equal(again, image, equal_nan=image.dtype.kind == "f"), f"other pixels in {suffix}"
    return True


def check_sentence(error):
    """One line of a bearable length that does not say that memory ran out."""
    text = str(error)
    assert "\n" not in text and 20 < len(text) < 1500, text
    assert "MemoryError" not in text and "Unable to allocate" not in text, text


def limit_memory(nbytes):
    """Let this process address at most so many bytes more than it does."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + nbytes,) * 2)


class _TooSlow(BaseException):
    """No Exception, so that no reader takes it for its own."""


def _too_slow(*_):
    raise _TooSlow(f"more than {SECONDS} seconds")


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-found"), help="directory for files that break a promise"
    )
    return parser.parse_args()


def main():
    """Run until the time is over; the exit code is the number of broken promises, at most 1."""
    options, counts, found = _arguments(), {}, set()
    end = time.monotonic() + 60 * options.minutes
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _too_slow)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = seed_files(folder)
        limit_memory(2**30)

        @settings(
            max_examples=200,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def one_file(data):
            kind = data.draw(st.sampled_from(sorted(seeds)))
            content = data.draw(mutated(data.draw(st.sampled_from(seeds[kind])), kind))
            path = folder / "mutated"
            path.write_bytes(content)
            # Seconds of the processor, so that a busy machine finds nothing.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                readable = check_file(path, folder)
            except (Exception, _TooSlow) as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                if (kind, type(error), where.lineno) not in found:
                    found.add((kind, type(error), where.lineno))
                    options.keep.mkdir(parents=True, exist_ok=True)
                    kept = options.keep / f"{kind}-{zlib.crc32(content):08x}"
                    kept.write_bytes(content)
                    print(
                        f"{kept}: {type(error).__name__}: {str(error)[:300]} ({where.filename}:{where.lineno})",
                        flush=True,
                    )
            else:
                counts[kind, readable] = counts.get((kind, readable), 0) + 1
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        while time.monotonic() < end:
            one_file()
    for (kind, readable), number in sorted(counts.items()):
        print(f"{kind}: {number} files {'read' if readable else 'refused'}")
    print(f"{len(found)} broken promises")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
