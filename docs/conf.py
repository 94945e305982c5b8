"""How the documentation is built: ``make docs``, or without running the gallery ``sphinx-build -t quick docs OUT``."""

import sys
import warnings
from pathlib import Path

import skbgopt

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "skbgopt"
author = "The skbgopt developers"
version = release = skbgopt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "mathml",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb"]
nitpicky = True

# Gallery. The quick build leaves the examples unexecuted, so the pictures that the guide takes from them are not there.
quick = tags.has("quick")  # noqa: F821, sphinx defines it
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "plot_gallery": not quick,
    "abort_on_example_error": True,
    "image_scrapers": ("gallery_figures.scrape", "matplotlib"),
    "capture_repr": (),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1,
    "show_memory": False,
}
# Some examples show what goes wrong; what the library says of it would be printed with paths of this machine.
warnings.simplefilter("ignore")
suppress_warnings = ["image.not_readable"] if quick else []

# Markdown: formulas between dollars, headings as targets of links.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 3

# Reference. Single backquotes of a docstring name something of ours that has a page.
default_role = "py:obj"
nitpick_ignore_regex = [
    (r"py:.*", r"(astropy|dask|joblib|numpy|optuna|sklearn|torch)\..+"),
    (r"py:obj", r"GridSearchCV|OptunaSearchCV|Pipeline"),
    (r"py:obj", r"[a-z][a-z0-9_]*"),  # parameters
]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Pages. Nothing is loaded from elsewhere when they are read, formulas are MathML.
html_theme = "pydata_sphinx_theme"
html_title = f"skbgopt {version}"
html_static_path = ["static"]
html_css_files = ["skbgopt.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skbgopt"},
    "show_prev_next": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "navigation_with_keys": False,
    "back_to_top_button": False,
}
copyright = "The skbgopt developers. Background modeling based on bgoptimizer by Sergio Díaz"
