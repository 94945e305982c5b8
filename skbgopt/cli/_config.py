"""Settings from TOML files: the user's, the project's, and the one of ``--config``; the later ones win."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

NAME = "skbgopt.toml"


def default_settings(chosen: Path | None, known: Collection[str]) -> dict[str, str]:
    """Return the settings of all files, as the texts that the flags would take.

    Raises
    ------
    click.UsageError
        If a file cannot be read, or has a setting that is none of the `known` names.
    """
    usual = [path for path in (Path(click.get_app_dir("skbgopt")) / NAME, Path(NAME)) if path.is_file()]
    settings: dict[str, str] = {}
    for path in [*usual, *([chosen] if chosen else [])]:
        settings |= {name: _text(path, name, value, known) for name, value in _read(path).items()}
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"Cannot read the settings {path}: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"The settings {path} are no TOML: {error}.") from None


def _text(path: Path, name: str, value: object, known: Collection[str]) -> str:
    if name not in known:
        nearest = get_close_matches(name, known, n=1) or [", ".join(known)]
        raise click.UsageError(f"The settings {path} have no parameter {name!r}: did you mean {nearest[0]}?")
    if not isinstance(value, bool | int | float | str):
        raise click.UsageError(f"The setting {name} in {path} must be a number, a text, true or false, got {value!r}.")
    # As texts they are checked as the flags are: 2.5 is no number of control points.
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
