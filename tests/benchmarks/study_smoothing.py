"""Which rule chooses the smoothing as the truth would: the path of made frames and of real skies with known gradients.

python tests/benchmarks/study_smoothing.py draw --kinds ha ngc7023 --seeds 0 1 --directory paths
python tests/benchmarks/study_smoothing.py table paths

`draw` keeps what each smoothing of the path leaves of a frame's gradient, and the residuals of the blocks that are held
out. `table` compares rules: the regret, what the smoothing that a rule chooses leaves over what the best of the path
leaves.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
from joblib import Parallel, delayed
from quality_frames import REAL_SKIES, STRENGTHS, FrameSpec, frame_specs

from skbgopt import BackgroundSplineRegressor, gradient_left, stages
from skbgopt.datasets import SKY_KINDS
from skbgopt.diagnosis import without_warnings
from skbgopt.folds import block_labels, diagonal_folds
from skbgopt.smoothing import _LEAST_COST, SMOOTHING_PATH, choose_smoothing, held_out_blocks, held_out_residuals

# Blocks along the shorter axis.
BLOCKS = (3, 4, 5)
# What rules are made from: blocks, width of the cost, cost of an object, price of ten times as much freedom.
CUTS = ((3,), (4,), (5,), (4, 5), (3, 4, 5))
WIDTHS = (1.5, 2.0, 3.0)
OBJECT_COSTS = (0.1, 0.15, 0.2, 0.3, 1.0)
PRICES = (0.0, 0.01, 0.0125, 0.015, 0.02, 0.03)
# Of the cost of what goes astray in the sky: blocks, width, and what it counts for; and its cost of what lies above.
ASTRAY_CUTS = (3, 4)
ASTRAY_WIDTHS = (5.0, 10.0, 20.0, 40.0)
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2)
ASTRAY_ABOVE = 0.5
# Residuals beyond are kept as this many sigmas.
_MOST_SIGMAS = 200.0


def draw(spec: FrameSpec, path: Path) -> None:
    """Keep what each smoothing leaves of a frame's gradient, and its held-out residuals."""
    sky = spec.make()
    prepared = BackgroundSplineRegressor().prepare(sky.image, mask=sky.excluded)
    kept: dict[str, np.ndarray] = {}

    shape = prepared.usable.shape

    def numbers(shape: tuple[int, int]) -> list[tuple[np.ndarray, list]]:
        """Stand for `held_out_blocks`: each pixel is its own block."""
        return [(np.arange(np.prod(shape)).reshape(shape), [])]

    def keep(smoothings, problems, solutions, weights, sky, cuts, loss, curve, each):
        ((pixels, _),) = cuts
        kept["weights"], kept["sky"] = weights.sum(dim=1).numpy(), sky
        for blocks_short in BLOCKS:
            labels, blocks = block_labels(*shape, blocks_short)
            labels = labels.ravel()[pixels]
            for k, folds in enumerate(diagonal_folds(blocks)):
                residuals = held_out_residuals(problems, solutions, labels, folds, loss, curve, each)
                clipped = np.clip(residuals, -_MOST_SIGMAS, _MOST_SIGMAS).astype(np.float16)
                kept[f"residuals {blocks_short} {k}"] = clipped
        cuts = [(labels.ravel()[pixels], folds) for labels, folds in held_out_blocks(shape)]
        return choose_smoothing(smoothings, problems, solutions, weights, sky, cuts, loss, curve, each)

    left = []
    with without_warnings():
        with patch.object(stages, "held_out_blocks", numbers), patch.object(stages, "choose_smoothing", keep):
            BackgroundSplineRegressor().fit_prepared(prepared)
        for number in SMOOTHING_PATH:
            model = BackgroundSplineRegressor(smoothing=number).fit_prepared(prepared)
            left.append(gradient_left(model.predict(sky.image), sky.truth, sky.excluded))
    np.savez_compressed(path, left=left, **kept)


