"""Settings from files: the user's, the project's and that of ``--config`` (TOML), and what a search saved (JSON)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

NAME = "skbgopt.toml"
# Where a context keeps the settings that stand for flags.
_SETTINGS = __name__
# As difflib counts: a letter or two of a name are wrong.
_NEAR = 0.75


class Setting(NamedTuple):
    """The text that a flag would take, and the file that it stands in."""

    text: str
    path: Path


def set_defaults(ctx: click.Context, settings: dict[str, Setting], *, wins: bool) -> None:
    """Let settings stand for flags that are not given; they win over those that are set already, or do not."""
    others = ctx.meta.get(_SETTINGS, {})
    ctx.meta[_SETTINGS] = {**others, **settings} if wins else {**settings, **others}
    ctx.default_map = {name: setting.text for name, setting in ctx.meta[_SETTINGS].items()}


def file_that_sets(ctx: click.Context, name: str) -> Path | None:
    """Return the settings file that a parameter has its value from, if it has it from one."""
    is_set = ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    return ctx.meta[_SETTINGS][name].path if is_set else None


def default_settings(chosen: Path | None, known: Collection[str]) -> dict[str, Setting]:
    """Return the settings of all TOML files, the later ones over the others.

    Raises
    ------
    click.UsageError
        If a file cannot be read, or has a setting that is none of the `known` names.
    """
    settings: dict[str, Setting] = {}
    for path in settings_files(chosen):
        settings |= {name: _setting(path, name, value, known) for name, value in _read_toml(path).items()}
    return settings


def settings_files(chosen: Path | None) -> list[Path]:
    """Return the TOML files that are read: the user's, the project's, and the one chosen."""
    usual = [path for path in (Path(click.get_app_dir("skbgopt")) / NAME, Path(NAME)) if path.is_file()]
    return [*usual, *([chosen] if chosen else [])]


def saved_settings(path: Path, known: Collection[str]) -> dict[str, Setting]:
    """Return the parameters that ``skbgopt tune --save`` wrote.

    Raises
    ------
    click.UsageError
        If the file cannot be read, is no such JSON, or has a parameter that is none of the `known` names.
    """
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"The settings {path} are no JSON: {error}.") from None
    parameters = content.get("parameters") if isinstance(content, dict) else None
    if not isinstance(parameters, dict):
        raise click.UsageError(f"The settings {path} have no 'parameters': give a file of skbgopt tune --save.")
    return {name: _setting(path, name, value, known) for name, value in parameters.items()}


def check_known(name: str, known: Collection[str], what: str, way_out: str) -> None:
    """Raise click.UsageError if a name is none of those known, with the nearest one if that is near."""
    if name not in known:
        nearest = get_close_matches(name, known, n=1, cutoff=_NEAR)
        way_out = f"did you mean {nearest[0]}?" if nearest else way_out
        raise click.UsageError(f"{what} no parameter {name!r}: {way_out}")


def as_text(value: bool | int | float | str | None) -> str:
    """Return the text by which a flag takes a value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    # repr, so that the very number comes back.
    return value if isinstance(value, str) else repr(value)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"Cannot read the settings {path}: {error.strerror}.") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"The settings {path} are no TOML: {error}.") from None


def _setting(path: Path, name: str, value: object, known: Collection[str]) -> Setting:
    allowed = "only parameters of BackgroundSplineRegressor may stand there."
    check_known(name, known, f"The settings {path} have", allowed)
    if value is not None and not isinstance(value, bool | int | float | str):
        raise click.UsageError(f"The setting {name} in {path} must be a number, a text, true or false, got {value!r}.")
    # As texts they are checked as the flags are: 2.5 is no number of control points.
    return Setting(as_text(value), path)
