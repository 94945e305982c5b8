"""The space of settings that is searched, and where the search begins."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

DEFAULT_SPACE: dict[str, BaseDistribution] = {
    "n_control_points": IntDistribution(16, 144, log=True),
    "order": IntDistribution(2, 5),
    "quantile": FloatDistribution(0.9, 1.0),
    "threshold_min": FloatDistribution(0.0, 0.02),
    "threshold_max": FloatDistribution(0.5, 1.0),
    "smoothing": FloatDistribution(1e-7, 10.0, log=True),
}
_TAKES = (
    "The 'param_distributions' parameter takes a distribution of Optuna, (low, high), (low, high, 'log') or a list of "
    "choices for each name"
)
# Beside --preset bgoptimizer of the command line, which may not import Optuna; a test holds them together.
PUBLISHED = {"n_control_points": 32, "order": 2, "quantile": 0.95, "smoothing": 0.0}


def as_distributions(param_distributions, estimator) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of what a user gave; None for the default space.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not one of the estimator's, or no distribution can be made of what was given for it.
    """
    space = DEFAULT_SPACE if param_distributions is None else param_distributions
    known = estimator.get_params()
    for name in space:
        if name not in known:
            raise ValueError(
                f"The 'param_distributions' parameter takes parameters of {type(estimator).__name__}, got {name!r}: "
                f"choose from {', '.join(sorted(known))}."
            )
    return {name: _as_distribution(name, given) for name, given in space.items()}


def _as_distribution(name: str, given) -> BaseDistribution:
    if isinstance(given, BaseDistribution):
        return given
    if isinstance(given, list) and given:
        return CategoricalDistribution(given)
    if isinstance(given, tuple) and (len(given) == 2 or (len(given) == 3 and given[2] == "log")):
        low, high, *log = given
        kind = IntDistribution if all(isinstance(end, Integral) for end in (low, high)) else FloatDistribution
        try:
            return kind(low, high, log=bool(log))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{_TAKES}, low not above high, and above 0 with 'log', got {given!r} for {name!r}."
            ) from error
    raise TypeError(f"{_TAKES}, got {given!r} for {name!r}.")


def suggest(trial: optuna.Trial, distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
    """Return the parameters that a trial is to try."""
    params: dict[str, Any] = {}
    for name, space in distributions.items():
        if isinstance(space, CategoricalDistribution):
            params[name] = trial.suggest_categorical(name, space.choices)
        elif isinstance(space, IntDistribution):
            params[name] = trial.suggest_int(name, space.low, space.high, step=space.step, log=space.log)
        elif isinstance(space, FloatDistribution):
            params[name] = trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)
        else:
            raise TypeError(f"The 'param_distributions' parameter takes Optuna's distributions, got {space!r}.")
    return params


def starting_point(setting: dict[str, Any], distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
    """Return what of a setting lies in the space, numbers moved to what their ranges allow."""
    point = {}
    for name, space in distributions.items():
        value = setting.get(name)
        if isinstance(space, CategoricalDistribution):
            if name in setting and value in space.choices:
                point[name] = value
        elif isinstance(value, Real) and isinstance(space, IntDistribution | FloatDistribution):
            inside = min(max(float(value), space.low), space.high)
            if space.step is not None:
                inside = space.low + round((inside - space.low) / space.step) * space.step
            point[name] = type(space.low)(inside)
    return point
