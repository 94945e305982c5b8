"""What the benchmark of quality compares: ours, the published defaults and the rivals, each image and mask to model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import rivals
from rivals import Method

from skbgopt import BackgroundSplineRegressor
from skbgopt.cli._options import PRESETS
from skbgopt.model_selection import BackgroundSearchCV

OURS = ("default", "tuned")
_PUBLISHED = {**PRESETS["bgoptimizer"], "random_state": 0}
_TRIALS = 60

_RIVALS: dict[str, tuple[partial, str]] = {
    "sep 64": (partial(rivals.sep_background, 64), "sep"),
    "sep 128": (partial(rivals.sep_background, 128), "sep"),
    "photutils 64": (partial(rivals.photutils_background, 64, exclude_percentile=90), "photutils"),
    "sextractor 64": (partial(rivals.source_extractor_background, 64), ""),
    "seiza poly 2": (partial(rivals.seiza_background, degree=2), "seiza"),
    "seiza poly 4": (partial(rivals.seiza_background, degree=4), "seiza"),
    "seiza rbf": (partial(rivals.seiza_background, model="radial_basis", allow_radial_basis=True), "seiza"),
}
RIVALS = tuple(_RIVALS)
METHODS = (*OURS, "published", *RIVALS)


@dataclass(frozen=True)
class NamedMethod:
    """A method with its name; `key` (None for ours) says what it depends on besides the frame."""

    name: str
    make: Callable[[], Method]
    key: str | None = None


def find_methods(names: list[str], parameters: dict[str, Any]) -> tuple[list[NamedMethod], dict[str, str]]:
    """Return the methods of these names, ours with some parameters of its own, and why some are missing."""
    found, missing = [], {}
    for name in names:
        method = _method(name, parameters)
        try:
            method.make()
        except ImportError as error:
            missing[name] = str(error)
        else:
            found.append(method)
    return found, missing


def _method(name: str, parameters: dict[str, Any]) -> NamedMethod:
    if name == "default":
        return NamedMethod(name, partial(_ours, BackgroundSplineRegressor(**parameters)))
    if name == "tuned":
        search = BackgroundSearchCV(BackgroundSplineRegressor(**parameters), n_trials=_TRIALS, random_state=0)
        return NamedMethod(name, partial(_ours, search))
    if name == "published":
        return NamedMethod(name, partial(_ours, BackgroundSplineRegressor(**_PUBLISHED)), key=repr(_PUBLISHED))
    make, package = _RIVALS[name]
    installed = version(package) if package and _importable(make) else ""
    return NamedMethod(name, make, key=f"{make.func.__name__} {make.args} {make.keywords} {installed}")


def _ours(estimator) -> Method:
    return lambda image, mask: estimator.fit(image, mask=mask).predict(image)


def _importable(make: Callable[[], Method]) -> bool:
    try:
        make()
    except ImportError:
        return False
    return True
