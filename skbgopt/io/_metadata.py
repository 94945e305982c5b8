"""What a file says beside its pixels, kept so that it can be written again."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    import numpy as np
    from astropy.io.fits import Header

FormatName = Literal["fits", "xisf", "tiff"]
Layout = Literal["HW", "1HW", "CHW", "HWC"]

BAYER_KEYWORDS = ("BAYERPAT", "COLORTYP", "CFAPAT", "FILTER")
_NO_PATTERN = ("", "NONE", "NO", "N/A", "F", "FALSE", "MONO", "MONOCHROME", "UNDEFINED")


@dataclass
class XisfParts:
    """The XML of an XISF file without its pixels; data blocks are moved into the elements."""

    attributes: dict[str, str] = field(default_factory=dict)
    """Attributes of the Image element that still hold when the pixels change."""
    elements: list[Element] = field(default_factory=list)
    """FITSKeyword, Property, ICCProfile and other children of the Image element, in order."""
    file_elements: list[Element] = field(default_factory=list)
    """Properties of the Metadata element that the writer does not set itself."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The values of black and white, if the file names any."""
        return bounds_of(self.attributes.get("bounds", ""))


@dataclass
class TiffTags:
    """The tags of a TIFF page that are written again."""

    description: str = ""
    """ImageDescription without the cards that `write_image` put there."""
    icc_profile: bytes | None = None
    orientation: int | None = None
    resolution: tuple[float, float, int] | None = None
    """Horizontal, vertical, and what they count in: 1 nothing, 2 inch, 3 cm."""
    others: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Code, type and value of tags that say who made the image, when and with what."""


@dataclass
class ImageMetadata:
    """Everything about an image but its pixels, as `read_image` found it.

    Parameters
    ----------
    format : {"fits", "xisf", "tiff"}
        Of the file that was read.
    dtype : numpy.dtype, default=None
        Of the pixels that were read, in native byte order.
    bayer_pattern : str, default=None
        The colour filter array of a raw frame in file row order, such as "RGGB"; None if the file names none.
    layout : {"HW", "1HW", "CHW", "HWC"}, default="CHW"
        The axes in the file.
    compressed : bool, default=False
        Whether the pixels were in FITS tiles.
    header : astropy.io.fits.Header, default=None
        The FITS header; the cards that an earlier `write_image` kept in a TIFF file.
    xisf : XisfParts, default=None
        XISF only.
    tiff : TiffTags, default=None
        TIFF only.
    """

    format: FormatName
    dtype: np.dtype | None = None
    bayer_pattern: str | None = None
    layout: Layout = "CHW"
    compressed: bool = False
    header: Header | None = None
    xisf: XisfParts | None = None
    tiff: TiffTags | None = None

    @property
    def fits_layout(self) -> Layout:
        """The axes in which a FITS file is written: channels first, unless the image comes from one that has others."""
        return self.layout if self.format == "fits" else "CHW"


@dataclass(frozen=True)
class StoredImage:
    """An image in a file whose pixels are not read yet.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        (height, width) or (height, width, channels).
    metadata : ImageMetadata
        Of XISF and TIFF without what lies beside the pixels: `read` returns all of it.
    read : callable
        Returns the pixels and their metadata, as `read_image`.
    card : callable
        Returns the value of the FITS card of a keyword, None if there is none; of XISF and TIFF as text.
    copy_to : callable or None
        Copies the pixels band by band into a float array of the image's shape, made by `create_image` with
        this metadata. None if the file cannot be read in bands without loss.
    nbytes_beside : int
        Bytes in the file of what lies beside the pixels and is read with them.
    """

    path: Path
    shape: tuple[int, ...]
    metadata: ImageMetadata
    read: Callable[[], tuple[np.ndarray, ImageMetadata]]
    card: Callable[[str], object]
    copy_to: Callable[[np.ndarray], None] | None = None
    nbytes_beside: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels in memory."""
        assert self.metadata.dtype is not None
        return math.prod(self.shape) * self.metadata.dtype.itemsize


def bounds_of(text: str) -> tuple[float, float] | None:
    """Return the two numbers of the bounds of an XISF image; None if they are none."""
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def bayer_pattern_of(card: Callable[[str], object], *others: object, path: Path) -> str | None:
    """Return the colour filter array that a file names; warn of a BAYERPAT that is none.

    `card` returns the value of a FITS keyword or None; `others` are what else may hold a pattern.
    """
    for candidate in (*map(card, BAYER_KEYWORDS), *others):
        text = str(candidate).strip(" '\"").upper()
        if re.fullmatch(r"[RGBCMYW]{4,}", text):
            return text
    unknown = str(card("BAYERPAT") or "").strip(" '\"")
    if unknown.upper() not in _NO_PATTERN:
        warnings.warn(
            f"{path}: BAYERPAT is {unknown[:40]!r}, which names no colour filter array that is known; "
            f"an image of one channel is taken for monochrome.",
            stacklevel=2,
        )
    return None
