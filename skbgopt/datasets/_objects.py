"""Extended light of celestial objects, in units of the sky noise, and the foreground of a landscape."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skbgopt.datasets._frame import Canvas, Frame, channel_mixing
from skbgopt.datasets._textures import fractal_noise, ridged_noise, swirl

GRAY = (1.0, 1.0, 1.0)


class Layer(NamedTuple):
    """Light of one colour, drawn on the canvas in units of the sky noise."""

    drawing: np.ndarray
    colour: tuple[float, float, float] = GRAY


class Extended(NamedTuple):
    """Layers of light, and the density of stars on the canvas where it is not even."""

    layers: list[Layer]
    star_density: np.ndarray | None = None


def _blob(canvas: Canvas, centre: tuple[float, float], width: float, axis_ratio: float, angle: float) -> np.ndarray:
    y, x = canvas.axes()
    along = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
    across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
    return np.hypot(along, across / axis_ratio) / width


def _centre(rng: np.random.RandomState, frame: Frame, reach: float) -> tuple[float, float]:
    row, col = rng.uniform(-reach, reach, size=2)
    return row * frame.half_height, col * frame.half_width


def emission_nebula(rng: np.random.RandomState, canvas: Canvas, *, peak: float, size: float = 1.0) -> Extended:
    """Glowing clouds with filaments, dark lanes and faint outskirts that end inside the frame."""
    frame = canvas.frame
    envelope = np.zeros(canvas.shape, dtype=np.float32)
    main = _centre(rng, frame, 0.45)
    for part in range(4):
        offset_y, offset_x = rng.normal(0, 0.13, size=2) if part else (0.0, 0.0)
        width = size * rng.uniform(0.06, 0.12)
        distance = _blob(
            canvas,
            (main[0] + offset_y, main[1] + offset_x),
            width,
            rng.uniform(0.5, 1),
            rng.uniform(0, np.pi),
        )
        envelope += rng.uniform(0.4, 1) * np.exp(-0.5 * distance**2)
    outskirts = np.exp(-0.5 * _blob(canvas, main, 0.2 * size, rng.uniform(0.6, 1), rng.uniform(0, np.pi)) ** 2)

    clouds = swirl(rng, canvas, fractal_noise(rng, canvas, cells=4, octaves=7, persistence=0.6), 0.02)
    filaments = swirl(rng, canvas, ridged_noise(rng, canvas, cells=4, octaves=4), 0.02)
    lanes = swirl(rng, canvas, fractal_noise(rng, canvas, cells=5, octaves=6, persistence=0.55), 0.025)
    envelope = swirl(rng, canvas, envelope + 0.05 * outskirts, 0.03)
    glow = envelope**1.3 * np.exp(0.6 * clouds) * (0.35 + 1.6 * filaments)
    glow *= np.exp(-2.2 * np.maximum(lanes - 0.1, 0) ** 1.5)
    return Extended([Layer(peak * glow / np.quantile(glow, 0.999))])


def star_clouds(rng: np.random.RandomState, canvas: Canvas, *, peak: float) -> Extended:
    """A band of unresolved stars broken up by dust; its gaps show the bare sky, and stars follow the band."""
    angle = rng.uniform(0, np.pi)
    distance = _blob(canvas, _centre(rng, canvas.frame, 0.3), 0.28, 1.0, 0.0)
    y, x = canvas.axes()
    across = (y * np.cos(angle) - x * np.sin(angle)) / 0.3
    band = np.exp(-0.5 * across**2) * (0.7 + 0.3 * np.exp(-0.5 * distance**2))
    grain = fractal_noise(rng, canvas, cells=12, octaves=6, persistence=0.75)
    dust = swirl(rng, canvas, fractal_noise(rng, canvas, cells=6, octaves=6, persistence=0.6), 0.02)
    transparency = np.exp(-2.0 * np.maximum(dust - 0.2, 0))
    glow = band * transparency * np.maximum(0.25 + 0.5 * grain, 0)
    density = (0.4 + band) * (0.25 + transparency)
    return Extended([Layer(peak * glow / np.quantile(glow, 0.999), (1.1, 1.0, 0.85))], density)


def milky_way_band(rng: np.random.RandomState, canvas: Canvas, *, peak: float) -> Extended:
    """The faint Milky Way of a wide field, tilted, with a dark rift along its middle."""
    angle = np.pi / 2 + rng.uniform(-0.7, 0.7)
    shift = rng.uniform(-0.2, 0.2)
    y, x = canvas.axes()
    across = (y * np.cos(angle) - (x - shift) * np.sin(angle)) / 0.075
    across = across + 0.35 * fractal_noise(rng, canvas, cells=4, octaves=5)
    rift = np.exp(-0.5 * ((across - 0.3) / 0.35) ** 2)
    lanes = swirl(rng, canvas, fractal_noise(rng, canvas, cells=8, octaves=6, persistence=0.65), 0.02)
    glow = np.exp(-0.5 * across**2) * (1 - 0.75 * rift) * np.exp(-0.6 * np.maximum(lanes, 0))
    glow = np.maximum(glow - 0.02, 0)
    return Extended([Layer(peak * glow / np.quantile(glow, 0.999), (1.1, 1.0, 0.9))], 0.5 + glow)


def dusty_nebula(rng: np.random.RandomState, canvas: Canvas, *, dust_peak: float, core_peak: float) -> Extended:
    """Brownish dust over nearly the whole frame, down to nothing where it is thinnest, around a blue core."""
    thickness = fractal_noise(rng, canvas, cells=3, octaves=7, persistence=0.5)
    thickness = swirl(rng, canvas, thickness, 0.03)
    centre = _centre(rng, canvas.frame, 0.4)
    texture = fractal_noise(rng, canvas, cells=6, octaves=6, persistence=0.6)
    distance = swirl(rng, canvas, _blob(canvas, centre, 0.035, rng.uniform(0.6, 1), rng.uniform(0, np.pi)), 0.01)
    core = core_peak * np.exp(0.35 * texture) * np.exp(-0.5 * (distance / 3.5) ** 2) / (1 + distance**2)
    # The thinnest tenth outside the core is bare sky: without it no method could know the level of the sky.
    thinnest = np.quantile(thickness[core < 0.1], 0.1) if np.any(core < 0.1) else thickness.min()
    thickness = np.maximum(thickness - thinnest, 0) ** 1.3
    dust = dust_peak * thickness / np.quantile(thickness, 0.99)
    lit = 0.6 * dust * np.exp(-0.5 * (distance / 4) ** 2)
    return Extended(
        [Layer(dust, (1.15, 1.0, 0.8)), Layer(core, (0.55, 0.85, 1.3)), Layer(lit, (0.6, 0.9, 1.2))],
        np.exp(-0.08 * dust),
    )


def spiral_galaxy(rng: np.random.RandomState, canvas: Canvas, *, peak: float, halo: float) -> Extended:
    """An exponential disk with arms, a bulge, a wide faint halo, and some small companions."""
    frame = canvas.frame
    centre = _centre(rng, frame, 0.25)
    angle, axis_ratio = rng.uniform(0, np.pi), rng.uniform(0.35, 0.85)
    radius = _blob(canvas, centre, 0.028, axis_ratio, angle)
    y, x = canvas.axes()
    along = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
    across = ((y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)) / axis_ratio
    winding = 2 * (np.arctan2(across, along) - rng.choice([-1, 1]) * 2.2 * np.log(radius + 0.3))
    clumps = fractal_noise(rng, canvas, cells=24, octaves=5, persistence=0.7)
    arms = np.exp(0.7 * np.cos(winding) + 0.25 * clumps)
    disk = 0.12 * peak * np.exp(-radius) * (1 + radius * (arms - 1) / (1 + radius))
    bulge = peak * np.exp(-((radius / 0.02) ** 0.5) / 2.2)
    wide = halo * np.exp(-_blob(canvas, centre, 0.06, 0.5 + 0.5 * axis_ratio, angle))
    small = np.zeros(canvas.shape, dtype=np.float32)
    for _ in range(8):
        place = _centre(rng, frame, 0.95)
        size, ratio, turn = rng.uniform(0.001, 0.005), rng.uniform(0.3, 1), rng.uniform(0, np.pi)
        small += rng.uniform(4, 60) * np.exp(-_blob(canvas, place, size, ratio, turn))
    return Extended(
        [
            Layer(disk, (0.9, 1.0, 1.1)),
            Layer(bulge, (1.2, 1.0, 0.75)),
            Layer(wide, (1.05, 1.0, 0.95)),
            Layer(small, (1.1, 1.0, 0.85)),
        ]
    )


class Foreground(NamedTuple):
    """Share of each pixel hidden by the land (height, width), and the land's light, 1 = the sky's level."""

    coverage: np.ndarray
    light: np.ndarray


def landscape_foreground(rng: np.random.RandomState, canvas: Canvas, n_channels: int) -> Foreground:
    """Dark hills over the lower third, blurred as by registering on the stars, with candle-lit spots."""
    frame = canvas.frame
    y, _ = canvas.axes()
    hills = fractal_noise(rng, canvas, cells=4, octaves=6, persistence=0.45)[canvas.shape[0] // 2]
    skyline = frame.half_height * (0.46 + 0.07 * np.clip(hills, -2.5, 2.5))[None, :]
    # Exactly 0 above the blurred edge, so that the mask has an end.
    edge = np.clip((y - skyline) / 0.012 + 0.5, 0, 1)
    coverage = (edge**2 * (3 - 2 * edge)).astype(np.float32)

    mixing = channel_mixing(n_channels)
    texture = fractal_noise(rng, canvas, cells=10, octaves=6, persistence=0.7)
    ground = 0.3 * np.exp(0.3 * texture)
    lamps = np.zeros(canvas.shape, dtype=np.float32)
    for _ in range(6):
        place = rng.uniform(0.66, 0.95) * frame.half_height, rng.uniform(-0.9, 0.9) * frame.half_width
        distance = _blob(canvas, place, rng.uniform(0.008, 0.03), rng.uniform(0.4, 1), 0.0)
        lamps += rng.uniform(2, 25) / (1 + distance**2) ** 2
    light = [
        canvas.to_pixels(ground * dark + lamps * warm)
        for dark, warm in zip(np.array([1.0, 0.95, 0.9]) @ mixing, np.array([1.7, 1.0, 0.4]) @ mixing, strict=True)
    ]
    return Foreground(canvas.to_pixels(coverage), np.stack(light, axis=-1))
