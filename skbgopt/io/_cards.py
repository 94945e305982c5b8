"""FITS cards in every format: those to add, those that describe only the pixels, and their text in XISF."""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from astropy.io import fits

COMMENTARY = ("COMMENT", "HISTORY", "")
_COMMENTARY_LENGTH = 72
_CARD_LENGTH = 80
_KEYWORD = re.compile(r"[A-Z0-9_-]{0,8}")
# A string with its quotes doubled, and a comment.
_STRING_CARD = re.compile(r"[A-Z0-9_-]{1,8} *= +'((?:[^']|'')*)' *(?:/ ?(.*))?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?")

# They describe how the pixels were stored, which the writer decides anew. INHERIT, EXTVER and EXTLEVEL make
# no sense in the primary HDU that an extension is written to.
_STRUCTURAL = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM"
    r"|INHERIT|EXTVER|EXTLEVEL|END|Z(HECKSUM|DATASUM|BLANK|SCALE|ZERO|QUANTIZ|DITHER0|CMPTYPE|IMAGE|BITPIX)"
)


class KeywordText(NamedTuple):
    """A card as XISF holds it: strings keep their quotes."""

    name: str
    value: str
    comment: str


def is_structural(keyword: str) -> bool:
    """Whether a card describes the storage of the pixels, so that it must not be carried over."""
    return _STRUCTURAL.fullmatch(keyword) is not None


def cards_to_add(history: Iterable[str], cards: Mapping[str, Any]) -> fits.Header:
    """Check the cards and history lines that a caller wants to add, and make them a header."""
    header = fits.Header()
    for keyword, entry in cards.items():
        value, comment = entry if isinstance(entry, tuple) else (entry, "")
        text = _value_text(_checked_value(keyword, value))
        header.append(_card_of(_checked_keyword(keyword), text, printable(comment)), end=True)
    for line in [history] if isinstance(history, str) else history:
        for part in line.splitlines() or [""]:
            add_commentary(header, "HISTORY", part)
    return header


def _checked_keyword(keyword: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_-]{1,8}", keyword.upper()):
        raise ValueError(
            f"The 'cards' parameter of write_image must have keywords of 1 to 8 letters, digits, '-' or '_'. "
            f"Got {keyword!r} instead."
        )
    if is_structural(keyword.upper()) or keyword.upper() in COMMENTARY:
        raise ValueError(
            f"The 'cards' parameter of write_image must not hold {keyword!r}: the writer sets the cards that "
            f"describe the pixels, and lines of text belong to 'history'."
        )
    return keyword.upper()


def _checked_value(keyword: str, value: Any) -> str | bool | int | float | None:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, str | bool | int | float | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise ValueError(
            f"The 'cards' parameter of write_image must have values that are str, bool, int, finite float or "
            f"None. Got {keyword}={value!r} instead; leave it out or write it as text."
        )
    return printable(value) if isinstance(value, str) else value


def printable(text: str) -> str:
    """Write what FITS cannot hold as backslash escapes."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in escaped)


def repaired(header: fits.Header, path: Path) -> fits.Header:
    """Copy a header card by card, so that one that cannot be read or written does not lose the others."""
    kept = fits.Header()
    mended, dropped = [], []
    for card in map(copy.copy, header.cards):
        was_sound = _is_sound(card)
        try:
            card.verify("silentfix")
            text = "".join(char if " " <= char <= "~" else "?" for char in card.image)
            if text != card.image:
                card, was_sound = fits.Card.fromstring(text), False
            if not (_is_sound(card) and (text.startswith("HIERARCH ") or _KEYWORD.fullmatch(card.rawkeyword))):
                raise ValueError(text)
        except (fits.VerifyError, ValueError):
            dropped.append(printable(card.keyword))
            continue
        if not was_sound:
            mended.append(printable(card.keyword))
        kept.append(_with_whole_string(card), end=True)
    for cards, what in ((mended, "repaired"), (dropped, "dropped")):
        if cards:
            warnings.warn(f"{path}: {what} FITS cards that break the standard: {', '.join(cards)}.", stacklevel=2)
    return kept


def _with_whole_string(card: fits.Card) -> fits.Card:
    """Return a card with all of its string, which astropy ends at a quote before a slash (its issue 18831)."""
    found = None if card.keyword in COMMENTARY else _STRING_CARD.fullmatch(card.image)
    value = "" if found is None else found[1].replace("''", "'").rstrip()
    if found is None or "'" not in value or value == card.value:
        return card
    return fits.Card(card.keyword, value, (found[2] or "").rstrip())


def _is_sound(card: fits.Card) -> bool:
    try:
        _ = card.value, card.comment
    except (fits.VerifyError, ValueError):
        return False
    return True


def add_commentary(header: fits.Header, keyword: str, text: str) -> None:
    """Append a line of text at the end of the header, as many cards as it needs."""
    text = printable(text)
    for start in range(0, max(len(text), 1), _COMMENTARY_LENGTH):
        header.append((keyword, text[start : start + _COMMENTARY_LENGTH]), end=True)


def merge(header: fits.Header, extra: fits.Header) -> None:
    """Set the cards of `extra` in `header`; its lines of text follow those that are there."""
    for card in extra.cards:
        if card.keyword in COMMENTARY:
            header.append((card.keyword, card.value), end=True)
        else:
            _replace(header, card)


def append_all(header: fits.Header, cards: fits.Header) -> None:
    """Append cards one by one, as they are; astropy's own ways merge repeated ones and reorder the comments."""
    for card in cards.cards:
        header.append(card, end=True)


