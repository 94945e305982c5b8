"""Parameters of make_sky_image: checked, with the defaults of the kind filled in."""

from __future__ import annotations

import numbers

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skbgopt.datasets._frame import Frame, channel_mixing
from skbgopt.datasets._kinds import KINDS, SkyKind
from skbgopt.datasets._skies import SKY_SHAPES

SMALLEST_SIDE = 16
WIDEST_BORDER = 0.3


def _sentence(name: str, allowed: str, got: object) -> str:
    return f"The {name!r} parameter of make_sky_image must be {allowed}. Got {got!r} instead."


def checked_kind(kind: str) -> SkyKind:
    if kind not in KINDS:
        raise ValueError(_sentence("kind", f"one of {list(KINDS)}", kind))
    return KINDS[kind]


def checked_frame(shape: tuple[int, int]) -> Frame:
    sides = tuple(shape) if isinstance(shape, tuple | list) else ()
    whole = [side for side in sides if isinstance(side, numbers.Integral) and side >= SMALLEST_SIDE]
    if len(sides) != 2 or len(whole) != 2:
        raise ValueError(_sentence("shape", f"a height and a width of at least {SMALLEST_SIDE} pixels", shape))
    return Frame(int(sides[0]), int(sides[1]))


def checked_channels(n_channels: int | None, properties: SkyKind) -> int:
    if n_channels is None:
        return properties.n_channels
    if not isinstance(n_channels, numbers.Integral) or n_channels < 1:
        raise ValueError(_sentence("n_channels", "None or an int of at least 1", n_channels))
    return int(n_channels)


def checked_gradient(gradient: float) -> float:
    if not isinstance(gradient, numbers.Real) or not 0 <= gradient < np.inf:
        raise ValueError(_sentence("gradient", "a finite float of at least 0", gradient))
    return float(gradient)


def checked_noise(noise: ArrayLike | None, properties: SkyKind, n_channels: int) -> np.ndarray:
    if noise is None:
        return np.asarray(properties.noise) @ channel_mixing(n_channels)
    sigma = np.asarray(noise, dtype=np.float64)
    if sigma.shape not in [(), (1,), (n_channels,)] or not np.all(np.isfinite(sigma) & (sigma >= 0)):
        allowed = f"None, or one finite number of at least 0, or one for each of the {n_channels} channels"
        raise ValueError(_sentence("noise", allowed, noise))
    return np.broadcast_to(sigma, (n_channels,)).copy()


def checked_background(background: str | None, properties: SkyKind) -> str:
    if background is None:
        return properties.background
    if background not in SKY_SHAPES:
        raise ValueError(_sentence("background", f"None or one of {list(SKY_SHAPES)}", background))
    return background


def checked_border(empty_border: float | None, properties: SkyKind) -> float:
    if empty_border is None:
        return properties.empty_border
    if not isinstance(empty_border, numbers.Real) or not 0 <= empty_border <= WIDEST_BORDER:
        raise ValueError(
            _sentence("empty_border", f"None or a float in the range [0.0, {WIDEST_BORDER}]", empty_border)
        )
    return float(empty_border)


def checked_dtype(dtype: DTypeLike) -> np.dtype:
    checked = np.dtype(dtype)
    if checked.kind != "f":
        # Integers would round a sky of 0.002 to 0: scaling to ADU is the caller's choice.
        raise TypeError(_sentence("dtype", "a floating dtype (scale the image to convert it)", str(checked)))
    return checked
