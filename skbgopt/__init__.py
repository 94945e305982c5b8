"""Models and removes the sky background of linear astronomical images with robust polyharmonic splines.

Names are loaded when first used, so that ``skbgopt --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "BackgroundSplineRegressor": "background",
    "PolyharmonicSplineRegressor": "regression",
    "MidtonesStretch": "stretch",
    "BlockReducer": "reduction",
    "SourceMasker": "sources",
    "EachImage": "each_image",
    "BackgroundSearchCV": "model_selection",
    "ImageBlockKFold": "model_selection",
    "background_objective": "model_selection",
    "cross_val_score_image": "model_selection",
    "SearchDisplay": "plotting",
    "make_sky_image": "datasets",
    "read_image": "io",
    "write_image": "io",
    "ImageFormatError": "io",
    "BackgroundWarning": "diagnosis",
    "gradient_left": "metrics",
    "BackgroundDisplay": "plotting",
    "ControlPointsDisplay": "plotting",
    "LossCurveDisplay": "plotting",
    "ResidualDisplay": "plotting",
    "SmoothingPathDisplay": "plotting",
    "StretchDisplay": "plotting",
    "UncertaintyDisplay": "plotting",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:  # what __getattr__ finds, for those who read types
    from .background import BackgroundSplineRegressor as BackgroundSplineRegressor
    from .datasets import make_sky_image as make_sky_image
    from .diagnosis import BackgroundWarning as BackgroundWarning
    from .each_image import EachImage as EachImage
    from .io import ImageFormatError as ImageFormatError
    from .io import read_image as read_image
    from .io import write_image as write_image
    from .metrics import gradient_left as gradient_left
    from .model_selection import BackgroundSearchCV as BackgroundSearchCV
    from .model_selection import ImageBlockKFold as ImageBlockKFold
    from .model_selection import background_objective as background_objective
    from .model_selection import cross_val_score_image as cross_val_score_image
    from .plotting import BackgroundDisplay as BackgroundDisplay
    from .plotting import ControlPointsDisplay as ControlPointsDisplay
    from .plotting import LossCurveDisplay as LossCurveDisplay
    from .plotting import ResidualDisplay as ResidualDisplay
    from .plotting import SearchDisplay as SearchDisplay
    from .plotting import SmoothingPathDisplay as SmoothingPathDisplay
    from .plotting import StretchDisplay as StretchDisplay
    from .plotting import UncertaintyDisplay as UncertaintyDisplay
    from .reduction import BlockReducer as BlockReducer
    from .regression import PolyharmonicSplineRegressor as PolyharmonicSplineRegressor
    from .sources import SourceMasker as SourceMasker
    from .stretch import MidtonesStretch as MidtonesStretch


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
