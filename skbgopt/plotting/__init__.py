"""Displays: what is fitted, how the fit went, and what it does to an image. The only importer of matplotlib."""

from ._background import BackgroundDisplay
from ._control_points import ControlPointsDisplay
from ._drawing import encode_figure, encode_picture
from ._loss_curve import LossCurveDisplay
from ._panels import channel_names
from ._residual import ResidualDisplay
from ._search import SearchDisplay
from ._smoothing_path import SmoothingPathDisplay
from ._stretch import StretchDisplay
from ._uncertainty import UncertaintyDisplay

__all__ = [
    "BackgroundDisplay",
    "ControlPointsDisplay",
    "LossCurveDisplay",
    "ResidualDisplay",
    "SearchDisplay",
    "SmoothingPathDisplay",
    "StretchDisplay",
    "UncertaintyDisplay",
    "channel_names",
    "encode_figure",
    "encode_picture",
]
