"""Fields of stars: positions, brightness, colours, and their images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from skbgopt.datasets._frame import Canvas, channel_mixing

# Full width at half maximum in pixels, and the exponent of the Moffat profile of bright stars.
FWHM = 2.6
MOFFAT_EXPONENT = 3.0
# Peaks below this many noise sigmas have no visible wings: a Gaussian, drawn by one convolution.
_FAINT = 25.0
# Wings are drawn down to this many noise sigmas.
_WING_FLOOR = 0.05
_BRIGHTEST_PEAK = 3.0


@dataclass(frozen=True)
class StarField:
    """Stars a megapixel, faintest peak in noise sigmas, and the slope of log N(> flux) over log flux."""

    per_megapixel: float
    faintest: float = 1.0
    slope: float = 0.8


def draw_stars(
    rng: np.random.RandomState,
    canvas: Canvas,
    field: StarField,
    noise: float,
    n_channels: int,
    density: np.ndarray | None = None,
) -> np.ndarray:
    """Light (height, width, channels) of random stars, placed by `density` on the canvas if given."""
    frame = canvas.frame
    n_stars = max(1, round(field.per_megapixel * 1e-6 * frame.height * frame.width))
    # One row a star: a larger frame of the same seed keeps the first ones.
    uniform = rng.random_sample((n_stars, 6))
    rows, cols = _positions(uniform[:, 0], uniform[:, 1], uniform[:, 2], canvas, density)
    peaks = noise * field.faintest * np.maximum(uniform[:, 3], 1e-12) ** (-1 / field.slope)
    peaks = np.minimum(peaks, _BRIGHTEST_PEAK)
    warmth = 0.7 * (uniform[:, 4] + uniform[:, 5] - 1)
    colours = np.stack([1 + warmth, np.ones(n_stars), 1 - warmth], axis=1) @ channel_mixing(n_channels)

    faint = peaks < _FAINT * noise
    light = _faint_stars((frame.height, frame.width), rows[faint], cols[faint], peaks[faint, None] * colours[faint])
    for row, col, peak, colour in zip(
        rows[~faint], cols[~faint], peaks[~faint], colours[~faint].astype(np.float32), strict=True
    ):
        add_moffat(light, row, col, peak, colour, floor=_WING_FLOOR * noise)
    return light


def _positions(
    pick: np.ndarray, jitter_y: np.ndarray, jitter_x: np.ndarray, canvas: Canvas, density: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    frame = canvas.frame
    if density is None:
        return pick * frame.height - 0.5, jitter_x * frame.width - 0.5
    cumulative = np.cumsum(density, dtype=np.float64)
    index = np.searchsorted(cumulative, pick * cumulative[-1], side="right").clip(max=density.size - 1)
    point_row, point_col = np.unravel_index(index, density.shape)
    n_rows, n_cols = canvas.shape
    y = (point_row + jitter_y - 0.5 - (n_rows - 1) / 2) / canvas.points
    x = (point_col + jitter_x - 0.5 - (n_cols - 1) / 2) / canvas.points
    rows = (y + frame.half_height) * frame.long_side - 0.5
    cols = (x + frame.half_width) * frame.long_side - 0.5
    return rows, cols


def _faint_stars(shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Gaussian stars by convolving point sources; each is shared among the four pixels around it."""
    n_channels = peaks.shape[1]
    sigma = FWHM / 2.3548
    flux = peaks * 2 * np.pi * sigma**2
    first_row, first_col = np.floor(rows).astype(int), np.floor(cols).astype(int)
    part_row, part_col = rows - first_row, cols - first_col
    light = np.empty((*shape, n_channels), dtype=np.float32)
    corners = [(step_row, step_col) for step_row in (0, 1) for step_col in (0, 1)]
    for channel in range(n_channels):
        points = np.zeros(shape, dtype=np.float64).ravel()
        for step_row, step_col in corners:
            share = (part_row if step_row else 1 - part_row) * (part_col if step_col else 1 - part_col)
            row, col = first_row + step_row, first_col + step_col
            inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
            index = row[inside] * shape[1] + col[inside]
            points += np.bincount(index, (share * flux[:, channel])[inside], minlength=points.size)
        # The sharing itself blurs by a variance of about 1/6 pixel^2.
        width = np.sqrt(sigma**2 - 1 / 6)
        light[..., channel] = gaussian_filter(points.reshape(shape).astype(np.float32), width, mode="constant")
    return light


def add_moffat(
    light: np.ndarray,
    row: float,
    col: float,
    peak: float,
    colour: np.ndarray,
    *,
    floor: float,
    fwhm: float = FWHM,
) -> None:
    """Add a star, peak (1 + r^2 / a^2)^-b, to `light`, out to where it falls below `floor`."""
    scale = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_EXPONENT) - 1))
    radius = int(np.ceil(scale * (peak / floor) ** (0.5 / MOFFAT_EXPONENT)))
    top, left = max(0, int(row) - radius), max(0, int(col) - radius)
    stamp = light[top : max(0, int(row) + radius + 1), left : max(0, int(col) + radius + 1)]
    if stamp.size == 0:
        return
    squared_y = (np.arange(top, top + stamp.shape[0], dtype=np.float32)[:, None] - row) ** 2
    squared_x = (np.arange(left, left + stamp.shape[1], dtype=np.float32)[None, :] - col) ** 2
    profile = peak * (1 + (squared_y + squared_x) / scale**2) ** -MOFFAT_EXPONENT
    stamp += (profile[..., None] * colour).astype(np.float32)
