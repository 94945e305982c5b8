"""Which score of held-out blocks ranks settings as the truth would: random settings of made frames.

python tests/benchmarks/study_search.py draw --seeds 0 1 2 --directory drawn
python tests/benchmarks/study_search.py table drawn

`draw` fits each setting to a frame, whole and without each fold, and keeps its true error with the residuals of the
held-out blocks. `table` compares scores of those residuals: rank correlation with the true error, and the regret, the
error of the setting that a score picks over that of the best setting drawn.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import uniform_filter
from scipy.stats import spearmanr
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.datasets import SKY_KINDS
from skbgopt.diagnosis import without_warnings
from skbgopt.metrics import gradient_left, sky_cost
from skbgopt.model_selection._held_out import background_on_grid
from skbgopt.model_selection._objective import FIT_ERRORS, make_objective
from skbgopt.model_selection._space import DEFAULT_SPACE, PUBLISHED
from skbgopt.reduction import reduce_blocks

# Residuals beyond are kept as this many sigmas.
_MOST_SIGMAS = 60.0


def random_setting(rng: np.random.Generator) -> dict[str, Any]:
    """Return a setting drawn from the default space of a search."""
    setting: dict[str, Any] = {}
    for name, space in DEFAULT_SPACE.items():
        low, high = (np.log(end) if space.log else end for end in (space.low, space.high))
        value = rng.uniform(low, high)
        value = float(np.exp(value) if space.log else value)
        setting[name] = value if isinstance(space.low, float) else int(np.clip(round(value), space.low, space.high))
    return setting


@dataclass
class Drawn:
    """Settings of one frame, the estimator's own and the published one first.

    Attributes
    ----------
    left, roughness : ndarray of shape (n_settings,)
        Share of the gradient that is left, and root mean square of the model's second differences over a grid of
        16 x 24 points, in units of the noise.
    residuals : ndarray of shape (n_settings, n_rows, n_columns, n_channels)
        Held-out residuals in units of the noise of a block.
    weights, sky, fold : ndarray of shape (n_rows, n_columns)
        How much a block counts, whether it shows no object, and the fold that holds it out.
    level : ndarray of shape (n_rows, n_columns)
        How bright it is, in units of the noise.
    """

    left: np.ndarray
    roughness: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray
    sky: np.ndarray
    fold: np.ndarray
    level: np.ndarray


def draw(kind: str, seed: int, rows: int, n_settings: int, path: Path) -> None:
    """Fit random settings to a frame and keep what came of them."""
    frame = make_sky_image(kind, shape=(rows, rows * 3 // 2), random_state=seed)
    objective = make_objective(frame.image, frame.mask, None, BackgroundSplineRegressor(), None, None)
    (held_out,) = objective.images
    grid = held_out.grid
    factor = round(rows / grid.usable.shape[0])
    truth = reduce_blocks(np.atleast_3d(frame.background.astype(np.float64)), factor, "mean")
    rng = np.random.default_rng([seed, SKY_KINDS.index(kind)])
    settings = objective.starting_points(PUBLISHED) + [random_setting(rng) for _ in range(n_settings)]
    kept = []
    for setting in settings:
        estimator = BackgroundSplineRegressor(**setting)
        try:
            kept.append(_judge(estimator, held_out, truth))
        except FIT_ERRORS:
            continue
    left, roughness, residuals = (np.array(part) for part in zip(*kept, strict=True))
    fold = np.sum([k * test for k, (_, test) in enumerate(held_out.folds)], axis=0)
    np.savez_compressed(
        path, left=left, roughness=roughness, residuals=residuals, weights=grid.weights.max(axis=2),
        sky=grid.usable & ~held_out.objects, fold=fold, level=(grid.values / grid.block_noise).mean(axis=2),
    )  # fmt: skip


@without_warnings()
def _judge(estimator, held_out, truth: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return the true error of an estimator, the roughness of its model, and its held-out residuals."""
    grid = held_out.grid
    fitted = clone(estimator).fit_prepared(held_out.preparations.prepare(estimator))
    background = background_on_grid(fitted, grid)
    residuals = np.zeros(background.shape)

    def keep(values, background, weights, block_noise, sky) -> float:
        test = weights.any(axis=2)
        residuals[test] = ((values - background) / block_noise)[test]
        return 0.0

    for fold in range(len(held_out.folds)):
        held_out.score(clone(estimator), fold, keep)
    rows, columns = (
        np.linspace(0, length - 1, n).round().astype(int) for length, n in zip(truth.shape[:2], (16, 24), strict=True)
    )
    coarse = background[np.ix_(rows, columns)] / grid.block_noise
    bends = [np.diff(coarse, 2, axis=axis).ravel() for axis in (0, 1)]
    roughness = np.sqrt(np.mean(np.concatenate(bends) ** 2))
    clipped = np.clip(residuals, -_MOST_SIGMAS, _MOST_SIGMAS).astype(np.float16)
    return gradient_left(background, truth, ~grid.usable), float(roughness), clipped


