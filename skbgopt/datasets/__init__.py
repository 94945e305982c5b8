"""Synthetic frames whose true sky background is known."""

from skbgopt.datasets._kinds import SKY_KINDS
from skbgopt.datasets._skies import SKY_SHAPES
from skbgopt.datasets._sky_image import make_sky_image

__all__ = ["SKY_KINDS", "SKY_SHAPES", "make_sky_image"]
