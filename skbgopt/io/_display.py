"""Whether an image looks encoded for display, so that its values do not add up."""

from __future__ import annotations

import struct

import numpy as np

_NAMES = (b"sRGB", b"Adobe RGB", b"AdobeRGB", b"Display P3", b"ProPhoto")
_HEADER, _ENTRY = 128, 12
_CURVES = (b"rTRC", b"gTRC", b"kTRC")
_MOST_TAGS = 100
_TOLERANCE = 0.01


def display_encoding(image: np.ndarray, profile: bytes | None) -> str | None:
    """Say what speaks for an encoding for display; None if nothing does.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, channels)
    profile : bytes or None
        ICC profile.
    """
    bends = None if profile is None else _bends(profile)
    # The names of profiles are ASCII or UTF-16.
    names = (profile or b"").replace(b"\0", b"")
    named = next((name.decode() for name in _NAMES if name in names), None)
    if bends or (bends is None and named):
        return f"its colour profile is {named}" if named else "its colour profile has a tone curve"
    return "its colours have 8 bits" if image.ndim == 3 and image.dtype == np.uint8 else None


def _bends(profile: bytes) -> bool | None:
    """Whether the tone curves of a profile bend; None if it has none that can be read."""
    try:
        (n_tags,) = struct.unpack_from(">I", profile, _HEADER)
        found = [
            _curve_bends(profile, offset)
            for name, offset in (
                struct.unpack_from(">4sI", profile, _HEADER + 4 + _ENTRY * number)
                for number in range(min(n_tags, _MOST_TAGS))
            )
            if name in _CURVES
        ]
    except (struct.error, ValueError):
        return None
    return any(found) if found else None


def _curve_bends(profile: bytes, offset: int) -> bool:
    kind, number = struct.unpack_from(">4s4xI", profile, offset)
    if kind == b"para":
        # The gamma, a fixed-point number; of all kinds of functions it comes first.
        return abs(struct.unpack_from(">i", profile, offset + 12)[0] / 2**16 - 1) > _TOLERANCE
    if number == 0:
        return False
    if number == 1:
        return abs(struct.unpack_from(">H", profile, offset + 12)[0] / 2**8 - 1) > _TOLERANCE
    table = np.frombuffer(profile, ">u2", number, offset + 12) / 65535
    return bool(np.abs(table - np.linspace(0, 1, len(table))).max(initial=0) > _TOLERANCE)
