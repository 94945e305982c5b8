"""Losses and seconds of the two solvers, in one run: `make bench-solvers`.

On every kind of made frame: the same control points to begin with, the same loss (the published one, eps = 0.001 of
the stretched range), no smoothing, no object masks. Adam for 2000 epochs against majorise-minimise on fixed control
points and with moved ones.
"""

import argparse
import json
from time import perf_counter

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.datasets import SKY_KINDS

_SETTINGS = {"order": 2, "loss_scale": 0.001, "smoothing": 0.0, "mask_objects": False}


def compare(kind: str, rows: int, n_control_points: int, epochs: int, seed: int) -> dict:
    """Fit one frame three ways; return losses, seconds and steps."""
    frame = make_sky_image(kind, (rows, rows * 3 // 2), random_state=seed)
    settings = {**_SETTINGS, "n_control_points": n_control_points}
    ways = {
        "adam": BackgroundSplineRegressor(solver="adam", max_iter=epochs, **settings),
        "mm": BackgroundSplineRegressor(**settings),
        "mm, moved points": BackgroundSplineRegressor(move_control_points=True, **settings),
    }
    prepared = ways["mm"].prepare(frame.image, mask=frame.mask)
    ways["mm"].fit_prepared(prepared)  # the first use of torch's linear algebra is slower
    row = {"kind": kind}
    for name, estimator in ways.items():
        seconds = []
        # Fractions of a second are at the mercy of what else the machine does: the fastest of five counts.
        for _ in range(1 if name == "adam" else 5):
            start = perf_counter()
            estimator.fit_prepared(prepared)
            seconds.append(perf_counter() - start)
        row[name] = {
            "loss": estimator.loss_,
            "seconds": min(seconds),
            "steps": estimator.n_iter_,
        }
    return row


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--control-points", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(SKY_KINDS))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    header = ["kind", "adam", "s", "mm", "s", "adam/mm", "mm moved", "s", "adam/mm"]
    print(f"{header[0]:10s}" + "".join(f"{name:>10s}" for name in header[1:]))
    table = []
    for kind in arguments.kinds:
        row = compare(kind, arguments.rows, arguments.control_points, arguments.epochs, arguments.seed)
        table.append(row)
        adam, plain, moved = row["adam"], row["mm"], row["mm, moved points"]
        cells = [adam["loss"], adam["seconds"]]
        for way in (plain, moved):
            cells += [way["loss"], way["seconds"], adam["seconds"] / way["seconds"]]
        places = (4, 2, 4, 2, 0, 4, 2, 0)
        print(f"{kind:10s}" + "".join(f"{c:10.{p}f}" for c, p in zip(cells, places, strict=True)), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
