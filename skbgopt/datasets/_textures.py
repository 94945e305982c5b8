"""Random textures that are the same at every sampling of the frame."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from skbgopt.datasets._frame import Canvas, bspline_matrix

# Standard deviation of a two-dimensional cubic B-spline series with independent unit coefficients.
_BSPLINE_SCATTER = 0.479


def fractal_noise(
    rng: np.random.RandomState, canvas: Canvas, *, cells: int, octaves: int, persistence: float = 0.5
) -> np.ndarray:
    """Sum of octaves of smooth noise, mean 0, standard deviation about 1.

    The first octave has `cells` cells along the long side, each following one twice as many, at an
    amplitude `persistence` times the previous one.
    """
    y, x = canvas.axes()
    total = np.zeros(canvas.shape, dtype=np.float32)
    for octave in range(octaves):
        n_cells = cells * 2**octave
        # Drawn even where the canvas is too coarse to show it, so that what follows stays the same.
        lattice = rng.standard_normal((n_cells + 4, n_cells + 4)).astype(np.float32)
        if octave and 2 * n_cells > canvas.points:
            continue
        along_y = bspline_matrix((y.ravel() + 0.5) * n_cells + 1.5, n_cells + 4)
        along_x = bspline_matrix((x.ravel() + 0.5) * n_cells + 1.5, n_cells + 4)
        total += persistence**octave * (along_x @ (along_y @ lattice).T).T
    power = sum(persistence ** (2 * octave) for octave in range(octaves))
    return total / np.float32(_BSPLINE_SCATTER * np.sqrt(power))


def ridged_noise(rng: np.random.RandomState, canvas: Canvas, *, cells: int, octaves: int) -> np.ndarray:
    """Thin bright filaments between 0 and 1: the zero lines of smooth noise, of several sizes."""
    total = np.zeros(canvas.shape, dtype=np.float32)
    for octave in range(octaves):
        sheet = fractal_noise(rng, canvas, cells=cells * 2**octave, octaves=2)
        total += 0.6**octave * np.exp(-4 * np.abs(sheet))
    return total / np.float32(sum(0.6**octave for octave in range(octaves)))


def swirl(rng: np.random.RandomState, canvas: Canvas, drawing: np.ndarray, strength: float) -> np.ndarray:
    """Displace a drawing by smooth random shifts of about `strength` long sides, as turbulence does."""
    n_rows, n_cols = canvas.shape
    shift_y = fractal_noise(rng, canvas, cells=4, octaves=4)
    shift_x = fractal_noise(rng, canvas, cells=4, octaves=4)
    reach = strength * canvas.points
    positions = [np.arange(n_rows)[:, None] + reach * shift_y, np.arange(n_cols)[None, :] + reach * shift_x]
    return map_coordinates(drawing, positions, order=1, mode="reflect", output=np.float32)
