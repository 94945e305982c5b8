"""What holds of every fitted model, so that a file in which it does not is none."""

from __future__ import annotations

import numpy as np

from .splines import tail_degree
from .stretch import MidtonesCurve

# Pixels along a side.
_LONGEST_SIDE = 10**7
# So many times the range of the background may its level lie beside it, and so many times the noise.
_BESIDE = 10
# Points along each side on which the background is looked at.
_PROBES = 9


def check_belongs(parameters: dict, fitted: dict, object_mask: np.ndarray) -> None:
    """Raise ValueError unless the parameters are those that a model was fitted with, as far as its shapes tell."""
    expected = {"order_": parameters["order"], "degree_": tail_degree(parameters["order"], parameters["degree"])}
    for name, value in expected.items():
        if not (_is_int(fitted[name], 0, 9) and fitted[name] == value):
            raise ValueError(f"{name} is {fitted[name]!r}, and {value} by the parameters")
    shape = tuple(-(-side // int(parameters["downscale_factor"])) for side in fitted["image_shape_"][:2])
    if object_mask.dtype != bool or object_mask.shape != shape:
        raise ValueError(
            f"object_mask_ must be boolean of shape {shape} by downscale_factor, got {object_mask.dtype} "
            f"{object_mask.shape}"
        )


def check_shape(image_shape: tuple) -> None:
    """Raise ValueError unless it is that of an image with channels."""
    if len(image_shape) != 3 or not all(_is_int(side, 1, _LONGEST_SIDE) for side in image_shape):
        raise ValueError(f"image_shape_ must be three whole numbers from 1 to {_LONGEST_SIDE}, got {image_shape}")


def check_scalars(fitted: dict) -> None:
    """Raise ValueError unless numbers are numbers in their ranges."""
    ranges = {"smoothing_": (0, np.inf), "loss_": (-np.inf, np.inf), "overshoot_fraction_": (0, 1)}
    for name, (low, high) in ranges.items():
        value = fitted[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not (low <= value <= high):
            raise ValueError(f"{name} must be a number from {low} to {high}, got {value!r}")
    counts = {"n_iter_": fitted["n_iter_"], **fitted["excluded_"]}
    for name, value in counts.items():
        if not _is_int(value, 0, _LONGEST_SIDE**2):
            raise ValueError(f"{name} must be a count, got {value!r}")
    if fitted["n_features_in_"] != fitted["image_shape_"][1]:
        raise ValueError(f"n_features_in_ is {fitted['n_features_in_']!r} of an image {fitted['image_shape_'][1]} wide")


def check_arrays(fitted: dict, arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless arrays are finite, positive where they must be, and fit together."""
    n_points, n_channels, degree = len(arrays["control_points_"]), fitted["image_shape_"][2], fitted["degree_"]
    n_coef = n_points + (degree + 1) * (degree + 2) // 2
    per_channel = (n_channels,)
    shapes = {
        "control_points_": (max(n_points, 1), 2),
        "coef_": (n_coef, n_channels),
        "loss_curve_": (len(arrays["loss_curve_"]),),
        "background_level_": per_channel,
    }
    if ("error_coef_" in arrays) != ("level_std_" in arrays):
        raise ValueError("only one of error_coef_ and level_std_ is there")
    if "error_coef_" in arrays:
        # No more directions than a spline has.
        n_directions = min(arrays["error_coef_"].shape[-1], n_coef)
        shapes |= {"error_coef_": (n_channels, n_coef, n_directions), "level_std_": per_channel}
    for name, shape in shapes.items():
        _check_array(name, arrays[name], shape)
    # The squares of values beyond 1e154 are infinite.
    for name in ("noise_", "block_noise_", "reduced_chi2_"):
        _check_array(name, arrays[name], per_channel, finite=False)
        _check_positive(name, arrays[name], or_zero=True)
    if "level_std_" in arrays:
        _check_positive("level_std_", arrays["level_std_"])


def check_curve(name: str, curve, n_channels: int) -> None:
    """Raise ValueError unless a curve rises, and has a value for each channel."""
    for key, value in vars(curve).items():
        array = np.asarray(value, dtype=float)
        _check_array(f"{name}.{key}", array, () if key == "target" else (n_channels,))
        if key not in ("pedestal", "offset"):
            _check_positive(f"{name}.{key}", array)
        if key in ("target", "midtones") and not (array < 1).all():
            raise ValueError(f"{name}.{key} must be below 1")
    if name == "stretch_" and not isinstance(curve, MidtonesCurve):
        raise ValueError(f"stretch_ must be a MidtonesCurve, got a {type(curve).__name__}")


def check_background(model) -> None:
    """Raise ValueError unless the background is finite, and its level near it."""
    with np.errstate(all="ignore"):
        background = model.predict(np.zeros((_PROBES, _PROBES, model.image_shape_[2])))
        low, high = background.min(axis=(0, 1)), background.max(axis=(0, 1))
        beside = np.abs(model.background_level_ - np.clip(model.background_level_, low, high))
        # Of a flat background rounding is all that there is.
        near = beside <= _BESIDE * (high - low + model.noise_) + 1e-3 * np.maximum(np.abs(low), np.abs(high))
    if not (np.isfinite(background).all() and near.all()):
        raise ValueError(f"its background runs from {low} to {high}, and its level is {model.background_level_}")


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...], finite: bool = True) -> None:
    if array.shape != shape or array.dtype != np.float64 or (finite and not np.isfinite(array).all()):
        kind = "finite float64" if finite else "float64"
        raise ValueError(f"{name} must hold {kind} of shape {shape}, got {array.dtype} {array.shape}")


def _check_positive(name: str, array: np.ndarray, or_zero: bool = False) -> None:
    # Without any sky the chi2 is NaN.
    if (array < 0).any() if or_zero else not (array > 0).all():
        raise ValueError(f"{name} must be {'0 or more' if or_zero else 'above 0'}, got {array.min()}")


def _is_int(value, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