def filled(header: fits.Header, room: int) -> bytes:
    """Return the bytes of a header with blank cards before its end; they stand for cards that it lost."""
    content = header.tostring().encode("ascii")
    if len(content) > room:
        raise RuntimeError(f"The header needs {len(content)} bytes, {room} are reserved: set fewer cards.")
    return content if len(content) == room else content.rstrip()[:-3].ljust(room - _CARD_LENGTH) + b"END".ljust(80)


def _replace(header: fits.Header, card: fits.Card) -> None:
    # The card itself and not its value, whose last digits astropy would cut off.
    card = copy.copy(card)
    if card.keyword not in header:
        header.append(card)
        return
    position = header.index(card.keyword)
    if not card.comment:
        card.comment = header.comments[position]
    del header[position]
    header.insert(position, card)


def to_keyword_texts(header: fits.Header) -> list[KeywordText]:
    """Write the cards as FITSKeyword entries, structural and blank ones left out."""
    texts = []
    for card in header.cards:
        if card.keyword in COMMENTARY:
            # PixInsight keeps lines of text in the comment; those without a keyword become comments.
            name = card.keyword or ("COMMENT" if str(card.value).strip() else "")
            texts.append(KeywordText(name, "", printable(str(card.value))))
        elif not is_structural(card.rawkeyword):
            texts.append(KeywordText(card.rawkeyword, printable(_value_text(card.rawvalue)), printable(card.comment)))
    return [text for text in texts if text.name]


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int | float):
        return repr(value).upper()
    return "" if value is None or isinstance(value, fits.card.Undefined) else f"'{value}'"


def from_keyword_texts(texts: Iterable[KeywordText]) -> fits.Header:
    """Read FITSKeyword entries as cards, structural ones left out; what FITS cannot hold is named."""
    header = fits.Header()
    lost = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        for name, value, comment in texts:
            keyword = name.strip().upper()
            try:
                if keyword in COMMENTARY:
                    # Blanks before a line of text indent it.
                    parts = (value.strip(chr(39)), comment)
                    add_commentary(header, keyword, " ".join(filter(None, parts)).rstrip())
                elif len(keyword) <= 8 and " " not in keyword and not _KEYWORD.fullmatch(keyword):
                    lost.append(printable(name))
                elif not is_structural(keyword):
                    card = _card_of(keyword, value.strip(), printable(comment))
                    # astropy lets the keywords of HIERARCH grow beyond the card.
                    if len(card.image) % _CARD_LENGTH:
                        raise ValueError(keyword)
                    header.append(card, end=True)
            except (ValueError, fits.VerifyError):
                lost.append(printable(name))
    if lost:
        warnings.warn(f"FITS cannot hold these keywords, they are left out: {', '.join(lost)}.", stacklevel=2)
    return header


def _card_of(keyword: str, value: str, comment: str) -> fits.Card:
    is_long = not _KEYWORD.fullmatch(keyword)
    if _NUMBER.fullmatch(value):
        # From its text, so that the number keeps all its digits; astropy cuts numbers to 20 characters.
        text = f"HIERARCH {keyword} = {value}" if is_long else f"{keyword:<8}= {value:>20}"
        return fits.Card.fromstring(f"{text} / {comment}"[:_CARD_LENGTH] if comment else text)
    keyword = f"HIERARCH {keyword}" if is_long else keyword
    if value in ("T", "F"):
        return fits.Card(keyword, value == "T", comment)
    if value.startswith("'"):
        value = value[1:].removesuffix("'").rstrip().replace("''", "'")
        return fits.Card(keyword, printable(value), comment)
    return fits.Card(keyword, printable(value) if value else None, comment)
