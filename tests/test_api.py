"""The public names, their docstrings and the page that lists them."""

import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

import skbgopt
from skbgopt import model_selection, testing

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (skbgopt, model_selection, testing)
    for name in module.__all__
    if module is skbgopt or name not in skbgopt.__all__
}
DOCUMENTED = {name: thing for name, thing in PUBLIC.items() if not isinstance(thing, str)}
# No docstring; no or a long summary, one that does not begin with a capital or end with a period, or that is indented;
# a documented parameter that is not there or is written wrongly; sections in another order; a generator without Yields.
EVERYWHERE = {"GL08", "GL07", "SS01", "SS02", "SS03", "SS04", "PR02", "PR10", "YD01"}
# A parameter or result that is not documented.
COMPLETE = EVERYWHERE | {"PR01", "RT01"}
# scikit-learn writes these.
GENERATED = ("set_fit_request", "set_score_request", "set_predict_request", "set_transform_request", "set_output")


def methods_of(cls):
    """Public methods that a class of ours defines, and those that it inherits from another of ours."""
    found = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_") and name not in GENERATED}
    return {
        name: method
        for name, method in found.items()
        if inspect.isroutine(method) and str(getattr(method, "__module__", "")).startswith("skbgopt.")
    }


METHODS = {
    f"{name}.{method}": (cls, method)
    for name, cls in DOCUMENTED.items()
    if inspect.isclass(cls)
    for method in methods_of(cls)
}


def complaints(path, codes):
    """What numpydoc finds, of the kinds that matter here."""
    return [f"{code}: {text}" for code, text in validate(path)["errors"] if code in codes]


def home(thing):
    """Where numpydoc finds it."""
    return f"{thing.__module__}.{thing.__qualname__}"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_docstrings_are_complete(name):
    """Every public class and function documents its parameters, and functions their results, in numpydoc."""
    assert complaints(home(DOCUMENTED[name]), COMPLETE) == []


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_docstrings(name):
    """Every public method says what it does, what it takes and what it returns."""
    cls, method = METHODS[name]
    assert complaints(f"{home(cls)}.{method}", COMPLETE) == []


def entries():
    """The names on the page and their sentences, in order."""
    return re.findall(r"^- `([\w.]+)`: (.+)$", PAGE.read_text(), flags=re.MULTILINE)


def test_the_page_lists_the_public_names():
    """Every public name is on the page once, and the page names nothing else."""
    listed = [name for name, _ in entries()]
    assert sorted(listed) == sorted(PUBLIC)
    assert len([line for line in PAGE.read_text().splitlines() if line.startswith("-")]) == len(listed)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_page_says_what_the_docstring_says(name):
    """The sentence on the page is the first of the docstring."""
    summary = inspect.getdoc(DOCUMENTED[name]).split("\n\n")[0].replace("\n", " ")
    assert dict(entries())[name] == summary


def test_every_public_name_has_its_home():
    """Names come from the modules of the package, and none is a module."""
    for thing in DOCUMENTED.values():
        assert thing.__module__.startswith("skbgopt.")
        assert not inspect.ismodule(thing)
