"""The table of kinds: what each frame shows and how strong its parts are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from skbgopt.datasets._frame import Canvas
from skbgopt.datasets._objects import (
    Extended,
    dusty_nebula,
    emission_nebula,
    milky_way_band,
    spiral_galaxy,
    star_clouds,
)
from skbgopt.datasets._stars import StarField

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class SkyKind:
    """One kind of frame; levels are those of data normalised to [0, 1], colours are (red, green, blue)."""

    description: str
    n_channels: int
    sky: Colour
    noise: Colour
    background: str
    amplitude: float
    stars: StarField
    extended: Callable[[np.random.RandomState, Canvas], Extended]
    empty_border: float = 0.0
    has_foreground: bool = False


KINDS: dict[str, SkyKind] = {
    "landscape": SkyKind(
        description="night landscape: dark hills, light pollution at the horizon, faint Milky Way",
        n_channels=3,
        sky=(0.0016, 0.0016, 0.0016),
        noise=(4.0e-5, 3.2e-5, 4.4e-5),
        background="horizon",
        amplitude=1.0,
        stars=StarField(9000, slope=0.9),
        extended=partial(milky_way_band, peak=8.0),
        has_foreground=True,
    ),
    "ha": SkyKind(
        description="H-alpha narrowband frame: bright emission nebula on a nearly planar gradient",
        n_channels=1,
        sky=(0.0040, 0.0040, 0.0040),
        noise=(5.0e-5, 5.0e-5, 5.0e-5),
        background="linear",
        amplitude=0.15,
        stars=StarField(3500),
        extended=partial(emission_nebula, peak=250.0, size=1.1),
    ),
    "oiii": SkyKind(
        description="[O III] narrowband frame: faint nebula on a strong, curved gradient",
        n_channels=1,
        sky=(0.0050, 0.0050, 0.0050),
        noise=(8.0e-5, 8.0e-5, 8.0e-5),
        background="filter-leak",
        amplitude=0.95,
        stars=StarField(4000),
        extended=partial(emission_nebula, peak=30.0, size=0.9),
    ),
    "sii": SkyKind(
        description="[S II] narrowband frame: weak nebula on a moderate gradient",
        n_channels=1,
        sky=(0.0040, 0.0040, 0.0040),
        noise=(6.0e-5, 6.0e-5, 6.0e-5),
        background="corner-and-plane",
        amplitude=0.25,
        stars=StarField(3500),
        extended=partial(emission_nebula, peak=45.0),
    ),
    "milky_way": SkyKind(
        description="field crowded with stars: vignetting and a plane of light pollution, no nebula",
        n_channels=3,
        sky=(0.0120, 0.0110, 0.0100),
        noise=(1.6e-4, 1.3e-4, 1.7e-4),
        background="polluted-vignette",
        amplitude=0.6,
        stars=StarField(40000, slope=1.0),
        extended=partial(star_clouds, peak=5.0),
    ),
    "dust": SkyKind(
        description="reflection nebula in faint dust over the whole frame, moderate gradient",
        n_channels=3,
        sky=(0.0080, 0.0078, 0.0075),
        noise=(6.0e-5, 5.0e-5, 7.0e-5),
        background="corner-and-plane",
        amplitude=0.2,
        stars=StarField(3500),
        extended=partial(dusty_nebula, dust_peak=9.0, core_peak=180.0),
    ),
    "galaxy": SkyKind(
        description="small galaxy with a wide halo in moonlight, empty borders",
        n_channels=3,
        sky=(0.0130, 0.0145, 0.0160),
        noise=(1.3e-4, 1.1e-4, 1.5e-4),
        background="moonlight",
        amplitude=0.2,
        stars=StarField(1800),
        extended=partial(spiral_galaxy, peak=350.0, halo=7.0),
        empty_border=0.03,
    ),
}

SKY_KINDS: tuple[str, ...] = tuple(KINDS)
