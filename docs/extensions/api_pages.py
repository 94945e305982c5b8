"""A page for each public name, in the groups of ``api.md``, which lists the names and their first sentences."""

import importlib
import inspect
import pydoc
import re
from pathlib import Path

_ENTRY = re.compile(r"^- `((?:\w+\.)+\w+)`: ", flags=re.MULTILINE)
_CONTENTS = """
```{{toctree}}
:hidden:

{names}
```
"""


def _write_pages(app):
    """Write the page of each name of the list into ``reference``."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.rst": _page(name) for name in _names((Path(app.srcdir) / "api.md").read_text(encoding="utf-8"))}
    for page in folder.iterdir():
        if page.name not in pages:
            page.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _names(text):
    """Return the names that the list has; all but the version, which says all of itself there."""
    return [name for name in _ENTRY.findall(text) if not name.endswith("__")]


def _page(name):
    module, _, attribute = name.rpartition(".")
    is_class = inspect.isclass(getattr(importlib.import_module(module), attribute))
    directive = "autoclass" if is_class else "autofunction"
    options = "   :members:\n   :inherited-members:\n" if is_class else ""
    heading = f"{attribute}\n{'=' * len(attribute)}\n\n.. currentmodule:: {module}\n\n"
    return f"{heading}.. {directive}:: {attribute}\n{options}"


def _link_entries(app, docname, source):
    """Make the names of the list links to their pages."""
    if docname == "api":
        names = _names(source[0])
        for name in names:
            source[0] = source[0].replace(f"- `{name}`: ", f"- [`{name}`](reference/{name}.rst): ")
        source[0] += _CONTENTS.format(names="\n".join(f"reference/{name}" for name in names))


def _skip_foreign(app, what, name, member, skip, options):
    """Leave out the methods that scikit-learn's base classes add, which are documented there."""
    is_foreign = inspect.isroutine(member) and not str(getattr(member, "__module__", None)).startswith("skbgopt.")
    return True if is_foreign else None


def _find_short_name(app, env, node, contnode):
    """Resolve a name that is written without its module; what is in the package and has no page is no link."""
    if node.get("reftype") != "obj" or node.hasattr("refspecific"):
        return None
    node["refspecific"] = True
    name = node["reftarget"]
    found = env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, node["reftype"], name, node, contnode)
    return contnode if found is None and _is_in_package(name) else found


def _is_in_package(name):
    return name.startswith("skbgopt.") and pydoc.locate(name) is not None


def setup(app):
    """Write the pages before anything is read."""
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _link_entries)
    app.connect("autodoc-skip-member", _skip_foreign)
    app.connect("missing-reference", _find_short_name)
    return {"parallel_read_safe": True}
