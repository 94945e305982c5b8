"""Sky backgrounds: smooth glows that add up, and the falloff of the optics that multiplies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skbgopt.datasets._frame import Frame, channel_mixing

GRAY = (1.0, 1.0, 1.0)
LAMPS = (1.2, 1.0, 0.7)
MOON = (0.8, 1.0, 1.25)
AIRGLOW = (0.9, 1.2, 0.8)

# Points a side on which the range of a glow is taken, so that it does not depend on the number of pixels.
_RANGE_POINTS = 33

ShapeFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Glow:
    """Additive light: a function of (y, x), its range relative to the constant sky, and its colour."""

    shape: ShapeFunction
    amplitude: float
    tint: tuple[float, float, float] = GRAY
    # Lowest row, as a share of the height, up to which the range is taken (the horizon of a landscape).
    visible_height: float = 1.0

    def evaluate(self, frame: Frame) -> np.ndarray:
        """Values at the pixels, 0 to 1 over the visible part of the frame."""
        bottom = frame.half_height * (2 * self.visible_height - 1)
        sample_y = np.linspace(-frame.half_height, bottom, _RANGE_POINTS)[:, None]
        sample_x = np.linspace(-frame.half_width, frame.half_width, _RANGE_POINTS)[None, :]
        sample = self.shape(sample_y, sample_x)
        low, high = sample.min(), sample.max()
        return (self.shape(*frame.axes()) - low) / (high - low)


@dataclass(frozen=True)
class Sky:
    """Glows on a constant sky, seen through optics with a falloff: sky (1 + sum of glows) cos^4.

    `falloff` is the squared tangent of the angle from the axis to the corners.
    """

    glows: tuple[Glow, ...]
    falloff: float = 0.0
    axis: tuple[float, float] = (0.0, 0.0)

    def evaluate(self, frame: Frame, level: np.ndarray, gradient: float) -> np.ndarray:
        """Background (height, width, channels) for a constant sky of `level` a channel."""
        mixing = channel_mixing(len(level))
        background = np.ones((len(level), frame.height, frame.width))
        for glow in self.glows:
            values = glow.evaluate(frame)
            for channel, tint in enumerate(np.asarray(glow.tint) @ mixing):
                background[channel] += gradient * glow.amplitude * tint * values
        if self.falloff:
            y, x = frame.axes()
            squared_radius = ((y - self.axis[0]) ** 2 + (x - self.axis[1]) ** 2) / frame.half_diagonal**2
            background /= (1 + gradient * self.falloff * squared_radius) ** 2
        background *= level[:, None, None]
        return np.moveaxis(background, 0, -1)


def _plane(angle: float, curvature: float = 0.0) -> ShapeFunction:
    def shape(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        return along + curvature * (along**2 - 0.5 * across**2)

    return shape


def _dome(centre_y: float, centre_x: float, softening: float) -> ShapeFunction:
    return lambda y, x: 1 / np.sqrt((y - centre_y) ** 2 + (x - centre_x) ** 2 + softening**2)


def _bump(centre_y: float, centre_x: float, width: float) -> ShapeFunction:
    return lambda y, x: np.exp(-0.5 * ((y - centre_y) ** 2 + (x - centre_x) ** 2) / width**2)


def _corner(rng: np.random.RandomState, frame: Frame, distance: float) -> ShapeFunction:
    """Dome of light around a point outside a randomly chosen corner."""
    side_y, side_x = rng.choice([-1, 1], size=2)
    reach_y, reach_x = distance + rng.uniform(0.0, 0.5, size=2)
    return _dome(side_y * reach_y * frame.half_height, side_x * reach_x * frame.half_width, softening=0.25)


def _angle(rng: np.random.RandomState) -> float:
    return rng.uniform(0, 2 * np.pi)


def linear(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """A plane, hardly curved."""
    return Sky((Glow(_plane(_angle(rng), rng.uniform(-0.15, 0.15)), amplitude, LAMPS),))


def vignette(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """The cos^4 falloff of a lens whose axis is a little off the centre, on a nearly constant sky."""
    offset_y, offset_x = rng.uniform(-0.08, 0.08, size=2)
    return Sky((Glow(_plane(_angle(rng)), 0.1 * amplitude),), 0.5 * amplitude, (offset_y, offset_x))


def corner(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """The light dome of a town beyond one corner, falling with the inverse distance."""
    return Sky((Glow(_corner(rng, frame, 1.2), amplitude, LAMPS),))


def two_sided(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """Glows beyond opposite edges, of different strength and colour."""
    angle, balance = _angle(rng), rng.uniform(0.35, 0.65)
    scale = rng.uniform(0.25, 0.4)

    def rise(y: np.ndarray, x: np.ndarray, towards: float) -> np.ndarray:
        return np.exp((x * np.cos(towards) + y * np.sin(towards)) / scale)

    opposite = angle + np.pi + rng.uniform(-0.4, 0.4)
    return Sky(
        (
            Glow(lambda y, x: rise(y, x, angle), amplitude * 1.3 * balance, LAMPS),
            Glow(lambda y, x: rise(y, x, opposite), amplitude * 1.3 * (1 - balance), MOON),
        )
    )


def horizon(rng: np.random.RandomState, frame: Frame, amplitude: float, visible_height: float = 0.7) -> Sky:
    """Light pollution rising to the horizon, brighter at one side, with a broad arch of airglow."""
    edge = frame.half_height * (2 * visible_height - 1)
    scale = rng.uniform(0.28, 0.4) * frame.half_height
    town = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1) * frame.half_width
    arch, tilt = rng.uniform(-0.6, -0.1) * frame.half_height, rng.uniform(-0.25, 0.25)

    def haze(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp((edge - y) / scale)) + 0 * x

    def airglow(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((y - arch - tilt * x) / (0.55 * frame.half_height)) ** 2)

    return Sky(
        (
            Glow(haze, 0.65 * amplitude, LAMPS, visible_height),
            Glow(_bump(edge + 0.08, town, rng.uniform(0.24, 0.34)), 0.45 * amplitude, LAMPS, visible_height),
            Glow(airglow, 0.12 * amplitude, AIRGLOW, visible_height),
        ),
        falloff=0.08 * amplitude,
    )


def filter_leak(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """A filter that passes more light at one side than at the other, and a broad reflection off the axis."""
    angle = _angle(rng)
    leak = Glow(_plane(angle, rng.uniform(0.3, 0.8) * rng.choice([-1, 1])), 0.75 * amplitude)
    away = angle + np.pi * rng.uniform(0.6, 1.4)
    centre_y = 0.6 * frame.half_height * np.sin(away)
    centre_x = 0.6 * frame.half_width * np.cos(away)
    return Sky((leak, Glow(_bump(centre_y, centre_x, rng.uniform(0.18, 0.26)), 0.4 * amplitude)))


def polluted_vignette(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """A plane of light pollution through a lens with a strong falloff."""
    offset_y, offset_x = rng.uniform(-0.06, 0.06, size=2)
    plane = Glow(_plane(_angle(rng), rng.uniform(-0.3, 0.3)), 0.6 * amplitude, LAMPS)
    return Sky((plane,), falloff=0.25 * amplitude, axis=(offset_y, offset_x))


def moonlight(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """A bluish gradient towards the Moon, far outside the frame, and lamps at another side."""
    angle = _angle(rng)
    moon_y, moon_x = 1.1 * np.sin(angle), 1.1 * np.cos(angle)
    lamps = Glow(_plane(angle + rng.uniform(0.7, 2.4)), 0.4 * amplitude, LAMPS)
    return Sky((Glow(_dome(moon_y, moon_x, 0.3), 0.8 * amplitude, MOON), lamps))


def corner_and_plane(rng: np.random.RandomState, frame: Frame, amplitude: float) -> Sky:
    """A light dome beyond one corner on a weak plane of another direction."""
    plane = Glow(_plane(_angle(rng), rng.uniform(-0.4, 0.4)), 0.4 * amplitude, MOON)
    return Sky((Glow(_corner(rng, frame, 1.3), 0.8 * amplitude, LAMPS), plane))


SKY_SHAPES: dict[str, Callable[[np.random.RandomState, Frame, float], Sky]] = {
    "linear": linear,
    "vignette": vignette,
    "corner": corner,
    "two-sided": two_sided,
    "horizon": horizon,
    "filter-leak": filter_leak,
    "polluted-vignette": polluted_vignette,
    "moonlight": moonlight,
    "corner-and-plane": corner_and_plane,
}
