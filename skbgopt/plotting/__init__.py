"""Displays: what is fitted, how the fit went, and what it does to an image. The only importer of matplotlib."""

from ._background import BackgroundDisplay
from ._control_points import ControlPointsDisplay
from ._drawing import encode_picture
from ._loss_curve import LossCurveDisplay
from ._residual import ResidualDisplay
from ._smoothing_path import SmoothingPathDisplay
from ._stretch import StretchDisplay
from ._uncertainty import UncertaintyDisplay

__all__ = [
    "BackgroundDisplay",
    "ControlPointsDisplay",
    "LossCurveDisplay",
    "ResidualDisplay",
    "SmoothingPathDisplay",
    "StretchDisplay",
    "UncertaintyDisplay",
    "encode_picture",
]
