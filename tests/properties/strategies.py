"""What the property tests draw from: points, losses, images, masks, weights, parameters."""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

seeds = st.integers(0, 2**32 - 1)
orders = st.integers(1, 6)
block_factors = st.integers(1, 9)
reducing_functions = st.sampled_from(["median", "mean"])
alphas = st.floats(0, 20)
scales = st.floats(1e-3, 10)
image_dtypes = st.sampled_from(["<f4", ">f4", "<f8", ">f8", "<f2", "u1", "<u2", ">u2", "<i2", ">i2", "<i4"])


def generator(seed):
    """Return the numpy generator of a seed."""
    return np.random.default_rng(seed)


@st.composite
def boxes(draw):
    """Two corners of a box in the plane, its sides between 0.01 and 1000."""
    low = np.array(draw(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))))
    sides = np.array(draw(st.tuples(st.floats(0.01, 1e3), st.floats(0.01, 1e3))))
    return low, low + sides


@st.composite
def oblong_boxes(draw):
    """Boxes about the origin whose sides differ by 1 % at least."""
    short = draw(st.floats(0.01, 1.0))
    ratio = draw(st.floats(1.01, 30.0))
    half = np.array([short, short * ratio])
    if draw(st.booleans()):
        half = half[::-1]
    return -half, half


@st.composite
def scattered_points(draw, min_size=12, max_size=40):
    """Points spread at random over the square from -1 to 1, float64."""
    n = draw(st.integers(min_size, max_size))
    return torch.from_numpy(generator(draw(seeds)).uniform(-1, 1, (n, 2)))


@st.composite
def loss_terms(draw):
    """Parameters of a `BackgroundLoss`."""
    return {
        "eps": draw(scales),
        "alpha": draw(alphas),
        "colour": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "floor": draw(st.booleans()),
    }


@st.composite
def pixels_and_model(draw, max_pixels=30):
    """Values, a model, and weights of 0 or more, each of shape (n_pixels, n_channels), float64."""
    shape = draw(st.tuples(st.integers(1, max_pixels), st.integers(1, 4)))
    rng = generator(draw(seeds))
    values = rng.normal(size=shape)
    model = values + rng.normal(size=shape) * draw(st.sampled_from([0.01, 1.0, 100.0]))
    weights = rng.integers(0, 4, (shape[0], 1)) * np.ones(shape)
    weights[0] = 1
    return tuple(torch.from_numpy(part) for part in (values, model, weights))


@st.composite
def images_with_gaps(draw, max_side=40):
    """A float32 or float64 image of shape (height, width, n_channels) with some NaN."""
    shape = draw(st.tuples(st.integers(1, max_side), st.integers(1, max_side), st.integers(1, 3)))
    rng = generator(draw(seeds))
    image = rng.normal(100, 10, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    image[rng.uniform(size=shape) < draw(st.sampled_from([0.0, 0.1, 0.6, 0.99]))] = np.nan
    return image


@st.composite
def sky_images(draw, dtypes=image_dtypes, max_channels=3):
    """A tiny noisy image with a gradient, any dtype and layout, between 24 and 64 pixels a side."""
    height, width = draw(st.integers(24, 64)), draw(st.integers(24, 64))
    rng = generator(draw(seeds))
    y, x = np.mgrid[:height, :width]
    slope = rng.normal(size=2)
    sky = 120 + slope[0] * y * 20 / height + slope[1] * x * 20 / width
    channels = draw(st.integers(1, max_channels))
    image = sky[:, :, None] + rng.normal(0, 2, (height, width, channels))
    image = np.clip(np.round(image), 1, 250).astype(draw(dtypes))
    return image[:, :, 0] if channels == 1 and draw(st.booleans()) else image


@st.composite
def masks_of(draw, shape):
    """A boolean mask of up to half an image: one rectangle or scattered pixels."""
    mask = np.zeros(shape, dtype=bool)
    if draw(st.booleans()):
        top, left = draw(st.integers(0, shape[0] // 2)), draw(st.integers(0, shape[1] // 2))
        mask[top : top + shape[0] // 2, left : left + shape[1] // 2] = True
        return mask
    return generator(draw(seeds)).uniform(size=shape) < draw(st.floats(0, 0.3))


finite_linear = hnp.arrays(
    np.float64, st.integers(50, 400), elements=st.floats(-1e3, 1e5, allow_subnormal=False, width=32)
)

regressor_parameters = st.fixed_dictionaries(
    {
        "n_control_points": st.integers(1, 20),
        "order": st.integers(1, 5),
        "degree": st.sampled_from([None, 1, 2]),
        "init": st.sampled_from(["grid", "random"]),
        "smoothing": st.sampled_from([0.0, 1e-4, 1.0, "auto"]),
        "quantile": st.sampled_from([0.5, 0.95, 1.0]),
        "missing_values": st.sampled_from([0, None, 17.0]),
        "downscale_factor": st.integers(1, 5),
        "downscale_func": reducing_functions,
        "alpha": st.sampled_from([0.0, 5.0, 100.0]),
        "loss_scale": st.sampled_from(["noise", 0.001, 3.0]),
        "solver": st.sampled_from(["mm", "adam"]),
        "max_iter": st.just(5),
        "tol": st.sampled_from([0.0, 1e-3]),
        "mask_objects": st.sampled_from([True, False, "auto"]),
        "move_control_points": st.booleans(),
        "correction": st.sampled_from(["subtract", "divide"]),
        "level": st.sampled_from(["median", "zero"]),
        "random_state": st.sampled_from([0, 1]),
    }
)
