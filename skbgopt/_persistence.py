"""The file of a fitted model: an .npz archive of plain arrays.

``header`` is a JSON text with the format's name and version, the estimator's parameters and the fitted scalars;
every other array is a fitted attribute under its own name. Nothing is pickled, so a file from a stranger can do
no more than be wrong.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from .stretch import LinearCurve, MidtonesCurve

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
)
_SCALARS = (
    "smoothing_",
    "loss_",
    "n_iter_",
    "order_",
    "degree_",
    "image_shape_",
    "n_features_in_",
    "excluded_",
)
_CURVES = {"MidtonesCurve": MidtonesCurve, "LinearCurve": LinearCurve}
_CURVE_NAMES = ("stretch_", "curve_")


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
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header, default=_plain)), allow_pickle=False, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(cls, path):
    """Return the estimator in the file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            arrays = {name: archive[name] for name in _ARRAYS}
        if header["format"] != _FORMAT or header["version"] > _VERSION:
            raise ValueError(f"format {header['format']} version {header['version']}")
        estimator = cls(**header["parameters"])
        fitted = {name: header["fitted"][name] for name in _SCALARS}
        fitted["image_shape_"] = tuple(fitted["image_shape_"])
        fitted |= {name: _curve_from_lists(header["curves"][name]) for name in _CURVE_NAMES}
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a model saved by {cls.__name__} that this version reads: {error}.") from error
    arrays["loss_curve_"] = arrays["loss_curve_"].tolist()
    for name, value in {**fitted, **arrays, "smoothing_path_": None}.items():
        setattr(estimator, name, value)
    return estimator


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
