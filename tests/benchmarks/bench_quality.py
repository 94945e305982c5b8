"""How well the sky of made and real frames with known truth is found, by ours and what else is installed.

`make bench-quality`. Every rival gets the frame, its mask (with what is missing in it) and its documented settings.
What is not installed is named. The measures are those of quality_measures.py, the frames those of quality_frames.py.
With --cache, rows of the rivals and of the published defaults are kept and only ours is run again; the cache knows the
pixels of the frame, the version and settings of the method, and the measures, but not our own code, which the
published defaults use: delete its directory when that has changed.
"""

import argparse
import ast
import hashlib
import json
import os
import sys
from pathlib import Path
from time import perf_counter

import quality_measures
from joblib import Parallel, delayed, parallel_config
from quality_frames import REAL_SKIES, STRENGTHS, FrameSpec, fingerprint, frame_specs, missing_skies
from quality_measures import KnownSky, measure
from quality_methods import METHODS, RIVALS, NamedMethod, find_methods
from quality_summary import print_summary, summarise

from skbgopt.datasets import SKY_KINDS

_KINDS = (*SKY_KINDS, *REAL_SKIES)
_COLUMNS = {
    "left": "left",
    "bias": "bias",
    "sky_bias": "of sky",
    "eaten": "eaten",
    "worst_local": "local",
    "seconds": "s",
}


def run_method(method: NamedMethod, sky: KnownSky) -> dict:
    """Return the measures of a method on a frame, and its seconds; of one that fails, its error."""
    start = perf_counter()
    try:
        model = method.make()(sky.image, sky.excluded)
        seconds = perf_counter() - start
        return {**measure(model, sky), "seconds": seconds}
    except Exception as error:  # a rival that fails on a frame is reported, not fatal
        return {"error": f"{type(error).__name__}: {error}", "seconds": perf_counter() - start}


def run_frame(spec: FrameSpec, methods: list[NamedMethod], cache: Path | None) -> dict:
    """Return the record of a frame: every method's measures, those of others than ours from the cache if there."""
    sky = spec.make()
    pixels = fingerprint(sky)
    measured = {method.name: _cached(method, sky, pixels, cache) for method in methods}
    return {**spec.record(), "methods": measured}


def _cached(method: NamedMethod, sky: KnownSky, pixels: str, cache: Path | None) -> dict:
    if cache is None or method.key is None:
        return run_method(method, sky)
    measures = hashlib.sha256(Path(quality_measures.__file__).read_bytes()).hexdigest()
    key = hashlib.sha256(f"{pixels} {method.key} {measures}".encode()).hexdigest()[:24]
    path = cache / f"{key}.json"
    if path.exists():
        return json.loads(path.read_text())
    record = run_method(method, sky)
    if "error" in record:
        return record
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(record))
    scratch.replace(path)
    return record


def print_row(record: dict) -> None:
    """Print a line for each method of a frame, and a mark at the best rival."""
    lefts = {name: row.get("left", float("inf")) for name, row in record["methods"].items()}
    best = min((name for name in lefts if name in RIVALS), key=lambda name: lefts[name], default=None)
    for name, row in record["methods"].items():
        values = (row.get(key) for key in _COLUMNS)
        cells = "".join(f"{'-' if value is None else format(value, '.4f'):>11s}" for value in values)
        mark = " *" if name == best else ""
        print(f"{record['frame']:24s}{name:16s}{cells}{mark} {row.get('error', '')}".rstrip(), flush=True)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1200, help="height of the made frames")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--kinds", nargs="+", default=list(_KINDS), choices=_KINDS, metavar="KIND")
    parser.add_argument("--strengths", type=float, nargs="+", default=list(STRENGTHS), help="of what real skies get")
    parser.add_argument(
        "--methods", nargs="+", default=["default", "rivals"], choices=[*METHODS, "rivals"], metavar="METHOD",
        help=f"of {', '.join(METHODS)}, or rivals for all of those",
    )  # fmt: skip
    parser.add_argument("--tuned", action="store_true", help="our search of 60 trials too")
    parser.add_argument("--published", action="store_true", help="the published defaults too (slow)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="parameters of ours")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--cache", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    wanted = arguments.methods + ["tuned"] * arguments.tuned + ["published"] * arguments.published
    arguments.methods = [name for name in METHODS if name in wanted or (name in RIVALS and "rivals" in wanted)]
    arguments.set = dict(_parameter(text) for text in arguments.set)
    return arguments


def _parameter(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main(argv: list[str] | None = None) -> None:
    """Print the rows and the summary, and write JSON if asked to."""
    options = parse_arguments(argv)
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # that of seiza, which joblib does not know
    methods, missing = find_methods(options.methods, options.set)
    for name, reason in missing.items():
        print(f"missing: {name} ({reason})")
    for kind in missing_skies(options.kinds):
        print(f"missing: {REAL_SKIES[kind]} in ../shared/data")
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    specs = frame_specs(options.kinds, options.rows, options.seeds, options.strengths)
    print(f"{'frame':24s}{'method':16s}" + "".join(f"{header:>11s}" for header in _COLUMNS.values()))
    table = []
    with parallel_config("loky", inner_max_num_threads=1):
        rows = Parallel(options.jobs, return_as="generator")(
            delayed(run_frame)(spec, methods, options.cache) for spec in specs
        )
        for record in rows:
            print_row(record)
            table.append(record)
            print(f"{len(table)} of {len(specs)} frames", file=sys.stderr, flush=True)
    summary = summarise(table)
    print_summary(summary)
    if options.json:
        settings = {"methods": options.methods, "missing": missing, "set": options.set}
        options.json.write_text(json.dumps({**settings, "summary": summary, "frames": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
