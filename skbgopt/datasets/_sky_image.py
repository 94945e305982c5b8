"""make_sky_image: a linear image with a known sky background."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import Bunch, check_random_state

from skbgopt.datasets._checks import (
    checked_background,
    checked_border,
    checked_channels,
    checked_dtype,
    checked_frame,
    checked_gradient,
    checked_kind,
    checked_noise,
)
from skbgopt.datasets._frame import Canvas, Frame, channel_mixing
from skbgopt.datasets._kinds import SkyKind
from skbgopt.datasets._objects import landscape_foreground
from skbgopt.datasets._skies import SKY_SHAPES
from skbgopt.datasets._stars import draw_stars

SATURATION = 1.0


def make_sky_image(
    kind: str = "galaxy",
    shape: tuple[int, int] = (800, 1200),
    *,
    n_channels: int | None = None,
    gradient: float = 1.0,
    noise: ArrayLike | None = None,
    background: str | None = None,
    empty_border: float | None = None,
    dtype: DTypeLike = np.float32,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make a linear astronomical image whose sky background is known.

    ``image = background + objects + noise``, in the units of data normalised to [0, 1]: a sky of 0.002
    to 0.03, stars that saturate at 1. Skies, nebulae and foregrounds scale with the frame, so the same
    seed shows the same scene at every size of the same proportions, and the same target through the three
    narrowband filters. Stars keep their size and number in pixels.

    Parameters
    ----------
    kind : {"landscape", "ha", "oiii", "sii", "milky_way", "dust", "galaxy"}, default="galaxy"
        What the frame shows. "landscape" needs its mask; "ha", "sii" and "oiii" have nebulae on gradients
        from mild to bad; "milky_way" is crowded and has the strongest vignetting; "dust" leaves little
        bare sky; "galaxy" has a halo that a flexible model eats, and empty borders.
    shape : tuple of int, default=(800, 1200)
        Height and width in pixels, each at least 16.
    n_channels : int, default=None
        1 gives an image (height, width), more give (height, width, n_channels), from red to blue.
        None takes 1 for narrowband kinds, 3 for all others.
    gradient : float, default=1.0
        Factor, from 0, on everything in the sky that is not constant. 0 gives a constant sky; 1 a range
        of 10 to 90 % of its mean.
    noise : float or array-like of shape (n_channels,), default=None
        Standard deviation of the noise of the sky, in the units of the image. None takes the level of
        the kind, 0.6 to 2.5 % of the sky. Objects are not changed by it; 0 gives an image without noise.
    background : {"linear", "vignette", "corner", "two-sided", ...}, default=None
        Shape of the sky, one of ``SKY_SHAPES``. None takes the shape of the kind.
    empty_border : float, default=None
        Width of the borders that no exposure covers, as a share of the short side, from 0 to 0.3. Their
        edges are shifted and turned against each other, as after registration. None takes 0.03 for
        "galaxy" and 0 for all others.
    dtype : dtype, default=numpy.float32
        Floating dtype of image, background and objects.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same frame at every call.

    Returns
    -------
    frame : :class:`~sklearn.utils.Bunch`
        image : ndarray of shape (height, width) or (height, width, n_channels)
            The image; exactly 0 in the empty border.
        background : ndarray, shape of image
            The true sky: what a perfect model predicts. Smooth and defined at every pixel.
        objects : ndarray, shape of image
            The true light of everything else, before noise. Behind a landscape's foreground this is the
            foreground less the background, mostly negative.
        mask : bool ndarray of shape (height, width)
            True = exclude: the foreground of a landscape, the empty border.
        noise : ndarray of shape (n_channels,)
            Standard deviation of the noise of a pixel at the mean sky. The variance of a pixel grows in
            proportion to sky + objects.
        kind : str
            The kind.
        DESCR : str
            One sentence about the frame.

    Examples
    --------
    >>> from skbgopt.datasets import make_sky_image
    >>> frame = make_sky_image("dust", shape=(64, 96), random_state=0)
    >>> frame.image.shape, frame.background.shape, frame.mask.shape
    ((64, 96, 3), (64, 96, 3), (64, 96))
    """
    properties = checked_kind(kind)
    canvas = Canvas(checked_frame(shape))
    n_channels = checked_channels(n_channels, properties)
    dtype = checked_dtype(dtype)
    gradient = checked_gradient(gradient)
    sigma = checked_noise(noise, properties, n_channels)
    border = checked_border(empty_border, properties)
    shape_name = checked_background(background, properties)
    rng = check_random_state(random_state)
    # A stream for each part: the number of stars or the shape of the sky changes nothing else.
    sky_rng, extended_rng, star_rng, land_rng, border_rng, noise_rng = (
        np.random.RandomState(seed) for seed in rng.randint(2**31 - 1, size=6)
    )

    level = np.asarray(properties.sky) @ channel_mixing(n_channels)
    amplitude = properties.amplitude * sky_rng.uniform(0.8, 1.2)
    sky = SKY_SHAPES[shape_name](sky_rng, canvas.frame, amplitude).evaluate(canvas.frame, level, gradient)
    objects = _celestial_light(properties, canvas, n_channels, extended_rng, star_rng)
    mask = np.zeros(objects.shape[:2], dtype=bool)
    if properties.has_foreground:
        land = landscape_foreground(land_rng, canvas, n_channels)
        hidden = land.coverage[..., None]
        objects = (1 - hidden) * objects + hidden * (land.light * level - sky)
        mask |= land.coverage > 0
    objects = np.minimum(objects, np.maximum(SATURATION - sky, 0)).astype(np.float32)
    image = _expose(sky, objects, sigma, noise_rng)
    empty = _empty_border(border_rng, canvas.frame, border)
    image[empty] = 0
    mask |= empty

    def finish(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[..., 0] if n_channels == 1 else array, dtype=dtype)

    return Bunch(
        image=finish(image),
        background=finish(sky),
        objects=finish(objects),
        mask=mask,
        noise=sigma,
        kind=kind,
        DESCR=f"Synthetic {properties.description}; sky of the shape {shape_name!r}.",
    )


