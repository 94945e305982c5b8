"""Figures of the gallery that were made without pyplot, as the displays make them."""

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_DPI = 100


def scrape(block, block_vars, gallery_conf):
    """Save the figures that a block of an example left in a variable, each once, and return their directives.

    Those of pyplot, which have a manager until they are closed, are left to the scraper that comes next.
    """
    paths = []
    for figure in block_vars["example_globals"].values():
        if isinstance(figure, Figure) and not hasattr(figure, "_in_gallery"):
            figure._in_gallery = True
            if figure.canvas.manager is None:
                paths.append(next(block_vars["image_path_iterator"]))
                figure.savefig(paths[-1], dpi=_DPI)
    return figure_rst(paths, gallery_conf["src_dir"])
