"""Gradient left, bias and seconds on made frames with known truth, beside what else is installed: `make bench-quality`.

Every rival gets the frame, its mask (with the empty border) and its documented settings. What is not installed is
named as missing.
"""

import argparse
import json
from collections.abc import Callable
from time import perf_counter

import numpy as np
from rivals import Method, installed, photutils_background, seiza_background, sep_background

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.datasets import SKY_KINDS

_PUBLISHED = {
    "n_control_points": 32, "order": 2, "quantile": 0.95, "smoothing": 0.0, "init": "random", "solver": "adam",
    "loss_scale": 0.001, "mask_objects": False, "random_state": 0,
}  # fmt: skip


def ours(**parameters) -> Method:
    """Return our estimator as a method: image and mask to background."""

    def run(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return BackgroundSplineRegressor(**parameters).fit(image, mask=mask).predict(image)

    return run


_RIVALS: dict[str, Callable[[], Method]] = {
    "sep 64": lambda: sep_background(64),
    "sep 128": lambda: sep_background(128),
    "photutils 64": lambda: photutils_background(64, exclude_percentile=90),
    "seiza poly 2": lambda: seiza_background(degree=2),
    "seiza poly 4": lambda: seiza_background(degree=4),
    "seiza rbf": lambda: seiza_background(model="radial_basis", allow_radial_basis=True),
}


def methods(with_published: bool) -> dict[str, Method]:
    """Return what is to be compared, by name."""
    found = {"skbgopt": ours()}
    if with_published:
        found["published"] = ours(**_PUBLISHED)
    return found | installed(_RIVALS)


def measure(method: Method, frame, excluded: np.ndarray) -> dict[str, float]:
    """Return gradient left, bias in noise sigmas (of the worst channel), and seconds."""
    start = perf_counter()
    try:
        background = method(frame.image, excluded)
    except Exception as error:  # a rival that fails on a frame is reported, not fatal
        return {"left": float("nan"), "bias": float("nan"), "seconds": perf_counter() - start, "error": str(error)}
    seconds = perf_counter() - start
    error = np.atleast_3d(background.astype(float) - frame.background)[~excluded].mean(axis=0) / frame.noise
    return {
        "left": gradient_left(background, frame.background, excluded),
        "bias": float(error[np.abs(error).argmax()]),
        "seconds": seconds,
    }


def main() -> None:
    """Print a row a frame and the geometric means, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--published", action="store_true", help="the published defaults too (slow)")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    compared = methods(arguments.published)
    print(f"{'gradient left':14s}" + "".join(f"{name:>13s}" for name in compared))
    table = []
    for kind in SKY_KINDS:
        for seed in arguments.seeds:
            frame = make_sky_image(kind, (arguments.rows, arguments.rows * 3 // 2), random_state=seed)
            excluded = frame.mask | (np.atleast_3d(frame.image) == 0).any(axis=2)
            row = {name: measure(method, frame, excluded) for name, method in compared.items()}
            table.append({"kind": kind, "seed": seed, **row})
            cells = "".join(f"{row[name]['left']:13.4f}" for name in compared)
            print(f"{kind:11s}{seed:3d}" + cells + f"   bias {row['skbgopt']['bias']:+.2f}", flush=True)
    _summary(table, list(compared))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table, file, indent=1)


def _summary(table: list[dict], names: list[str]) -> None:
    left = np.array([[row[name]["left"] for name in names] for row in table])
    mean = np.exp(np.nanmean(np.log(left), axis=0))
    seconds = np.array([[row[name]["seconds"] for name in names] for row in table])
    print(f"{'geometric mean':14s}" + "".join(f"{m:13.4f}" for m in mean))
    print(f"{'seconds':14s}" + "".join(f"{s:13.2f}" for s in np.median(seconds, axis=0)))
    rivals = [k for k, name in enumerate(names) if name not in ("skbgopt", "published")]
    if not rivals:
        return
    ratio = left[:, names.index("skbgopt")] / np.nanmin(left[:, rivals], axis=1)
    print(
        f"over the best rival of each frame: geometric mean {np.exp(np.log(ratio).mean()):.2f}, worst {ratio.max():.2f}"
    )
    for kind in dict.fromkeys(row["kind"] for row in table):
        of_kind = [r for r, row in zip(ratio, table, strict=True) if row["kind"] == kind]
        print(f"  {kind:11s} {np.exp(np.mean(np.log(of_kind))):.2f}")


if __name__ == "__main__":
    main()