def _celestial_light(
    properties: SkyKind,
    canvas: Canvas,
    n_channels: int,
    extended_rng: np.random.RandomState,
    star_rng: np.random.RandomState,
) -> np.ndarray:
    unit = float(np.mean(properties.noise))
    mixing = channel_mixing(n_channels)
    extended = properties.extended(extended_rng, canvas)
    light = draw_stars(star_rng, canvas, properties.stars, unit, n_channels, extended.star_density)
    for layer in extended.layers:
        drawing = unit * canvas.to_pixels(layer.drawing)
        for channel, strength in enumerate(np.asarray(layer.colour) @ mixing):
            light[..., channel] += np.float32(strength) * drawing
    return light


def _expose(sky: np.ndarray, objects: np.ndarray, sigma: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Add noise whose variance is proportional to the light, sigma^2 at the mean sky."""
    image = np.empty(sky.shape)
    for channel, scatter in enumerate(sigma):
        signal = sky[..., channel] + objects[..., channel]
        spread = scatter / np.sqrt(sky[..., channel].mean()) * np.sqrt(np.maximum(signal, 0))
        image[..., channel] = signal + spread * rng.standard_normal(signal.shape)
    return np.minimum(image, SATURATION)


def _empty_border(rng: np.random.RandomState, frame: Frame, width: float) -> np.ndarray:
    """Pixels outside the common area of four exposures, each shifted and turned a little."""
    y, x = frame.axes()
    empty = np.zeros((frame.height, frame.width), dtype=bool)
    margin = 2 * width * min(frame.half_height, frame.half_width)
    for _ in range(4):
        shift_y, shift_x = rng.uniform(-margin, margin, size=2)
        turn = rng.uniform(-0.6, 0.6) * width
        if width == 0:
            continue
        outside_y = np.abs((y - shift_y) * np.cos(turn) - x * np.sin(turn)) > frame.half_height
        outside_x = np.abs((x - shift_x) * np.cos(turn) + y * np.sin(turn)) > frame.half_width
        empty |= outside_y | outside_x
    return empty
