"""Which score of held-out blocks ranks settings as the truth would: random settings of made frames.

python tests/benchmarks/study_search.py draw --seeds 0 1 2 --directory drawn
python tests/benchmarks/study_search.py table drawn
python tests/benchmarks/study_search.py verdict --seeds 20 21 22

`draw` fits each setting to a frame, whole and without each fold, and keeps its true error with the residuals of the
held-out blocks. `table` compares scores of those residuals: rank correlation with the true error, and the regret, the
error of the setting that a score picks over that of the best setting drawn. `verdict` runs whole searches on other
frames and compares what they leave with the default, the published defaults and the best of all settings tried.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
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
from skbgopt.cli._options import PRESETS
from skbgopt.datasets import SKY_KINDS
from skbgopt.diagnosis import without_warnings
from skbgopt.metrics import gradient_left
from skbgopt.model_selection import BackgroundSearchCV
from skbgopt.model_selection._held_out import Preparations, background_on_grid
from skbgopt.model_selection._objective import FIT_ERRORS, make_objective
from skbgopt.model_selection._own import OwnSetting
from skbgopt.model_selection._space import DEFAULT_SPACE
from skbgopt.model_selection._study import finished_trials
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
    truth = reduce_blocks(
        np.atleast_3d(frame.background.astype(np.float64)), held_out.reference.downscale_factor, "mean"
    )
    # Trials see some of the blocks of large frames.
    stride = -(-truth.shape[0] // grid.usable.shape[0])
    truth = truth[::stride, ::stride]
    rng = np.random.default_rng([seed, SKY_KINDS.index(kind)])
    own = OwnSetting.of(objective)
    settings = [own.point, own.published(objective.distributions)]
    settings += [random_setting(rng) for _ in range(n_settings)]
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


def fit_loss(sigmas: np.ndarray) -> np.ndarray:
    """Return the loss of the fit, of scale 2 and alpha 5, over the channels of each pixel."""
    return np.log(2 + (np.abs(sigmas) + 10 * np.maximum(-sigmas, 0)).mean(axis=-1, keepdims=True))


def saturating(scale: float, object_cost: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a cost from 0 to 1 of residuals in sigmas, so much less where the model lies below the image."""

    def cost(sigmas: np.ndarray) -> np.ndarray:
        return np.where(sigmas < 0, 1, object_cost) * -np.expm1(-0.5 * (sigmas / scale) ** 2)

    return cost


# Name, side of the windows that residuals are averaged over, cost of a residual in sigmas.
SCORES: list[tuple[str, int, Callable[[np.ndarray], np.ndarray]]] = [
    ("loss of the fit", 1, fit_loss),
    ("loss of the fit", 5, fit_loss),
    ("absolute residual", 1, np.abs),
    ("share beyond 3 sigma", 1, lambda sigmas: (np.abs(sigmas) > 3).astype(float)),
    *(
        (f"saturating at {scale:g}, objects {cost:g}", window, saturating(scale, cost))
        for scale, cost, window in product((2, 3, 4.5, 6), (0.05, 0.1, 0.25, 1), (1, 3, 5, 9))
    ),
]


def averaged(residuals: np.ndarray, weights: np.ndarray, window: int) -> np.ndarray:
    """Return averages over windows, in sigmas of such averages of independent noise."""
    share = uniform_filter(weights, window, mode="constant")[:, :, None]
    weighted = residuals * weights[:, :, None]
    total = np.stack([uniform_filter(part, (window, window, 1), mode="constant") for part in weighted])
    return total / np.maximum(share, 1e-9) * window


def picks(folds: np.ndarray, roughness: np.ndarray) -> dict[str, int]:
    """Return the setting that each rule takes; its costs are of shape (n_settings, n_folds), the own setting first."""
    cost = folds.mean(axis=1)
    best = int(np.argmin(cost))
    difference = folds - folds[best]
    error = difference.std(axis=1, ddof=1) / folds.shape[1] ** 0.5
    near = np.flatnonzero(difference.mean(axis=1) <= error)

    def best_below(share: float) -> int:
        better = (folds < share * folds[0]).all(axis=1)
        return int(np.argmin(np.where(better, cost, np.inf))) if better.any() else 0

    return {
        "best": best,
        "smoothest within 1 s.e.": int(near[np.argmin(roughness[near])]),
        "own, unless best is better in every fold": best if (folds[best] < folds[0]).all() else 0,
        "best of those better than own in every fold": best_below(1),
        "best of those better by a tenth in every fold": best_below(0.9),
    }


def candidates(drawn: Drawn) -> Iterator[tuple[str, float, int]]:
    """Yield name, rank correlation with the true error, and pick of each score and rule."""
    yield "own setting", np.nan, 0
    dark = drawn.sky & (drawn.level <= np.median(drawn.level[drawn.sky]))
    for place, where in {"sky": drawn.sky, "all": drawn.weights > 0, "darker half": dark}.items():
        weights = np.where(where, drawn.weights, 0).astype(np.float32)
        parts = [np.where(drawn.fold == fold, weights, 0) for fold in np.unique(drawn.fold)]
        for name, window, cost in SCORES:
            residuals = averaged(drawn.residuals.astype(np.float32), weights, window)
            costs = cost(residuals).mean(axis=-1)
            folds = np.stack([np.tensordot(costs, part, 2) / part.sum() for part in parts], axis=1)
            rank = spearmanr(folds.mean(axis=1), drawn.left).statistic
            for rule, picked in picks(folds, drawn.roughness).items():
                yield f"{name} | {window} x {window} | {place} | {rule}", rank, picked


