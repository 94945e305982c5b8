"""Frames with known truth for the benchmark of quality: made ones, and real skies with known gradients added.

A real sky is a flat file of ../shared/data. Its own faint gradient is accepted as zero, so the truth is what was
added; the level of its sky is not known, and what was missing in the file is missing in the frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from quality_measures import KnownSky, real_light

from skbgopt import make_sky_image, read_image
from skbgopt.datasets import SKY_KINDS, SKY_SHAPES
from skbgopt.datasets._frame import Frame
from skbgopt.noise import sky_noise

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
REAL_SKIES = {
    "m94": "m94_seestar_rgb.xisf",
    "ngc7023": "ngc7023_seestar_u16_rgb.fits",
    "ngc6976": "ngc6976_sdss_r_f32.fits",
}
# "corner" is the glow of a town, "two-sided" two glows of different colours.
ADDED_SHAPES = ("linear", "vignette", "corner", "two-sided")
# Range over the frame of what is added, in sigma of the pixel noise.
STRENGTHS = (3.0, 10.0, 30.0, 100.0)
_AMPLITUDE = 0.5


@dataclass(frozen=True)
class FrameSpec:
    """What a frame is made from; for a real sky `rows` is None, for a made one `shape` and `strength` are."""

    kind: str
    seed: int
    rows: int | None = None
    shape: str | None = None
    strength: float | None = None

    @property
    def real(self) -> bool:
        """Whether the sky is a photograph."""
        return self.rows is None

    @property
    def name(self) -> str:
        """Name of the frame in tables."""
        return f"{self.kind} {self.shape} {self.strength:g}" if self.real else f"{self.kind} {self.seed}"

    def make(self) -> KnownSky:
        """Return the frame."""
        return _added(self) if self.real else _made(self)

    def record(self) -> dict:
        """Return the keys that begin the frame's record."""
        return {"sky": "real" if self.real else "made", "frame": self.name, **asdict(self)}


def frame_specs(kinds: Sequence[str], rows: int, seeds: Sequence[int], strengths: Sequence[float]) -> list[FrameSpec]:
    """Return the frames of these kinds; a real sky takes the first seed alone for its gradients' directions."""
    made = [FrameSpec(kind, seed, rows=rows) for kind, seed in product(SKY_KINDS, seeds) if kind in kinds]
    real = [
        FrameSpec(kind, seeds[0], shape=shape, strength=strength)
        for kind, shape, strength in product(REAL_SKIES, ADDED_SHAPES, strengths)
        if kind in kinds and (DATA / REAL_SKIES[kind]).exists()
    ]
    return made + real


def missing_skies(kinds: Sequence[str]) -> Iterator[str]:
    """Yield the real skies asked for whose file is not there."""
    return (kind for kind in kinds if kind in REAL_SKIES and not (DATA / REAL_SKIES[kind]).exists())


def fingerprint(sky: KnownSky) -> str:
    """Return a digest of everything that a method or a measure sees of a frame."""
    digest = hashlib.sha256()
    for array in (sky.image, sky.truth, sky.excluded, sky.noise, sky.light):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _made(spec: FrameSpec) -> KnownSky:
    frame = make_sky_image(spec.kind, (spec.rows, spec.rows * 3 // 2), random_state=spec.seed)
    excluded = frame.mask | (np.atleast_3d(frame.image) == 0).any(axis=2)
    return KnownSky.of_objects(frame.image, frame.background, excluded, frame.noise, frame.objects)


def _added(spec: FrameSpec) -> KnownSky:
    base, noise, light = _real_sky(spec.kind)
    gradient = added_gradient(spec.shape, base.shape, spec.seed, spec.strength * noise)
    missing = ~np.isfinite(base) | (base == 0)
    image = np.where(missing, base, base + gradient).astype(np.float32)
    excluded = np.atleast_3d(missing).any(axis=2)
    return KnownSky(image, gradient, excluded, noise, light, level_known=False, object_sigmas=0.5)


def added_gradient(shape: str, image_shape: tuple[int, ...], seed: int, ranges: np.ndarray) -> np.ndarray:
    """Return a sky of one of SKY_SHAPES, 0 where darkest; `ranges` over the frame of each channel, before its tint."""
    frame, n_channels = Frame(*image_shape[:2]), len(ranges)
    rng = np.random.RandomState(seed)
    unit = SKY_SHAPES[shape](rng, frame, _AMPLITUDE).evaluate(frame, np.ones(n_channels), 1.0)
    unit -= unit.min(axis=(0, 1))
    return (unit * ranges / np.ptp(unit.mean(axis=2))).astype(np.float32).reshape(image_shape)


@lru_cache(maxsize=1)
def _real_sky(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a file's pixels, the noise of each channel, and the light of its objects."""
    base = np.asarray(read_image(DATA / REAL_SKIES[kind])[0]).astype(np.float32)
    holed = np.atleast_3d(np.where(base == 0, np.nan, base))
    noise = sky_noise(holed)
    return base, noise, real_light(holed, noise)
