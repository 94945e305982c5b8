"""What the property tests draw from: points, losses, images, masks, weights, parameters."""

from numbers import Integral

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.utils._param_validation import Interval, Options, StrOptions, make_constraint

from skbgopt.losses import BackgroundLoss


def examples(n):
    """Settings for n examples in the profile "ci", and for as many times more in another as that has."""
    factor = settings.default.max_examples / settings.get_profile("ci").max_examples
    return settings(max_examples=max(1, round(n * factor)))


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
def losses(draw):
    """A `BackgroundLoss` with any of its terms."""
    return BackgroundLoss(
        eps=draw(scales),
        alpha=draw(alphas),
        colour=draw(st.sampled_from([0.0, 0.3, 1.0])),
        floor=draw(st.booleans()),
        rounding=draw(st.sampled_from([0.01, 0.1])),
        envelope=draw(st.booleans()),
    )


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

# Parameters whose whole range would make a search slow, or leave nothing to fit.
CHEAP = {
    "n_control_points": st.integers(1, 20),
    "max_iter": st.integers(1, 5),
    "downscale_factor": st.integers(1, 6),
    "factor": block_factors,
    "smoothing": st.sampled_from([0.0, 1e-7, 1e-4, 1.0, 1e9]),
    "loss_scale": st.floats(1e-9, 1e9),
    "quantile": st.floats(0.3, 1.0),
    "target": st.floats(1e-3, 0.999),
    "threshold_min": st.floats(-1.0, 0.1),
    "threshold_max": st.floats(0.5, 2.0),
    "missing_values": st.sampled_from([0, None, 17.0]),
    "device": st.just("cpu"),
    "random_state": st.sampled_from([0, 1, None]),
    "verbose": st.just(0),
}


def values_within(constraint):
    """What one of scikit-learn's parameter constraints allows."""
    if isinstance(constraint, Interval):
        low = -1e6 if constraint.left is None else constraint.left
        high = max(low, 0) + 1e6 if constraint.right is None else constraint.right
        if constraint.type is Integral:
            return st.integers(int(low), int(high))
        open_low = constraint.left is not None and constraint.closed in ("right", "neither")
        open_high = constraint.right is not None and constraint.closed in ("left", "neither")
        return st.floats(low, high, exclude_min=open_low, exclude_max=open_high)
    if isinstance(constraint, Options):
        return st.sampled_from(sorted(constraint.options))
    return st.booleans() if constraint == "boolean" else st.none()


def parameters_of(cls):
    """Any combination of parameters, each allowed by the constraints that an estimator declares.

    Parameters that are estimators keep their own.
    """
    drawn = {}
    for name, constraints in cls._parameter_constraints.items():
        known = [c for c in constraints if c is None or c == "boolean" or isinstance(c, (Interval, Options))]
        if name in CHEAP or known:
            wide = [values_within(c) for c in known if name not in CHEAP or isinstance(c, StrOptions)]
            drawn[name] = st.one_of(*wide, *([CHEAP[name]] if name in CHEAP else []))
    return st.fixed_dictionaries(drawn)


def values_outside(constraints):
    """What no constraint of a parameter allows: beyond its ends, of another type, or no number."""
    rules = [make_constraint(constraint) for constraint in constraints]
    ends = [end for c in constraints if isinstance(c, Interval) for end in (c.left, c.right) if end is not None]
    near = [st.sampled_from([end, end - 1, end + 1, np.nextafter(end, -np.inf), float(end) + 0.5]) for end in ends]
    odd = [np.nan, np.inf, -np.inf, None, True, "", "no such choice", b"mm", (), [1.0], {}, 1j, 2.5, -1, 10**12, "1"]
    return st.one_of(*near, st.sampled_from(odd), st.floats(), st.integers(), st.text(max_size=5)).filter(
        lambda value: not any(rule.is_satisfied_by(value) for rule in rules)
    )


# What the formats hold (XISF and TIFF: 1 or 3 channels).
STORED_DTYPES = {
    ".fits": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".fits.fz": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".fit.gz": ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"],
    ".xisf": ["u1", "u2", "u4", "f4", "f8"],
    ".tif": ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"],
}
suffixes = st.sampled_from(sorted(STORED_DTYPES))


@st.composite
def stored_images(draw, some_suffixes):
    """Images of few pixels with any bits, of a dtype and a number of channels that all the formats hold."""
    dtypes = set.intersection(*(set(STORED_DTYPES[suffix]) for suffix in some_suffixes))
    fits_only = all(suffix.startswith(".fit") for suffix in some_suffixes)
    channels = draw(st.sampled_from([(), (2,), (3,), (4,)] if fits_only else [(), (3,)]))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    dtype = np.dtype(draw(st.sampled_from(sorted(dtypes)))).newbyteorder(draw(st.sampled_from("<>")))
    image = draw(hnp.arrays(dtype, shape + channels))
    return draw(st.sampled_from([image, image[::-1], np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]]))


# Names beginning with SKBG describe no storage and no WCS, whose cards have rules of their own.
card_names = st.text("ABCXYZ0189-_", min_size=1, max_size=4).map("SKBG{}".format)
card_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.rstrip)
# astropy reads a quote before a slash as the end of the text: '\'/' comes back as '\''.
card_texts = card_texts.filter(lambda text: "'" not in text or "/" not in text)
card_values = (
    st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40) | card_texts
)
headers = st.fixed_dictionaries(
    {
        "cards": st.dictionaries(card_names, card_values, max_size=5),
        "history": st.lists(card_texts.filter(bool), max_size=3),
    }
)


@st.composite
def samples_and_values(draw, max_dimension=3):
    """Distinct coordinates of shape (n, d) in a box of any place and size, and smooth values with noise."""
    n, d = draw(st.integers(20, 60)), draw(st.integers(1, max_dimension))
    rng = generator(draw(seeds))
    unit = rng.uniform(-1, 1, (n, d))
    values = np.sin(unit @ rng.normal(size=d)) + rng.normal(0, 0.05, n)
    size, place = draw(st.sampled_from([1e-3, 1.0, 4000.0])), draw(st.sampled_from([0.0, -7.0, 300.0]))
    return unit * size + place, values
