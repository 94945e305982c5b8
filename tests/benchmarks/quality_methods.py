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

# How each is made, and what tells its version.
_RIVALS: dict[str, tuple[partial, Callable[[], str]]] = {
    "sep 64": (partial(rivals.sep_background, 64), partial(version, "sep")),
    "sep 128": (partial(rivals.sep_background, 128), partial(version, "sep")),
    "photutils 64": (
        partial(rivals.photutils_background, 64, exclude_percentile=90),
        partial(version, "photutils"),
    ),
    "sextractor 64": (partial(rivals.source_extractor_background, 64), rivals.source_extractor_version),
    "seiza poly 2": (partial(rivals.seiza_background, degree=2), partial(version, "seiza")),
    "seiza poly 4": (partial(rivals.seiza_background, degree=4), partial(version, "seiza")),
    "seiza rbf": (
        partial(rivals.seiza_background, model="radial_basis", allow_radial_basis=True),
        partial(version, "seiza"),
    ),
    "GraXpert rbf": (partial(rivals.graxpert_rbf), rivals.graxpert_version),
    "siril poly 4": (partial(rivals.siril_background, "4"), rivals.siril_version),
    "siril rbf": (partial(rivals.siril_background, "-rbf"), rivals.siril_version),
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
        try:
            found.append(_method(name, parameters))
        except ImportError as error:
            missing[name] = str(error)
    return found, missing


def _method(name: str, parameters: dict[str, Any]) -> NamedMethod:
    if name == "default":
        return NamedMethod(name, partial(_ours, BackgroundSplineRegressor(**parameters)))
    if name == "tuned":
        search = BackgroundSearchCV(BackgroundSplineRegressor(**parameters), n_trials=_TRIALS, random_state=0)
        return NamedMethod(name, partial(_ours, search))
    if name == "published":
        return NamedMethod(name, partial(_ours, BackgroundSplineRegressor(**_PUBLISHED)), key=repr(_PUBLISHED))
    make, version_of = _RIVALS[name]
    make()
    return NamedMethod(name, make, key=f"{make.func.__name__} {make.args} {make.keywords} {version_of()}")


def _ours(estimator) -> Method:
    return lambda image, mask: estimator.fit(image, mask=mask).predict(image)