Cost = Callable[[np.ndarray], np.ndarray]


def fit_loss(sigmas: np.ndarray) -> np.ndarray:
    """Return the loss of the fit, of scale 2 and alpha 5, over the channels of each pixel."""
    return np.log(2 + (np.abs(sigmas) + 10 * np.maximum(-sigmas, 0)).mean(axis=-1, keepdims=True))


COSTS: dict[str, Cost] = {
    "loss of the fit": fit_loss,
    "absolute residual": np.abs,
    "beyond 3 sigma": lambda r: np.abs(r) > 3,
    "saturating": lambda r: -np.expm1(-0.5 * (r / 3) ** 2),
    "saturating, objects 1/4": sky_cost,
    "saturating at 6, objects 1/4": lambda r: sky_cost(r / 2),
    "saturating at 1.5, objects 1/4": lambda r: sky_cost(2 * r),
}


def averaged(residuals: np.ndarray, weights: np.ndarray, window: int) -> np.ndarray:
    """Return averages over windows, in sigmas of such averages of independent noise."""
    share = uniform_filter(weights, window, mode="constant")[:, :, None]
    total = np.stack(
        [uniform_filter(part, (window, window, 0), mode="constant") for part in residuals * weights[:, :, None]]
    )
    return total / np.maximum(share, 1e-9) * window


