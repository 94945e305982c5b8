"""The file of a fitted model: an .npz archive of plain arrays.

``header`` is a JSON text with the format's name and version, the estimator's parameters and the fitted scalars;
every other array is a fitted attribute under its own name. Nothing is pickled, so a file from a stranger can do
no more than be wrong.
"""

from __future__ import annotations

import io
import json
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ._atomic import replacing
from ._model_checks import check_arrays, check_background, check_belongs, check_curve, check_scalars, check_shape
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
    SyntaxError, OverflowError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save(estimator, path) -> None:
    """Write the estimator; the file appears whole or not at all."""
    parameters = estimator.get_params()
    if isinstance(parameters["random_state"], np.random.RandomState):
        parameters["random_state"] = None
    fitted = {name: getattr(estimator, name) for name in _SCALARS}
    try:
        check_belongs(parameters, fitted, estimator.object_mask_)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"Parameters were set since the fit of {type(estimator).__name__}: {reason}; fit again."
        ) from error
    curves = {name: getattr(estimator, name) for name in _CURVE_NAMES}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "parameters": parameters,
        "fitted": fitted,
        "curves": {name: _curve_to_lists(curve) for name, curve in curves.items()},
    }
    arrays = {name: np.asarray(getattr(estimator, name)) for name in _ARRAYS}
    optional = {name: getattr(estimator, name) for name in _OPTIONAL_ARRAYS}
    arrays |= {name: value for name, value in optional.items() if value is not None}
    with replacing(Path(path), overwrite=True) as temporary, temporary.open("wb") as file:
        # None is of objects, which alone would be pickled; numpy 1 takes allow_pickle=False for one more array.
        np.savez(file, header=np.array(json.dumps(header, default=_plain)), **arrays)  # type: ignore[arg-type]


def load(cls, path):
    """Return the estimator in the file."""
    # From memory, where a damaged archive that leads to no place in it is not an error of the file system.
    content = io.BytesIO(Path(path).read_bytes())
    n_bytes = content.getbuffer().nbytes
    try:
        with zipfile.ZipFile(content) as archive:
            there = {name for name in _OPTIONAL_ARRAYS if f"{name}.npy" in archive.namelist()}
            header = json.loads(str(_read(archive, "header", n_bytes)))
            if header["format"] != _FORMAT or not 1 <= header["version"] <= _VERSION:
                raise ValueError(f"format {header['format']} version {header['version']}")
            arrays = {name: _read(archive, name, n_bytes) for name in (*_ARRAYS, *sorted(there))}
        estimator = cls(**header["parameters"])
        estimator._validate_params()
        fitted = {name: header["fitted"][name] for name in _SCALARS}
        fitted["image_shape_"] = tuple(fitted["image_shape_"])
        curves = {name: _curve_from_lists(header["curves"][name]) for name in _CURVE_NAMES}
        check_shape(fitted["image_shape_"])
        check_scalars(fitted)
        check_belongs(estimator.get_params(), fitted, arrays["object_mask_"])
        check_arrays(fitted, arrays)
        for name, curve in curves.items():
            check_curve(name, curve, fitted["image_shape_"][2])
        none = dict.fromkeys((*_OPTIONAL_ARRAYS, "smoothing_path_"))
        for name, value in {**none, **fitted, **curves, **arrays}.items():
            setattr(estimator, name, value.tolist() if name == "loss_curve_" else value)
        check_background(estimator)
    except _DAMAGE as error:
        reason = "it holds no such arrays" if "pickle" in str(error) else str(error)
        raise ValueError(f"{path} is not a model saved by {cls.__name__} that this version reads: {reason}.") from error
    return estimator


def _read(archive: zipfile.ZipFile, name: str, n_bytes: int) -> np.ndarray:
    """Return an array of an archive of so many bytes; none is longer, whatever its head or the archive says."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        # Heads of the later versions may be as long as they like.
        if info.compress_type != zipfile.ZIP_STORED or version != (1, 0):
            raise ValueError(f"{name} is compressed, or of version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    if not 0 <= math.prod(shape) * dtype.itemsize <= min(info.file_size, n_bytes) or dtype.hasobject:
        raise ValueError(f"{name} of shape {shape} and type {dtype} is not all there")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


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
