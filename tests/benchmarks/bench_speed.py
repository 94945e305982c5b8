"""Seconds, copies of the frame, and memory from array to subtracted array, in one run: `make bench`.

A copy is `np.copyto` of the same frame into memory already in use, measured in the same run. Every time is the
best of `--repeats` runs, fewer where one takes long. Frames are float32 galaxies with an empty border. "fixed" is
smoothing=1e-4, "auto" the default. Memory is that of a fresh process, which has fitted a small frame before.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import rivals
import torch
from measuring import (
    MIB,
    Frames,
    Table,
    best_of,
    clocked,
    copy_seconds,
    describe_frame,
    exponent,
    peak_over_start,
    run_measured,
)

import skbgopt
from skbgopt import BackgroundSplineRegressor, make_sky_image, write_image
from skbgopt.each_image import EachImage

_SMOOTHING = {"fixed": 1e-4, "auto": "auto"}
# The functions that do the work of `prepare`.
_PREPARATION = {
    "missing values": ["masks:PixelSelection.window"],
    "noise": ["noise:sky_noise"],
    "stretch statistics": ["stretch:MidtonesCurve.from_samples"],
    "block reduction": ["reduction:reduce_blocks", "reduction:block_fractions"],
}
_RIVALS = {
    "sep 64": lambda: rivals.sep_background(64),
    "seiza polynomial": lambda: rivals.seiza_background(),
    "seiza rbf": lambda: rivals.seiza_background(model="radial_basis", allow_radial_basis=True),
    "photutils 64": lambda: rivals.photutils_background(64, estimator="MedianBackground"),
    "GraXpert rbf": rivals.graxpert_rbf,
}
_PROGRAMS = {
    "source-extractor (whole process)": rivals.source_extractor_seconds,
    "siril rbf (less load and save)": rivals.siril_rbf_seconds,
}
_SLOW = {"seiza rbf", "photutils 64", "GraXpert rbf", "siril rbf (less load and save)"}
# The parts that use one size take the one nearest to this.
_SCALED_MEGAPIXELS = 20


@dataclass(frozen=True)
class Bench:
    """What every part gets: the options, the frames, and the results so far by part."""

    options: argparse.Namespace
    frames: Frames
    results: dict

    @property
    def scaled(self) -> float:
        """Size of the parts that use one size."""
        return min(self.options.sizes, key=lambda size: abs(np.log(size / _SCALED_MEGAPIXELS)))


def size_of(megapixels: float, image: np.ndarray) -> dict:
    """Return the keys that begin every record of a frame."""
    return {"megapixels": megapixels, "channels": np.atleast_3d(image).shape[2], "mib": image.nbytes / MIB}


def models(**parameters) -> dict[str, BackgroundSplineRegressor]:
    """Return the estimators measured, by the name of their smoothing."""
    return {name: BackgroundSplineRegressor(smoothing=value, **parameters) for name, value in _SMOOTHING.items()}


def whole_seconds(image: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds from array to subtracted array."""
    return {
        f"fit + transform, {name}": best_of(lambda model=model: model.fit_transform(image), repeats)
        for name, model in models().items()
    }