def mean_costs(path: Path) -> tuple[np.ndarray, dict[tuple, np.ndarray]]:
    """Return what each smoothing leaves, and the mean cost of each by blocks, width and cost of an object.

    And what lies astray in the sky, by blocks and width.
    """
    costs = {}
    with np.load(path) as kept:
        weights = kept["weights"].astype(float)
        of_sky = weights * kept["sky"]
        for blocks in BLOCKS:
            residuals = np.stack([kept[f"residuals {blocks} {k}"] for k in (0, 1)]).astype(np.float32)
            for width, object_cost in product(WIDTHS, OBJECT_COSTS):
                cost = np.where(residuals < 0, 1, object_cost) * -np.expm1(-0.5 * (residuals / width) ** 2)
                costs[blocks, width, object_cost] = np.average(cost.mean(axis=(0, 3)), axis=1, weights=weights)
            for width in ASTRAY_WIDTHS:
                cost = np.where(residuals < 0, 1, ASTRAY_ABOVE) * -np.expm1(-0.5 * (residuals / width) ** 2)
                costs[blocks, width] = cost.mean(axis=(0, 3)) @ of_sky / max(of_sky.sum(), 1)
        return kept["left"], costs


def table(directory: Path, n_rows: int) -> None:
    """Print the rules of least regret, each kind of frame with the same say."""
    paths = sorted(directory.glob("*.npz"))
    frames = [mean_costs(path) for path in paths]
    kinds = np.array([path.stem.split()[0] for path in paths])
    left = np.array([frame[0] for frame in frames])
    costs = {name: np.array([frame[1][name] for frame in frames]) + _LEAST_COST for name in frames[0][1]}
    decades = np.log10(SMOOTHING_PATH[0] / np.array(SMOOTHING_PATH))
    rows = []
    for rule in product(CUTS, WIDTHS, OBJECT_COSTS, PRICES, ASTRAY_CUTS, ASTRAY_WIDTHS, SHARES):
        cut, width, object_cost, price, astray_blocks, astray_width, share = rule
        if share == 0 and (astray_blocks, astray_width) != (ASTRAY_CUTS[0], ASTRAY_WIDTHS[0]):
            continue
        met = np.log(np.mean([costs[blocks, width, object_cost] for blocks in cut], axis=0))
        astray = share * np.log(costs[astray_blocks, astray_width])
        picked = np.argmin(met + astray + price * decades, axis=1)
        regret = left[np.arange(len(left)), picked] / left.min(axis=1)
        by_kind = np.array([np.exp(np.log(regret[kinds == kind]).mean()) for kind in np.unique(kinds)])
        rows.append((float(np.exp(np.log(by_kind).mean())), rule, regret, by_kind))
    print(f"{len(paths)} frames")
    quantiles = ("median", "75 %", "90 %", "worst")
    names = ("blocks", "width", "object", "price", "astray", "its width", "its share", "mean", *quantiles)
    print("|", " | ".join((*names, *np.unique(kinds))), "|")
    print("| --- " * (len(names) + len(np.unique(kinds))), end="|\n")
    for mean, rule, regret, by_kind in sorted(rows, key=lambda row: row[0])[:n_rows]:
        numbers = [mean, *np.quantile(regret, [0.5, 0.75, 0.9, 1]), *by_kind]
        names = [str(part).strip("(,)") for part in rule]
        print("|", " | ".join([*names, *(f"{number:.2f}" for number in numbers)]), "|")


def main() -> None:
    """Draw paths, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--kinds", nargs="+", default=[*SKY_KINDS, *REAL_SKIES], choices=[*SKY_KINDS, *REAL_SKIES])
    drawing.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    drawing.add_argument("--rows", type=int, default=800)
    drawing.add_argument("--jobs", type=int, default=1)
    drawing.add_argument("--directory", type=Path, default=Path("paths"))
    printing = commands.add_parser("table")
    printing.add_argument("directory", type=Path)
    printing.add_argument("--first", type=int, default=40, help="rows of the table")
    given = parser.parse_args()
    if given.command == "table":
        table(given.directory, given.first)
        return
    given.directory.mkdir(parents=True, exist_ok=True)
    specs = [
        (spec, given.directory / f"{spec.name} {seed} {given.rows}.npz")
        for seed in given.seeds
        for spec in frame_specs(given.kinds, given.rows, [seed], STRENGTHS)
    ]
    Parallel(given.jobs, batch_size=1)(delayed(draw)(spec, path) for spec, path in specs if not path.exists())


if __name__ == "__main__":
    main()
