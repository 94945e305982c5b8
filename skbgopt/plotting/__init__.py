"""Figures and displays. The only importer of matplotlib."""

from ._figures import before_after_figure, preview_figure
from ._search import SearchDisplay

__all__ = ["SearchDisplay", "before_after_figure", "preview_figure"]
