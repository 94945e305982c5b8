"""From the metadata of one format to those of another: what the target holds is kept, what it cannot hold is named."""

from __future__ import annotations

import base64
import copy
import math
import warnings
from collections.abc import Iterable
from xml.etree.ElementTree import Element

from astropy.io import fits

from skbgopt.io._cards import KeywordText, add_commentary, from_keyword_texts, is_structural
from skbgopt.io._metadata import BAYER_KEYWORDS, FormatName, ImageMetadata, TiffTags, XisfParts

_NAMESPACE = "{http://www.pixinsight.com/xisf}"
# Every program that writes FITS adds these two lines of its own.
_BOILERPLATE = ("FITS (Flexible Image Transport System)", "and Astrophysics', volume 376, page 359")
_MOST_NAMES = 5
# What TIFF numbers from 1 to 8.
_ORIENTATIONS = ("0", "flip", "180", "180;flip", "-90;flip", "-90", "90;flip", "90")
_UNITS = {"inch": 2, "cm": 3}
# Tags of TIFF that are kept as they are.
KEPT_TAGS = {
    269: "DocumentName", 271: "Make", 272: "Model", 285: "PageName", 306: "DateTime", 315: "Artist",
    316: "HostComputer", 700: "XMP", 33432: "Copyright", 33723: "IPTC", 34377: "ImageResources",
}  # fmt: skip


def xisf_tag(name: str) -> str:
    """Return the full name of an XISF element."""
    return f"{_NAMESPACE}{name}"


def fits_header(metadata: ImageMetadata) -> fits.Header:
    """Return a new header of all that FITS can hold of `metadata`, without the structural cards."""
    header = fits.Header()
    if metadata.header is not None:
        append_cards(header, metadata.header)
    if metadata.xisf is not None:
        header = from_keyword_texts(keyword_texts(metadata.xisf.elements))
    if metadata.tiff is not None:
        for line in metadata.tiff.description.splitlines():
            add_commentary(header, "COMMENT", line)
    add_bayer_pattern(header, metadata)
    return header


def add_bayer_pattern(header: fits.Header, metadata: ImageMetadata) -> None:
    """Add the card of a colour filter array that no card names."""
    named = {str(header.get(keyword)).strip().upper() for keyword in BAYER_KEYWORDS}
    if metadata.bayer_pattern and metadata.bayer_pattern not in named:
        header["BAYERPAT"] = metadata.bayer_pattern


def append_cards(header: fits.Header, source: fits.Header) -> None:
    """Append the cards of `source` but the structural ones, in their order and with their formatting."""
    for card in source.cards:
        # astropy's name for the table of tiles is not a name that somebody gave the image.
        tiles = card.keyword == "EXTNAME" and card.value == "COMPRESSED_IMAGE"
        if not is_structural(card.keyword) and not tiles:
            header.append(copy.copy(card), end=True)


def inherit_cards(header: fits.Header, primary: fits.Header) -> None:
    """Append to an extension's header what only the primary one says."""
    for card in primary.cards:
        if card.keyword in ("COMMENT", "HISTORY", ""):
            known = str(card.value).strip().startswith(_BOILERPLATE) or card.is_blank
        else:
            known = is_structural(card.keyword) or card.keyword == "EXTNAME" or card.keyword in header
        if not known:
            header.append(copy.copy(card), end=True)


def keyword_texts(elements: Iterable[Element]) -> list[KeywordText]:
    """Return the FITSKeyword elements among `elements`."""
    return [
        KeywordText(element.get("name", ""), element.get("value", ""), element.get("comment", ""))
        for element in elements
        if element.tag == xisf_tag("FITSKeyword")
    ]


