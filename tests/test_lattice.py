"""A model on every pixel from a lattice."""

import numpy as np
import pytest
import torch

import skbgopt.lattice
from skbgopt.frame import ImageFrame
from skbgopt.lattice import evaluate_on_lattice
from skbgopt.splines import Spline, minimum_degree, monomials
from tests.shared import coordinates


def spline_model(shape, order, n_channels=2, seed=0, n_points=12):
    """A spline with random coefficients as a function of rows and columns."""
    rng = np.random.default_rng(seed)
    degree = minimum_degree(order)
    n_tail = monomials(torch.zeros(1, 2), degree).shape[1]
    frame = ImageFrame(*shape)
    centres = rng.uniform(-1, 1, (n_points, 2)) * frame.half_extent
    w = rng.normal(size=(n_points, n_channels))
    spline = Spline(
        *(torch.from_numpy(part) for part in (centres, w, rng.normal(size=(n_tail, n_channels)))),
        order,
        degree,
    )

    def model(rows, columns):
        points = torch.from_numpy(coordinates(frame, rows, columns).reshape(-1, 2))
        return spline(points).numpy().reshape(len(rows), len(columns), n_channels)

    return model


def deviations(lattice, dtype=np.float64):
    """The lattice's image less its level, put together from its bands."""
    image = np.full((*lattice.shape, lattice.nodes.shape[2]), np.nan, dtype)
    lattice.each_band(dtype, np.zeros(1), lambda rows, band: np.copyto(image[rows], band))
    return image


def on_every_pixel(lattice):
    """The lattice's image."""
    return lattice.render(np.float64)


def exact(model, shape):
    """The model pixel by pixel."""
    return model(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(100, 150), (37, 211), (1, 90), (90, 1), (1, 1), (5, 3)])
def test_lattice_is_the_exact_evaluation(shape, order):
    """On every pixel the lattice is within 1e-5 of the model's range."""
    model = spline_model(shape, order)
    truth = exact(model, shape)
    error = np.abs(on_every_pixel(evaluate_on_lattice(model, shape)) - truth).max(axis=(0, 1))
    tolerance = np.maximum(1e-5 * np.ptp(truth, axis=(0, 1)), 1e-12 * np.abs(truth).max())
    if max(shape) > 1:
        assert (error <= tolerance).all()


def test_smooth_models_need_few_nodes():
    """A spline of order 3 on a large frame keeps the coarse lattice: that is what it is for."""
    shape = (600, 900)
    assert evaluate_on_lattice(spline_model(shape, 3), shape).step >= 8


def test_cubics_are_exact():
    """Interpolation is exact for polynomials of degree 3."""
    shape = (60, 80)

    def model(rows, columns):
        return ((rows[:, None] / 60) ** 3 - (columns / 80) ** 2 * rows[:, None] / 60)[:, :, None]

    np.testing.assert_allclose(on_every_pixel(evaluate_on_lattice(model, shape)), exact(model, shape), atol=1e-13)


@pytest.mark.parametrize("band_bytes", [1, 5000, 40_000, 1 << 30])
def test_bands_join_without_a_seam(monkeypatch, band_bytes):
    """The size of a band changes nothing, and every row is in one."""
    shape = (90, 130)
    lattice = evaluate_on_lattice(spline_model(shape, 3), shape)
    whole = on_every_pixel(lattice)
    monkeypatch.setattr(skbgopt.lattice, "_BAND_BYTES", band_bytes)
    seen = np.zeros(90, int)

    def look(rows, band):
        assert band.shape == (rows.stop - rows.start, 130, 2)
        np.testing.assert_allclose(band, whole[rows], rtol=0, atol=1e-14 * np.ptp(whole))
        seen[rows] += 1

    lattice.each_band(np.float64, lattice.level, look)
    assert (seen == 1).all()


def test_a_large_level_costs_no_precision():
    """In float32 the deviations from the level are as exact on a sky of 1e6 as on one of 0."""
    shape = (64, 64)
    base = spline_model(shape, 3, n_channels=1)

    def high(rows, columns):
        return base(rows, columns) + 1e6

    found = [
        deviations(lattice, np.float32) + (lattice.level - offset)
        for offset, lattice in (
            (0, evaluate_on_lattice(base, shape)),
            (1e6, evaluate_on_lattice(high, shape)),
        )
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5 * np.ptp(found[0]))


def test_a_constant_model():
    """A model without range is constant on every pixel."""
    lattice = evaluate_on_lattice(lambda r, c: np.full((len(r), len(c), 1), 3.5), (20, 30))
    assert (on_every_pixel(lattice) == 3.5).all()
