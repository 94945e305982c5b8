"""Figures and displays. The only importer of matplotlib."""

from ._figures import before_after_figure, preview_figure

__all__ = ["before_after_figure", "preview_figure"]
