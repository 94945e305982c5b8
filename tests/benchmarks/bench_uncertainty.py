"""How often the standard error covers the true error of made frames: `make bench-uncertainty`.

Kinds with their extended light removed (stars, noise and gradient stay), and three as they are: "milky_way",
"landscape" and "galaxy", the last with its halo masked. For each kind the mean over seeds and channels of

- covered: share of the usable pixels with |model - truth| within the standard error; 0.68 for normal errors;
- shape: the same for the error less its median, and the standard error less that of the level;
- ratio: root mean square of the error over that of the standard error, of the shape, geometric mean;
- level: root mean square over frames of the median error in its standard errors; and that error in sigmas of the
  noise of a pixel, mean and scatter.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import numpy as np
from scipy.ndimage import gaussian_filter

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.datasets import SKY_KINDS
from skbgopt.datasets._kinds import KINDS

# Light of extended objects, in sigmas of the noise of a pixel, that a mask of the galaxy leaves.
_FAINTEST_MASKED = 0.05
_AS_THEY_ARE = ("milky_way", "landscape", "galaxy")


def bare_frame(kind: str, shape: tuple[int, int], seed: int):
    """Return a frame with the stars of a kind and without its extended light."""
    known = KINDS[kind]

    def without_layers(rng, canvas):
        return known.extended(rng, canvas)._replace(layers=[])

    with mock.patch.dict(KINDS, {kind: replace(known, extended=without_layers)}):
        return make_sky_image(kind, shape, random_state=seed)


def masked_frame(kind: str, shape: tuple[int, int], seed: int):
    """Return a frame as it is, the halo of a galaxy added to its mask."""
    frame = make_sky_image(kind, shape, random_state=seed)
    if kind == "galaxy":
        # The same stars are in both.
        extended = (frame.objects - bare_frame(kind, shape, seed).objects).mean(axis=2)
        frame.mask |= gaussian_filter(extended, 4) > _FAINTEST_MASKED * frame.noise.mean()
    return frame


def frames(kinds: list[str], shape: tuple[int, int], seeds: list[int]) -> Iterator[tuple[str, int, object]]:
    """Yield the name, the seed and the frame of each that is measured."""
    for name in kinds:
        make = masked_frame if name.endswith("+") else bare_frame
        for seed in seeds:
            yield name, seed, make(name.rstrip("+"), shape, seed)


def measure(frame, **parameters) -> dict[str, list[float]]:
    """Return the measures of each channel of a frame."""
    model = BackgroundSplineRegressor(**parameters).fit(frame.image, mask=frame.mask)
    usable = ~frame.mask & (np.atleast_3d(frame.image) != 0).all(axis=2)
    background, std = (
        np.atleast_3d(part.astype(float))[usable] for part in model.predict(frame.image, return_std=True)
    )
    error = background - np.atleast_3d(frame.background)[usable]
    level = np.median(error, axis=0)
    shape_std = np.sqrt(np.maximum(std**2 - model.level_std_**2, 0))
    return {
        "covered": (np.abs(error) <= std).mean(axis=0).tolist(),
        "shape": (np.abs(error - level) <= shape_std).mean(axis=0).tolist(),
        "ratio": np.sqrt(((error - level) ** 2).mean(axis=0) / (shape_std**2).mean(axis=0)).tolist(),
        "level": (level / model.level_std_).tolist(),
        "bias": (level / frame.noise).tolist(),
        "std": (np.median(std, axis=0) / frame.noise).tolist(),
    }


def main() -> None:
    """Print a row a kind, and write every frame to JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23])
    parser.add_argument("--kinds", nargs="+", default=[*SKY_KINDS, *(f"{kind}+" for kind in _AS_THEY_ARE)])
    parser.add_argument("--json")
    arguments = parser.parse_args()
    table: list[dict] = []
    for name, seed, frame in frames(arguments.kinds, (arguments.rows, arguments.rows * 3 // 2), arguments.seeds):
        table.append({"kind": name, "seed": seed, **measure(frame)})
        if seed == arguments.seeds[-1]:
            _print([row for row in table if row["kind"] == name], first=len(table) == len(arguments.seeds))
    bare = [row for row in table if not row["kind"].endswith("+")]
    for key in ("covered", "shape"):
        by_kind = [np.mean([np.mean(row[key]) for row in bare if row["kind"] == kind]) for kind in SKY_KINDS]
        print(f"{key}, mean over the kinds without extended light: {np.nanmean(by_kind):.2f}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table, file, indent=1)


def _print(rows: list[dict], first: bool) -> None:
    if first:
        print("| kind | covered | shape | ratio | level | bias, mean | bias, scatter | std |\n|---|" + "---:|" * 7)
    values = {key: np.concatenate([row[key] for row in rows]) for key in rows[0] if key not in ("kind", "seed")}
    cells = (
        values["covered"].mean(), values["shape"].mean(), np.exp(np.log(values["ratio"]).mean()),
        np.sqrt((values["level"] ** 2).mean()), values["bias"].mean(), values["bias"].std(), values["std"].mean(),
    )  # fmt: skip
    print(f"| {rows[0]['kind']} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
