"""The FITS header of an image, whatever format its metadata comes from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from xml.etree.ElementTree import Element

from astropy.io import fits

from skbgopt.io._cards import KeywordText, add_commentary, from_keyword_texts, is_structural
from skbgopt.io._metadata import ImageMetadata

# Every program that writes FITS adds these two lines of its own.
_BOILERPLATE = ("FITS (Flexible Image Transport System)", "and Astrophysics', volume 376, page 359")
_MOST_NAMES = 5


def fits_header(metadata: ImageMetadata) -> fits.Header:
    """Return a new header of all that FITS can hold of `metadata`, without the structural cards."""
    header = fits.Header()
    if metadata.header is not None:
        append_cards(header, metadata.header)
    if metadata.xisf is not None:
        header = from_keyword_texts(keyword_texts(metadata.xisf.elements))
        _warn_of_properties([*metadata.xisf.elements, *metadata.xisf.file_elements])
    if metadata.tiff is not None:
        for line in metadata.tiff.description.splitlines():
            add_commentary(header, "COMMENT", line)
    if metadata.bayer_pattern and "BAYERPAT" not in header and metadata.format != "fits":
        header["BAYERPAT"] = metadata.bayer_pattern
    return header


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
        if element.tag.endswith("}FITSKeyword")
    ]


def _warn_of_properties(elements: Iterable[Element]) -> None:
    names = [element.get("id", "?") for element in elements if element.tag.endswith("}Property")]
    if names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        warnings.warn(
            f"Only XISF can hold the properties {', '.join(names[:_MOST_NAMES])}{more}; they are left out.",
            stacklevel=2,
        )