def table(directory: Path, n_rows: int) -> None:
    """Print the candidates of least regret."""
    rows: dict[str, list[tuple[float, float]]] = {}
    paths = sorted(directory.glob("*.npz"))
    for path in paths:
        with np.load(path) as arrays:
            drawn = Drawn(**arrays)
        for name, rank, picked in candidates(drawn):
            rows.setdefault(name, []).append((rank, drawn.left[picked] / drawn.left.min()))
    print(f"{len(paths)} frames: {' '.join(path.stem for path in paths)}")
    print("| score | averages | judged | rule | rank | regret: median | 75 % | worst | geometric mean |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, found in sorted(rows.items(), key=lambda item: np.mean(np.log([row[1] for row in item[1]])))[:n_rows]:
        rank, regret = np.array(found).T
        quantiles = " | ".join(f"{q:.2f}" for q in np.quantile(regret, [0.5, 0.75, 1]))
        name = name if "|" in name else f"{name} | | |"
        print(f"| {name} | {rank.mean():.2f} | {quantiles} | {np.exp(np.log(regret).mean()):.2f} |")


def judge_search(kind: str, seed: int, rows: int, n_random: int) -> dict[str, float]:
    """Return the gradient left on a frame by the default, the tuned, the published and the best setting known."""
    frame = make_sky_image(kind, shape=(rows, rows * 3 // 2), random_state=seed)
    search = BackgroundSearchCV(random_state=seed).fit(frame.image, mask=frame.mask)
    rng = np.random.default_rng([seed, SKY_KINDS.index(kind)])
    tried = [trial.params for trial in finished_trials(search.study_)] + [random_setting(rng) for _ in range(n_random)]

    preparations = Preparations(frame.image, frame.mask, None)
    grid = preparations.prepare(BackgroundSplineRegressor())
    truth = reduce_blocks(np.atleast_3d(frame.background.astype(np.float64)), 8, "mean")

    @without_warnings()
    def left(**setting) -> float:
        estimator = BackgroundSplineRegressor(**setting)
        try:
            estimator.fit_prepared(preparations.prepare(estimator))
        except FIT_ERRORS:
            return float("inf")
        return gradient_left(background_on_grid(estimator, grid), truth, ~grid.usable)

    return {
        "auto": left(),
        "tuned": left(**search.best_params_),
        "published": left(**PRESETS["bgoptimizer"], random_state=seed),
        "best": min(left(**setting) for setting in tried),
    }


def verdict(kinds: list[str], seeds: list[int], rows: int, n_random: int, n_jobs: int, path: Path) -> None:
    """Judge searches on frames, one line of JSON each, and print what they come to."""
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(each["kind"], each["seed"]) for each in done}
    missing = [(kind, seed) for seed, kind in product(seeds, kinds) if (kind, seed) not in known]
    results = Parallel(n_jobs, batch_size=1, return_as="generator")(
        delayed(judge_search)(kind, seed, rows, n_random) for kind, seed in missing
    )
    with path.open("a") as lines:
        for (kind, seed), found in zip(missing, results, strict=True):
            done.append({"kind": kind, "seed": seed, **found})
            print(json.dumps(done[-1]), file=lines, flush=True)
    print("| kind | frames | auto | tuned | published | best | tuned / auto | regret of the search | of auto |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in (*kinds, "all"):
        chosen = [each for each in done if kind in (each["kind"], "all")]
        left = {name: np.array([each[name] for each in chosen]) for name in ("auto", "tuned", "published", "best")}
        means = " | ".join(f"{np.exp(np.log(values).mean()):.4f}" for values in left.values())
        ratio = np.exp(np.log(left["tuned"] / left["auto"]).mean())
        regrets = [
            f"{np.median(regret):.2f} median, {regret.max():.2f} worst"
            for regret in (left["tuned"] / left["best"], left["auto"] / left["best"])
        ]
        print(f"| {kind} | {len(chosen)} | {means} | {ratio:.2f} | {' | '.join(regrets)} |")


def main() -> None:
    """Draw settings, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--settings", type=int, default=100)
    drawing.add_argument("--directory", type=Path, default=Path("drawn"))
    judging = commands.add_parser("verdict", help="run whole searches, and judge them by truth")
    judging.add_argument("--random", type=int, default=60, help="settings at random that the best is taken from too")
    judging.add_argument("--file", type=Path, default=Path("verdict.jsonl"))
    for each in (drawing, judging):
        each.add_argument("--kinds", nargs="+", default=list(SKY_KINDS), choices=SKY_KINDS)
        each.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
        each.add_argument("--rows", type=int, default=800)
        each.add_argument("--jobs", type=int, default=1)
    printing = commands.add_parser("table")
    printing.add_argument("directory", type=Path)
    printing.add_argument("--first", type=int, default=40, help="rows of the table")
    given = parser.parse_args()
    if given.command == "table":
        table(given.directory, given.first)
        return
    if given.command == "verdict":
        verdict(given.kinds, given.seeds, given.rows, given.random, given.jobs, given.file)
        return
    given.directory.mkdir(parents=True, exist_ok=True)
    frames = [(kind, seed, given.directory / f"{kind}_{seed}.npz") for seed, kind in product(given.seeds, given.kinds)]
    Parallel(given.jobs, batch_size=1)(
        delayed(draw)(kind, seed, given.rows, given.settings, path) for kind, seed, path in frames if not path.exists()
    )


if __name__ == "__main__":
    main()
