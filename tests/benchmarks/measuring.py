"""What the benchmark of speed measures with: frames, the clock, the peak of memory, tables."""

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from time import perf_counter
from unittest import mock

import numpy as np
from scipy.ndimage import zoom

from skbgopt import make_sky_image

MIB = 2**20
# Larger frames are enlarged from one of this size: drawing takes 100 bytes a pixel.
_DRAWN_MEGAPIXELS = 20
# Seconds after which a function is not run again for a better time.
_ENOUGH = 20.0


class Frames:
    """Frames of any size as .npy files, so that other processes read the same."""

    def __init__(self, directory: Path):
        self.directory = directory

    def path(self, megapixels: float, n_channels: int, seed: int = 0) -> Path:
        """Return the file of a frame, made when first asked for. A fourth channel repeats the first."""
        path = self.directory / f"{megapixels:g}_{n_channels}_{seed}.npy"
        if not path.exists() and n_channels == 3:
            np.save(path, _draw(megapixels, seed))
        elif not path.exists():
            colour = self.load(megapixels, 3, seed)
            chosen = colour[:, :, 0] if n_channels == 1 else colour[:, :, [0, 1, 2, 0][:n_channels]]
            np.save(path, np.ascontiguousarray(chosen))
        return path

    def load(self, megapixels: float, n_channels: int, seed: int = 0) -> np.ndarray:
        """Return a frame of shape (height, width) for one channel, else (height, width, n_channels)."""
        return np.load(self.path(megapixels, n_channels, seed))


def _draw(megapixels: float, seed: int) -> np.ndarray:
    """Return an RGB frame; a large one has the sky of a smaller one, enlarged, and repeats its stars and noise."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(megapixels * 1e6 / height)
    share = min(1.0, (_DRAWN_MEGAPIXELS / megapixels) ** 0.5)
    drawn_shape = round(height * share), round(width * share)
    drawn = make_sky_image("galaxy", drawn_shape, empty_border=0, random_state=seed)
    image, sky = drawn.image, drawn.background
    if share < 1:
        more = [(0, length - part) for length, part in zip((height, width), drawn_shape, strict=True)]
        image = np.pad(image - sky, [*more, (0, 0)], mode="symmetric")
        factors = height / drawn_shape[0], width / drawn_shape[1], 1
        image += zoom(sky, factors, order=1, mode="nearest", grid_mode=True)
    border = height // 100
    image[:border] = image[-border:] = 0
    image[:, :border] = image[:, -border:] = 0
    return image


def describe_frame(size: dict) -> str:
    """Return the words for a record with the keys of `size_of`."""
    kind = {1: "mono", 3: "RGB"}.get(size["channels"], f"{size['channels']} channels")
    return f"{size['megapixels']:g} Mpx {kind} ({size['mib']:.0f} MiB)"


def best_of(function: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of several runs, of fewer where one takes long."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < _ENOUGH:
        start = perf_counter()
        function()
        seconds.append(perf_counter() - start)
    return min(seconds)


def copy_seconds(image: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds of a copy into memory in use, and into new memory."""
    buffer = np.full_like(image, 1)
    repeats = max(repeats, 5)
    return {
        "copyto": best_of(lambda: np.copyto(buffer, image), repeats),
        "frame.copy()": best_of(image.copy, repeats),
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float | None:
    """Return the slope of the line through the logarithms, None for a single point."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else None


@contextmanager
def clocked(stages: dict[str, list[str]]) -> Iterator[Counter]:
    """Sum the time of functions ("module:name" in skbgopt) by stage, each less the others that it calls.

    Only for work on one thread. Names that are gone are said and left out.
    """
    seconds: Counter = Counter(dict.fromkeys(stages, 0.0))
    inside = 0.0

    def clock(function: Callable, stage: str) -> Callable:
        @wraps(function)
        def timed(*args, **kwargs):
            nonlocal inside
            outer, inside = inside, 0.0
            start = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                total = perf_counter() - start
                seconds[stage] += total - inside
                inside = outer + total

        return timed

    with ExitStack() as patches:
        for stage, name in ((stage, name) for stage, names in stages.items() for name in names):
            bindings = _bindings(name)
            if not bindings:
                print(f"(not timed, no longer there: {name})")
            for owner, attribute, bound in bindings:
                of_class = isinstance(bound, classmethod)
                timed = clock(bound.__func__ if of_class else bound, stage)
                patches.enter_context(mock.patch.object(owner, attribute, classmethod(timed) if of_class else timed))
        yield seconds


def _bindings(name: str) -> list[tuple[object, str, Callable | classmethod]]:
    """Return everywhere that a function is bound: (module or class, attribute, function)."""
    module_name, path = name.split(":")
    *classes, attribute = path.split(".")
    try:
        owner = importlib.import_module(f"skbgopt.{module_name}")
        for part in classes:
            owner = vars(owner)[part]
        bound = vars(owner)[attribute]
    except (ImportError, KeyError):
        return []
    owners = [owner] if classes else [module for key, module in sys.modules.items() if key.split(".")[0] == "skbgopt"]
    return [(place, key, value) for place in owners for key, value in list(vars(place).items()) if value is bound]


def peak_over_start(function: Callable[[], object]) -> tuple[object, float]:
    """Return a function's result and the peak of resident memory in MiB over what was in use before (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = _status("VmRSS")
    result = function()
    return result, _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def run_measured(arguments: list[str]) -> dict[str, float]:
    """Run a program; return its seconds and the peak of its resident memory.

    The system counts for a process the peak of the one that started it too: call this in a small one.
    """
    start = perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(arguments[0], arguments, os.environ), 0)
    if status:
        raise RuntimeError(f"{arguments} exited with {os.waitstatus_to_exitcode(status)}.")
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": perf_counter() - start, "peak_mib": usage.ru_maxrss * unit / MIB}


class Table:
    """A table that is printed row by row, as aligned text or as Markdown."""

    markdown = False

    def __init__(self, title: str, *headers: str):
        print(f"\n**{title}**\n" if self.markdown else f"\n{title}")
        self.widths = [34] + [max(len(header), 9) for header in headers[1:]]
        self._print(headers)
        if self.markdown:
            print("|---|" + "---:|" * (len(headers) - 1))

    def row(self, name: str, *values: float | str | None) -> None:
        """Print a row of numbers with three digits; None is a dash."""
        self._print((name, *(_text(value) for value in values)))

    def _print(self, cells: Sequence[str]) -> None:
        if self.markdown:
            print("| " + " | ".join(cells) + " |", flush=True)
            return
        first, *others = zip(cells, self.widths, strict=True)
        print(first[0].ljust(first[1]) + "".join("  " + cell.rjust(width) for cell, width in others), flush=True)


def _text(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