def by_block(drawn: Drawn, cost: np.ndarray, where: np.ndarray, n_short: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cost in each block of an image with so many along the shorter side, and its weight."""
    n_rows, n_columns = where.shape
    row = np.arange(n_rows) * n_short // n_rows
    column = np.arange(n_columns) * (n_short * n_columns // n_rows) // n_columns
    label = (row[:, None] * (column.max() + 1) + column).ravel()
    weights = np.where(where, drawn.weights, 0).ravel()
    total = np.bincount(label, weights)
    sums = np.stack([np.bincount(label, weights * part.mean(axis=-1).ravel()) for part in cost])
    seen = total > 0
    return sums[:, seen] / total[seen], total[seen] / total.sum()


def pick(by_block_cost: np.ndarray, weight: np.ndarray, roughness: np.ndarray, standard_errors: float | None) -> int:
    """Return the setting of least cost, or the smoothest within so many standard errors of it."""
    cost = by_block_cost @ weight
    best = int(np.argmin(cost))
    if standard_errors is None:
        return best
    difference = by_block_cost - by_block_cost[best]
    mean = difference @ weight
    error = np.sqrt(((difference - mean[:, None]) ** 2) @ weight / max(len(weight) - 1, 1))
    near = np.flatnonzero(mean <= standard_errors * error)
    return int(near[np.argmin(roughness[near])])


def own_unless(by_block_cost: np.ndarray, weight: np.ndarray, standard_errors: float) -> int:
    """Return the estimator's own setting unless another is better by so many standard errors."""
    cost = by_block_cost @ weight
    best = int(np.argmin(cost))
    difference = by_block_cost[0] - by_block_cost[best]
    mean = difference @ weight
    error = np.sqrt((difference - mean) ** 2 @ weight / max(len(weight) - 1, 1))
    return best if mean > standard_errors * error else 0


def candidates(drawn: Drawn) -> dict[str, tuple[float, int]]:
    """Return the rank correlation and the pick of each score."""
    found = {"own setting": (np.nan, 0)}
    residuals = drawn.residuals.astype(np.float32)
    counted = drawn.weights > 0
    dark = drawn.level <= np.median(drawn.level[drawn.sky])
    places = {"sky": drawn.sky, "all": counted, "dark half": drawn.sky & dark}
    for name, cost in COSTS.items():
        for place, where in places.items():
            if place != "sky" and name == "absolute residual":
                continue
            costs, weight = by_block(drawn, cost(residuals).astype(float), where)
            rank = spearmanr(costs @ weight, drawn.left).statistic
            found[f"{name}, {place}"] = rank, pick(costs, weight, drawn.roughness, None)
            if place != "sky":
                continue
            for errors in (0.5, 1.0, 2.0):
                found[f"{name}, smoothest within {errors:g}"] = rank, pick(costs, weight, drawn.roughness, errors)
                found[f"{name}, own within {errors:g}"] = rank, own_unless(costs, weight, errors)
    weights = np.where(drawn.sky, drawn.weights, 0).astype(np.float32)
    for window in (3, 5):
        smooth = averaged(residuals, weights, window)
        for name in ("saturating", "saturating, objects 1/4", "loss of the fit"):
            costs, weight = by_block(drawn, COSTS[name](smooth).astype(float), drawn.sky)
            rank = spearmanr(costs @ weight, drawn.left).statistic
            found[f"{name}, averages of {window} x {window}"] = rank, pick(costs, weight, drawn.roughness, None)
    return found


def table(directory: Path) -> None:
    """Print the candidates, the least regret first."""
    rows: dict[str, list[tuple[str, float, float]]] = {}
    for path in sorted(directory.glob("*.npz")):
        with np.load(path) as arrays:
            drawn = Drawn(**arrays)
        least = drawn.left.min()
        for name, (rank, picked) in candidates(drawn).items():
            rows.setdefault(name, []).append((path.stem, rank, drawn.left[picked] / least))
    print(f"{len(next(iter(rows.values())))} frames")
    print("| score | rank | regret: median | 75 % | 90 % | worst | geometric mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in sorted(rows.items(), key=lambda item: np.mean(np.log([row[2] for row in item[1]]))):
        regret = np.array([row[2] for row in found])
        quantiles = " | ".join(f"{q:.2f}" for q in np.quantile(regret, [0.5, 0.75, 0.9, 1]))
        rank = np.mean([row[1] for row in found])
        print(f"| {name} | {rank:.2f} | {quantiles} | {np.exp(np.log(regret).mean()):.2f} |")


def main() -> None:
    """Draw settings, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--kinds", nargs="+", default=list(SKY_KINDS), choices=SKY_KINDS)
    drawing.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    drawing.add_argument("--rows", type=int, default=800)
    drawing.add_argument("--settings", type=int, default=100)
    drawing.add_argument("--jobs", type=int, default=1)
    drawing.add_argument("--directory", type=Path, default=Path("drawn"))
    commands.add_parser("table").add_argument("directory", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        table(given.directory)
        return
    given.directory.mkdir(parents=True, exist_ok=True)
    frames = [(kind, seed, given.directory / f"{kind}_{seed}.npz") for seed, kind in product(given.seeds, given.kinds)]
    Parallel(given.jobs, batch_size=1)(
        delayed(draw)(kind, seed, given.rows, given.settings, path) for kind, seed, path in frames if not path.exists()
    )


if __name__ == "__main__":
    main()
