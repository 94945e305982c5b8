"""The summary of the benchmark of quality: ours against the best rival, taken afresh for each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from quality_methods import OURS, RIVALS


def summarise(table: Sequence[dict]) -> list[dict]:
    """Return a record for each of our methods and each group of frames: by kind, and all made and all real ones.

    Ratios of what is left of the gradient are given as geometric means and at their worst. Light eaten is compared
    by its modulus (light added to an object is as wrong): with that of the rival that leaves least of the gradient,
    and with the least of all rivals, which may be a model that is wrong both ways.
    """
    ours = [name for name in OURS if any(name in row["methods"] for row in table)]
    return [
        {"method": name, "group": group, **_group_record(name, rows)} for name in ours for group, rows in _groups(table)
    ]


def print_summary(summary: Sequence[dict]) -> None:
    """Print the records as a table."""
    columns = {
        "frames": "frames", "left": "left", "over_rival": "/rival", "over_rival_worst": "worst",
        "over_published": "/publ.", "max_bias": "max|bias|", "max_sky_bias": "of the sky", "max_eaten": "max|eaten|",
        "max_eaten_rival": "best's", "eaten_more_rival": "more on", "max_eaten_least": "least",
        "eaten_more_least": "more on", "max_local": "max local",
    }  # fmt: skip
    for name in dict.fromkeys(record["method"] for record in summary):
        print(f"\n{name:22s}" + "".join(f"{header:>11s}" for header in columns.values()))
        for record in summary:
            if record["method"] == name:
                print(f"{record['group']:22s}" + "".join(f"{_text(record[key]):>11s}" for key in columns))


def _groups(table: Sequence[dict]) -> Iterator[tuple[str, list[dict]]]:
    for sky in ("made", "real"):
        of_sky = [row for row in table if row["sky"] == sky]
        for key in ("kind",) if sky == "made" else ("kind", "shape", "strength"):
            for value in dict.fromkeys(row[key] for row in of_sky):
                label = f"{sky}, {value:g} sigma" if key == "strength" else f"{sky}, {value}"
                yield label, [row for row in of_sky if row[key] == value]
        if of_sky:
            yield f"{sky}, all", of_sky


def _group_record(name: str, rows: Sequence[dict]) -> dict:
    left = _values(rows, name, "left")
    over_rival = left / _best(rows, "left")
    eaten, least = np.abs(_values(rows, name, "eaten")), _best(rows, "eaten")
    of_best = np.abs(_of_best_rival(rows, "eaten"))
    return {
        "frames": int(np.isfinite(left).sum()),
        "left": _geometric_mean(left),
        "over_rival": _geometric_mean(over_rival),
        "over_rival_worst": _largest(over_rival),
        "over_published": _geometric_mean(left / _values(rows, "published", "left")),
        "max_bias": _largest(np.abs(_values(rows, name, "bias"))),
        "max_sky_bias": _largest(np.abs(_values(rows, name, "sky_bias"))),
        "max_eaten": _largest(eaten),
        "max_eaten_rival": _largest(of_best),
        "eaten_more_rival": int((eaten > of_best).sum()),
        "max_eaten_least": _largest(least),
        "eaten_more_least": int((eaten > least).sum()),
        "max_local": _largest(_values(rows, name, "worst_local")),
        "seconds": _geometric_mean(_values(rows, name, "seconds")),
    }


def _values(rows: Sequence[dict], name: str, measure: str) -> np.ndarray:
    """Return a measure of a method on each frame; NaN where there is none."""
    values = [row["methods"].get(name, {}).get(measure) for row in rows]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _best(rows: Sequence[dict], measure: str) -> np.ndarray:
    """Return the smallest modulus of a measure among the rivals on each frame."""
    return np.fmin.reduce([np.abs(_values(rows, name, measure)) for name in RIVALS])


def _of_best_rival(rows: Sequence[dict], measure: str) -> np.ndarray:
    """Return a measure of the rival that leaves least of the gradient on each frame."""
    left = np.array([_values(rows, name, "left") for name in RIVALS])
    which = np.where(np.isnan(left), np.inf, left).argmin(axis=0)
    return np.array([_values(rows, name, measure) for name in RIVALS])[which, np.arange(len(rows))]


def _geometric_mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.exp(np.log(values).mean())) if len(values) else None


def _largest(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.max()) if len(values) else None


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:d}" if isinstance(value, int) else f"{value:.3g}"