def tiff_tags(metadata: ImageMetadata) -> TiffTags:
    """Return the tags that hold what is in no FITS card."""
    if metadata.tiff is not None:
        return metadata.tiff
    tags = TiffTags()
    if metadata.xisf is not None:
        turned = metadata.xisf.attributes.get("orientation", "")
        tags.orientation = None if turned not in _ORIENTATIONS else _ORIENTATIONS.index(turned) + 1
        for element in metadata.xisf.elements:
            if element.tag == xisf_tag("ICCProfile"):
                tags.icc_profile = base64.b64decode(element.text or "")
            elif element.tag == xisf_tag("Resolution"):
                tags.resolution = _resolution(element)
    return tags


def xisf_parts(metadata: ImageMetadata, keywords: Iterable[Element]) -> XisfParts:
    """Return the parts of an XISF file that has these keywords."""
    parts, tags = XisfParts(elements=list(keywords)), metadata.tiff or TiffTags()
    if tags.orientation is not None and 1 < tags.orientation <= len(_ORIENTATIONS):
        parts.attributes["orientation"] = _ORIENTATIONS[tags.orientation - 1]
    if tags.icc_profile is not None:
        profile = Element(xisf_tag("ICCProfile"), {"location": "inline:base64"})
        profile.text = base64.b64encode(tags.icc_profile).decode("ascii")
        parts.elements.append(profile)
    if tags.resolution is not None and tags.resolution[2] in _UNITS.values():
        horizontal, vertical, unit = tags.resolution
        name = next(name for name, number in _UNITS.items() if number == unit)
        attributes = {"horizontal": f"{horizontal:g}", "vertical": f"{vertical:g}", "unit": name}
        parts.elements.append(Element(xisf_tag("Resolution"), attributes))
    return parts


def warn_of_losses(metadata: ImageMetadata, target: FormatName) -> None:
    """Name in one warning what the target format cannot hold."""
    lost = []
    if metadata.xisf is not None and target != "xisf":
        lost = _lost_of_xisf(metadata.xisf, target)
    if metadata.tiff is not None and target != "tiff":
        lost = _lost_of_tiff(metadata.tiff, target)
    if lost:
        more = f" and {len(lost) - _MOST_NAMES} more" if len(lost) > _MOST_NAMES else ""
        warnings.warn(
            f"{target.upper()} cannot hold the {metadata.format.upper()} properties "
            f"{', '.join(lost[:_MOST_NAMES])}{more}; they are left out.",
            stacklevel=3,
        )


def _lost_of_xisf(parts: XisfParts, target: FormatName) -> list[str]:
    held = {"FITSKeyword", "ColorFilterArray"} | ({"ICCProfile", "Resolution"} if target == "tiff" else set())
    elements = [*parts.elements, *parts.file_elements]
    lost = [name_of(element) for element in elements if element.tag not in map(xisf_tag, held)]
    usual = {"id": "image", "bounds": "0:1", "orientation": "0"}
    for name, value in parts.attributes.items():
        turned = target == "tiff" and name == "orientation" and value in _ORIENTATIONS
        if value != usual.get(name) and not turned:
            lost.append(name)
    return lost


def _lost_of_tiff(tags: TiffTags, target: FormatName) -> list[str]:
    lost = [KEPT_TAGS[code] for code, _, _ in tags.others]
    if target == "fits":
        lost += ["ICC profile"] * (tags.icc_profile is not None)
        lost += ["Orientation"] * (tags.orientation not in (None, 1))
    if tags.resolution is not None and (target == "fits" or tags.resolution[2] not in _UNITS.values()):
        lost.append("Resolution")
    return lost


def name_of(element: Element) -> str:
    """Return the name by which an XISF element is known."""
    return element.get("id", element.tag.rpartition("}")[2])


def _resolution(element: Element) -> tuple[float, float, int] | None:
    try:
        horizontal, vertical = float(element.get("horizontal", "")), float(element.get("vertical", ""))
    except ValueError:
        return None
    usable = all(math.isfinite(number) and 0 < number < 1e6 for number in (horizontal, vertical))
    return (horizontal, vertical, _UNITS.get(element.get("unit", "inch"), 1)) if usable else None