def stage_seconds(image: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds of each public step and of the whole."""
    fixed, auto = models().values()
    prepared = fixed.prepare(image)
    fixed.fit_prepared(prepared)  # the first use of torch's linear algebra is slower
    steps = {
        "prepare": lambda: fixed.prepare(image),
        "fit, fixed": lambda: fixed.fit_prepared(prepared),
        "fit, auto": lambda: auto.fit_prepared(prepared),
        "full-size model (predict)": lambda: fixed.predict(image),
        "transform": lambda: fixed.transform(image),
    }
    seconds = {name: best_of(step, repeats) for name, step in steps.items()}
    seconds["- transform less predict"] = seconds["transform"] - seconds["full-size model (predict)"]
    return seconds | whole_seconds(image, repeats)


def preparation_seconds(image: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds of the work inside `prepare`, on one thread; those of the fastest of several runs."""
    runs, n_threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(repeats):
        with clocked(_PREPARATION) as seconds:
            total = best_of(lambda: BackgroundSplineRegressor().prepare(image), 1)
        rest = {"rest": total - sum(seconds.values())}
        runs.append({"prepare, one thread": total} | {f"- {name}": s for name, s in (seconds | rest).items()})
    torch.set_num_threads(n_threads)
    return min(runs, key=lambda run: run["prepare, one thread"])


def bench_stages(bench: Bench) -> list[dict]:
    """Time every step on every frame, and measure memory."""
    records, repeats = [], bench.options.repeats
    for megapixels in bench.options.sizes:
        for n_channels in (1, 3):
            image = bench.frames.load(megapixels, n_channels)
            size, copy = size_of(megapixels, image), copy_seconds(image, repeats)
            seconds = preparation_seconds(image, repeats) | stage_seconds(image, repeats)
            seconds["frame.copy()"] = copy["frame.copy()"]
            del image  # the process that measures memory has its own
            title = f"{describe_frame(size)}: a copy takes {1e3 * copy['copyto']:.3g} ms"
            table = Table(title, "stage", "s", "copies")
            for name, value in seconds.items():
                table.row(name, value, value / copy["copyto"])
            memory = _child("memory", bench.frames.path(megapixels, n_channels))
            records.append({**size, "copyto": copy["copyto"], "seconds": seconds, "memory": memory})
    _summary(records)
    return records


def _summary(records: list[dict]) -> None:
    headers = ["fixed, s", "copies", "auto, s", "copies", "fit alone, s", "fit, x image", "transform, MiB + output"]
    table = Table("Array in, subtracted array out, and peak memory on top of the frame", "frame", *headers)
    for record in records:
        seconds, memory = record["seconds"], record["memory"]
        wholes = [seconds[f"fit + transform, {name}"] for name in _SMOOTHING]
        cells = [value for whole in wholes for value in (whole, whole / record["copyto"])]
        fit = [seconds["fit, fixed"], memory["fit_mib"] / record["mib"]]
        table.row(describe_frame(record), *cells, *fit, memory["transform_mib_over_output"])


def bench_scaling(bench: Bench) -> dict:
    """Time against pixels, control points and channels."""
    return {
        "pixels": _scale_pixels(bench),
        "n_control_points": _scale_points(bench),
        "channels": _scale_channels(bench),
    }


def _scale_pixels(bench: Bench) -> list[dict]:
    measured = {(r["megapixels"], r["channels"]): r["seconds"] for r in bench.results.get("stages", [])}
    sizes = sorted(bench.options.sizes)
    headers = [f"{low:g} to {high:g} Mpx" for low, high in pairwise(sizes)]
    table = Table("Exponent of the time's growth with pixels", "fit + transform", *headers, "overall")
    records = []
    for n_channels in (1, 3):
        for size in sizes:
            if (size, n_channels) not in measured:
                image = bench.frames.load(size, n_channels)
                measured[size, n_channels] = whole_seconds(image, bench.options.repeats)
        for name in _SMOOTHING:
            seconds = [measured[size, n_channels][f"fit + transform, {name}"] for size in sizes]
            slopes = [exponent(*pair) for pair in zip(pairwise(sizes), pairwise(seconds), strict=True)]
            overall = exponent(sizes, seconds)
            table.row(f"{'mono' if n_channels == 1 else 'RGB'}, {name}", *slopes, overall)
            record = {"channels": n_channels, "smoothing": name, "megapixels": sizes, "seconds": seconds}
            records.append({**record, "exponents": slopes, "overall": overall})
    return records


def _scale_points(bench: Bench) -> dict:
    prepared = BackgroundSplineRegressor().prepare(bench.frames.load(bench.scaled, 3))
    table = Table(f"Seconds of the fit of {bench.scaled:g} Mpx RGB, prepared", "control points", *_SMOOTHING)
    seconds: dict[str, dict[int, float]] = {name: {} for name in _SMOOTHING}
    for n in bench.options.control_points:
        for name, model in models(n_control_points=n).items():
            if name == "fixed" or n <= bench.options.most_points_auto:
                seconds[name][n] = best_of(lambda model=model: model.fit_prepared(prepared), bench.options.repeats)
        table.row(str(n), *(found.get(n) for found in seconds.values()))
    exponents = {}
    for name, found in seconds.items():
        inside = {n: value for n, value in found.items() if 32 <= n <= 256}
        exponents[name] = exponent([*inside], [*inside.values()])
    table.row("exponent from 32 to 256 or the last", *exponents.values())
    return {"seconds": seconds, "exponents": exponents}


def _scale_channels(bench: Bench) -> list[dict]:
    table = Table(f"Seconds of fit + transform of {bench.scaled:g} Mpx", "channels", *_SMOOTHING)
    records = []
    for n_channels in (1, 2, 3, 4):
        image = bench.frames.load(bench.scaled, n_channels)
        seconds = whole_seconds(image, bench.options.repeats)
        table.row(str(n_channels), *seconds.values())
        records.append({"channels": n_channels, "seconds": seconds})
    return records


def bench_threads(bench: Bench) -> dict:
    """Time every step with one and with two threads, in fresh processes."""
    path = bench.frames.path(bench.scaled, 3)
    one, two = (_child("threads", path, bench.options.repeats, threads=n) for n in (1, 2))
    table = Table(f"Threads, {bench.scaled:g} Mpx RGB", "stage", "1, s", "2, s", "speed-up")
    for name, value in one.items():
        table.row(name, value, two[name], None if name.startswith("-") else value / two[name])
    return {"1": one, "2": two}


def bench_rivals(bench: Bench) -> list[dict]:
    """Time array in, model out, of ourselves and others on the same arrays."""
    print("\nRivals")
    methods = rivals.installed(_RIVALS)
    return [_rivals_on(bench, methods, size, channels) for size in bench.options.sizes for channels in (1, 3)]


def _rivals_on(bench: Bench, methods: dict[str, rivals.Method], megapixels: float, n_channels: int) -> dict:
    image, repeats = bench.frames.load(megapixels, n_channels), bench.options.repeats
    size, copy = size_of(megapixels, image), copy_seconds(image, repeats)["copyto"]

    def ours(model: BackgroundSplineRegressor) -> float:
        return best_of(lambda: model.fit(image).predict(image), repeats)

    def theirs(method: rivals.Method) -> float:
        return best_of(lambda: method(image, None), repeats)

    ways = {f"skbgopt, {name}": lambda model=model: ours(model) for name, model in models().items()}
    ways |= {name: lambda method=method: theirs(method) for name, method in methods.items()}
    ways |= {
        name: lambda program=program: program(image, bench.frames.directory) for name, program in _PROGRAMS.items()
    }
    title = f"{describe_frame(size)}: array in, model out"
    table = Table(title, "", "s", "copies", "fixed / it", "auto / it")
    found: dict[str, float | str] = {}
    for name, way in ways.items():
        is_left_out = name in _SLOW and megapixels > bench.options.rival_limit
        result = f"left out above {bench.options.rival_limit:g} Mpx" if is_left_out else _seconds_or_reason(way)
        found[name] = result
        if isinstance(result, str):
            table.row(f"{name}: {result}", *[None] * 4)
        else:
            table.row(name, result, result / copy, *(_ratio(found.get(f"skbgopt, {k}"), result) for k in _SMOOTHING))
    return {**size, "copyto": copy, "seconds": found}


def _seconds_or_reason(measure: Callable[[], float]) -> float | str:
    try:
        return measure()
    except ImportError as error:
        return f"missing ({error})"
    except Exception as error:  # a rival that fails on a frame is reported, not fatal
        return f"failed ({type(error).__name__}: {error})"


def _ratio(ours: float | str | None, theirs: float) -> float | None:
    return ours / theirs if isinstance(ours, float) else None


def bench_each(bench: Bench) -> list[dict]:
    """Count frames a second of `EachImage` with one and two jobs, whose workers have been started before."""
    megapixels, n_frames = min(bench.options.sizes), bench.options.frames
    # Read from the disk: a worker gets the name of the file, and few frames stand for many.
    paths = [bench.frames.path(megapixels, 1, seed) for seed in range(min(4, n_frames))]
    distinct = [np.load(path, mmap_mode="r") for path in paths]
    images = [distinct[k % len(distinct)] for k in range(n_frames)]
    title = f"EachImage, frames a second: {n_frames} frames of {megapixels:g} Mpx mono"
    table = Table(title, "smoothing", "n_jobs=1", "n_jobs=2", "speed-up")
    records = []
    for name, model in models().items():
        rates = []
        for n_jobs in (1, 2):
            each = EachImage(model, n_jobs=n_jobs)
            each.fit_transform(images[:n_jobs])
            rates.append(n_frames / best_of(lambda each=each: each.fit_transform(images), 1))
        table.row(name, *rates, rates[1] / rates[0])
        records.append({"smoothing": name, "frames": n_frames, "megapixels": megapixels, "per_second": rates})
    return records


def bench_command(bench: Bench) -> dict:
    """Measure peak memory and seconds of `skbgopt remove` on the largest frame as FITS."""
    megapixels, directory = max(bench.options.sizes), bench.frames.directory
    image = bench.frames.load(megapixels, 3)
    size = size_of(megapixels, image)
    write_image(directory / "command.fits", image, overwrite=True)
    del image
    found = _child("command", directory / "command.fits", directory, *bench.options.command_options.split())
    table = Table("skbgopt remove", "FITS file", "s", "peak, MiB", "x image")
    table.row(describe_frame(size), found["seconds"], found["peak_mib"], found["peak_mib"] / size["mib"])
    return {**size, **found}


def _child(task: str, *arguments: object, threads: int | None = None) -> dict:
    """Run a task of _TASKS in a fresh process and return what it printed."""
    command = [sys.executable, __file__, "--child", task, *map(str, arguments)]
    limited = {} if threads is None else {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS")}
    run = subprocess.run(command, env={**os.environ, **limited}, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def _memory(path: str) -> dict[str, float]:
    image = np.load(path)
    small = make_sky_image("galaxy", (200, 300), n_channels=np.atleast_3d(image).shape[2], random_state=0)
    model = BackgroundSplineRegressor()
    model.fit_transform(small.image)  # what is loaded at the first use is no cost of an image
    _, fit = peak_over_start(lambda: model.fit(image))
    output, transform = peak_over_start(lambda: model.transform(image))
    return {"fit_mib": fit, "transform_mib": transform, "transform_mib_over_output": transform - output.nbytes / MIB}


def _threads(path: str, repeats: str) -> dict[str, float]:
    return stage_seconds(np.load(path), int(repeats))


def _command(path: str, directory: str, *options: str) -> dict[str, float]:
    code = "from skbgopt.cli import main; main()"
    return run_measured(
        [sys.executable, "-c", code, "remove", path, directory, "--overwrite", "--quiet", *options]
    )  # fmt: skip


_TASKS = {"memory": _memory, "threads": _threads, "command": _command}
_PARTS = {
    "stages": bench_stages, "scaling": bench_scaling, "threads": bench_threads, "rivals": bench_rivals,
    "each": bench_each, "command": bench_command,
}  # fmt: skip


def environment() -> dict:
    """Return what the times depend on."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    machine = {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    return {"skbgopt": skbgopt.__version__, **versions, **machine}


def parse_arguments() -> argparse.Namespace:
    """Return the options, with what --quick and the switches of parts mean for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [float(size) for size in text.split(",")], help="2,20,60 Mpx")
    parser.add_argument("--repeats", type=int, help="the best of 3")
    parser.add_argument("--quick", action="store_true", help="2 Mpx, once, no rivals: does it run?")
    parser.add_argument("--only", type=lambda text: text.split(","), help=",".join(_PARTS))
    parser.add_argument("--rival-limit", type=float, default=float("inf"), help="no slow rivals above so many Mpx")
    parser.add_argument("--each-image", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--frames", type=int, help="of EachImage: 200")
    parser.add_argument("--command", action="store_true", help="also skbgopt remove on the largest frame")
    parser.add_argument("--command-options", default="", help="for skbgopt remove, in one string")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    quick = options.quick
    options.sizes = options.sizes or ([2.0] if quick else [2.0, 20.0, 60.0])
    options.repeats = options.repeats or (1 if quick else 3)
    options.frames = options.frames or (6 if quick else 200)
    options.control_points = (16, 32, 64) if quick else (16, 32, 64, 128, 256, 512)
    options.most_points_auto = 16 if quick else 256  # the search for a smoothing at 512 takes minutes
    wanted = {"rivals": not quick, "each": options.each_image, "command": options.command}
    options.only = options.only or [part for part in _PARTS if wanted.get(part, True)]
    if unknown := set(options.only) - set(_PARTS):
        parser.error(f"--only takes {', '.join(_PARTS)}, got {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    """Run the parts asked for; the JSON file is written after each."""
    options = parse_arguments()
    Table.markdown = options.markdown
    results: dict = {"environment": environment()}
    print(", ".join(f"{name} {value}" for name, value in results["environment"].items()))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, Frames(Path(directory)), results)
        for part in (part for part in _PARTS if part in options.only):
            results[part] = _PARTS[part](bench)
            if options.output:
                options.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_TASKS[sys.argv[2]](*sys.argv[3:])))
    else:
        main()
