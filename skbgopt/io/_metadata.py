"""What a file says beside its pixels, kept so that it can be written again."""

from __future__ import annotations

import math
import re
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


@dataclass
class XisfParts:
    """The XML of an XISF file without its pixels; data blocks are moved into the elements."""

    attributes: dict[str, str] = field(default_factory=dict)
    """Attributes of the Image element that still hold when the pixels change."""
    elements: list[Element] = field(default_factory=list)
    """FITSKeyword, Property, ICCProfile and other children of the Image element, in order."""
    file_elements: list[Element] = field(default_factory=list)
    """Properties of the Metadata element that the writer does not set itself."""


@dataclass
class TiffTags:
    """The tags of a TIFF page that are written again."""

    description: str = ""
    """ImageDescription without the cards that `write_image` put there."""
    icc_profile: bytes | None = None
    orientation: int | None = None


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
    copy_to : callable or None
        Copies the pixels band by band into a float array of the image's shape, made by `create_image` with
        this metadata. None if the file cannot be read in bands without loss.
    """

    path: Path
    shape: tuple[int, ...]
    metadata: ImageMetadata
    read: Callable[[], tuple[np.ndarray, ImageMetadata]]
    copy_to: Callable[[np.ndarray], None] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels in memory."""
        assert self.metadata.dtype is not None
        return math.prod(self.shape) * self.metadata.dtype.itemsize


def bayer_pattern_or_none(*candidates: object) -> str | None:
    """Return the first candidate that is the text of a colour filter array."""
    for candidate in candidates:
        text = str(candidate).strip(" '\"").upper()
        if re.fullmatch(r"[RGBCMYW]{4,}", text):
            return text
    return None
