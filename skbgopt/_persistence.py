"""The file of a fitted model: an .npz archive of plain arrays.

``header`` is a JSON text with the format's name and version, the estimator's parameters and the fitted scalars;
every other array is a fitted attribute under its own name. Nothing is pickled, so a file from a stranger can do
no more than be wrong.
"""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ._atomic import replacing
from .stretch import AsinhCurve, LinearCurve, MidtonesCurve

_FORMAT = "skbgopt-background"
_VERSION = 1
_ARRAYS = (
    "control_points_",
    "coef_",
    "noise_",
    "block_noise_",
    "background_level_",
    "loss_curve_",
    "object_mask_",
    "reduced_chi2_",
)
# Not there where the solver knows no standard error.
_OPTIONAL_ARRAYS = ("error_coef_", "level_std_")
_SCALARS = (
    "smoothing_",
    "loss_",
    "n_iter_",
    "order_",
    "degree_",
    "image_shape_",
    "n_features_in_",
    "excluded_",
    "overshoot_fraction_",
)
_CURVES = {curve.__name__: curve for curve in (MidtonesCurve, LinearCurve, AsinhCurve)}
_CURVE_NAMES = ("stretch_", "curve_")
# What numpy (which reads the head of an array as Python), zipfile and json raise for a damaged or a wrong file.
_DAMAGE = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, RuntimeError, NotImplementedError,
    SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save(estimator, path) -> None:
    """Write the estimator; the file appears whole or not at all."""
    parameters = estimator.get_params()
    if isinstance(parameters["random_state"], np.random.RandomState):
        parameters["random_state"] = None
    curves = {name: getattr(estimator, name) for name in _CURVE_NAMES}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "parameters": parameters,
        "fitted": {name: getattr(estimator, name) for name in _SCALARS},
        "curves": {name: _curve_to_lists(curve) for name, curve in curves.items()},
    }
    arrays = {name: np.asarray(getattr(estimator, name)) for name in _ARRAYS}
    optional = {name: getattr(estimator, name) for name in _OPTIONAL_ARRAYS}
    arrays |= {name: value for name, value in optional.items() if value is not None}
    with replacing(Path(path), overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(header, default=_plain)), allow_pickle=False, **arrays)


def load(cls, path):
    """Return the estimator in the file."""
    # From memory, where a damaged archive that leads to no place in it is not an error of the file system.
    content = io.BytesIO(Path(path).read_bytes())
    try:
        with np.load(content, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            arrays = {
                name: archive[name]
                for name in (*_ARRAYS, *(name for name in _OPTIONAL_ARRAYS if name in archive.files))
            }
        if header["format"] != _FORMAT or not 1 <= header["version"] <= _VERSION:
            raise ValueError(f"format {header['format']} version {header['version']}")
        estimator = cls(**header["parameters"])
        estimator._validate_params()
        fitted = {name: header["fitted"][name] for name in _SCALARS}
        fitted["image_shape_"] = tuple(fitted["image_shape_"])
        fitted |= {name: _curve_from_lists(header["curves"][name]) for name in _CURVE_NAMES}
        _check_consistent(fitted, arrays)
    except _DAMAGE as error:
        reason = "it holds no such arrays" if "pickle" in str(error) else str(error)
        raise ValueError(f"{path} is not a model saved by {cls.__name__} that this version reads: {reason}.") from error
    arrays["loss_curve_"] = arrays["loss_curve_"].tolist()
    for name, value in {**dict.fromkeys(_OPTIONAL_ARRAYS), **fitted, **arrays, "smoothing_path_": None}.items():
        setattr(estimator, name, value)
    return estimator


def _check_consistent(fitted: dict, arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless the parts are finite and fit together."""
    height, width, n_channels = fitted["image_shape_"]
    order, degree = fitted["order_"], fitted["degree_"]
    if not (1 <= order <= 9 and order // 2 <= degree <= 9 and min(height, width, n_channels) > 0):
        raise ValueError(f"order {order}, degree {degree}, image shape {fitted['image_shape_']}")
    n_points = len(arrays["control_points_"])
    shapes = {
        "control_points_": (n_points, 2),
        "coef_": (n_points + (degree + 1) * (degree + 2) // 2, n_channels),
        "background_level_": (n_channels,),
    }
    if "error_coef_" in arrays:
        shapes["error_coef_"] = (n_channels, len(arrays["coef_"]), arrays["error_coef_"].shape[-1])
        shapes["level_std_"] = (n_channels,)
    parts = {name: arrays[name] for name in shapes}
    for name in _CURVE_NAMES:
        for key, value in vars(fitted[name]).items():
            parts[f"{name}.{key}"] = np.asarray(value, dtype=float)
            shapes[f"{name}.{key}"] = () if key == "target" else (n_channels,)
    for name, array in parts.items():
        if array.shape != shapes[name] or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must hold finite float64 of shape {shapes[name]}, got {array.dtype} {array.shape}"
            )


def _curve_to_lists(curve) -> dict:
    return {"type": type(curve).__name__, **vars(curve)}


def _curve_from_lists(lists: dict):
    values: dict = {name: np.array(value) if isinstance(value, list) else value for name, value in lists.items()}
    return _CURVES[values.pop("type")](**values)


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be saved")
