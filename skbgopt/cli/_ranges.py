"""``--param NAME=...`` of ``skbgopt tune``: what is searched, and what is held at a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from skbgopt.cli._config import check_known
from skbgopt.cli._options import DEFAULTS

_FORMS = "NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=A,B,C or NAME=VALUE"


def ranges_and_values(ctx: click.Context, texts: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the space of what is to be searched, as `BackgroundSearchCV` takes it, and the values of what is held.

    Values are those that the parameter's own flag would take. Of two texts for one parameter the last counts.

    Raises
    ------
    click.UsageError
        If a text is of no such form, or names no parameter.
    """
    parts = dict(_split(text) for text in texts)
    found = {name: _range_or_value(ctx, name, text) for name, text in parts.items()}
    space = {name: value for name, value in found.items() if isinstance(value, tuple | list)}
    return space, {name: value for name, value in found.items() if name not in space}


def _split(text: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    if not (equals and name and values):
        raise click.UsageError(f"--param takes {_FORMS}, got {text!r}.")
    name = name.replace("-", "_")
    return name, values


def _range_or_value(ctx: click.Context, name: str, text: str) -> Any:
    options = {str(param.name): param for param in ctx.command.params if param.name in DEFAULTS}
    check_known(
        name, options, "--param knows", "it takes parameters of BackgroundSplineRegressor that have a flag here."
    )
    option = options[name]
    if ":" in text:
        low, high, *scale = text.split(":")
        if scale not in ([], ["log"]):
            raise click.UsageError(f"--param takes {_FORMS}, got {name}={text}.")
        ends = option.process_value(ctx, low), option.process_value(ctx, high)
        _check_ends(name, text, ends, bool(scale))
        return (*ends, *scale)
    values = [option.process_value(ctx, value) for value in text.split(",")]
    return values if len(values) > 1 else values[0]


def _check_ends(name: str, text: str, ends: tuple[Any, Any], is_log: bool) -> None:
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise click.UsageError(f"--param takes ranges of numbers, got {name}={text}: give a list, as in {name}=A,B.")
    low, high = ends
    if not low < high or (is_log and not low > 0):
        lowest = "0 < LOW < HIGH of a logarithmic range" if is_log else "LOW < HIGH"
        raise click.UsageError(f"--param takes {lowest}, got {name}={text}.")
