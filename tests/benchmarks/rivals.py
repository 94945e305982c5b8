"""Other programs that model a background, for the benchmarks: array in, model out.

A factory raises ImportError where its package is missing. Programs that are no Python packages read and write files;
they are timed by functions of their own.
"""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
from graxpert_rbf import __file__ as graxpert_script
from graxpert_rbf import graxpert_model
from scipy.ndimage import distance_transform_edt, gaussian_filter

from skbgopt import read_image, write_image

# From an image and its mask (True = excluded, None for none) to the background.
Method = Callable[[np.ndarray, np.ndarray | None], np.ndarray]

# Pixels over which a model that is dithered is smoothed.
_DITHER = 8.0


def sep_background(box: int) -> Method:
    """Return SExtractor's background by `sep`."""
    sep = importlib.import_module("sep")
    return _by_channel(lambda channel, mask: sep.Background(channel, mask=mask, bw=box, bh=box).back())


def photutils_background(box: int, estimator: str = "SExtractorBackground", **settings) -> Method:
    """Return photutils' `Background2D` with the named estimator of a box's background."""
    background = importlib.import_module("photutils.background")
    bkg_estimator = getattr(background, estimator)()

    def model(channel: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        return background.Background2D(channel, box, mask=mask, bkg_estimator=bkg_estimator, **settings).background

    return _by_channel(model)


def seiza_background(**settings) -> Method:
    """Return seiza's background with these settings of its `fit_background`."""
    seiza = importlib.import_module("seiza")

    def run(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        return np.asarray(seiza.fit_background(image, mask=mask, **settings).render()).reshape(image.shape)

    return run


def graxpert_rbf() -> Method:
    """Return GraXpert's radial basis functions, in this process or, for its versions of packages differ, in its own."""
    if importlib.util.find_spec("graxpert"):
        return graxpert_model
    python = _graxpert_python()

    def run(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        with tempfile.TemporaryDirectory() as name:
            files = [str(Path(name) / f"{stem}.npy") for stem in ("image", "mask", "model")]
            np.save(files[0], image)
            np.save(files[1], np.zeros(image.shape[:2], dtype=bool) if mask is None else mask)
            _seconds([python, graxpert_script, *files], Path(name), "model.npy")
            return np.load(files[2])

    return run


def graxpert_version() -> str:
    """Return the version of GraXpert."""
    python = sys.executable if importlib.util.find_spec("graxpert") else _graxpert_python()
    return _output([python, "-c", "import importlib.metadata; print(importlib.metadata.version('graxpert'))"])


def _graxpert_python() -> str:
    python = os.environ.get("GRAXPERT_PYTHON", str(Path(sys.prefix) / "graxpert" / "bin" / "python"))
    if not Path(python).exists():
        raise ImportError("graxpert is neither in this environment nor in one that GRAXPERT_PYTHON names")
    return python


def installed(factories: Mapping[str, Callable[[], Method]]) -> dict[str, Method]:
    """Return the methods whose packages are installed; name the missing ones."""
    found = {}
    for name, make in factories.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name}: missing ({error})")
    return found


def source_extractor_background(box: int) -> Method:
    """Return source-extractor's BACKGROUND check image; it gets the mask as a weight map."""
    program = _program("source-extractor", "sex")

    def model(channel: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            options = ["-BACK_SIZE", str(box)]
            if mask is not None:
                write_image(directory / "weight.fits", (~mask).astype(np.float32))
                options += ["-WEIGHT_TYPE", "MAP_WEIGHT", "-WEIGHT_IMAGE", "weight.fits", "-WEIGHT_THRESH", "0"]
            _run_source_extractor(program, channel, options, directory)
            return np.asarray(read_image(directory / "model.fits")[0])

    return _by_channel(model)


def source_extractor_version() -> str:
    """Return the version that source-extractor tells."""
    return _output([_program("source-extractor", "sex"), "--version"])


def source_extractor_seconds(image: np.ndarray, directory: Path) -> float:
    """Return the seconds of source-extractor's background of each channel, whole processes with load and save."""
    program = _program("source-extractor", "sex")
    channels = np.moveaxis(np.atleast_3d(image), 2, 0)
    return sum(_run_source_extractor(program, channel, ["-BACK_SIZE", "64"], directory) for channel in channels)


def _run_source_extractor(program: str, channel: np.ndarray, options: list[str], directory: Path) -> float:
    """Write a channel's background to model.fits and return the seconds of the process."""
    (directory / "numbers.param").write_text("NUMBER\n")
    write_image(directory / "channel.fits", np.ascontiguousarray(channel), overwrite=True)
    command = [
        program, "channel.fits", "-PARAMETERS_NAME", "numbers.param", "-CATALOG_TYPE", "NONE", "-FILTER", "N",
        "-DETECT_THRESH", "1e9", "-ANALYSIS_THRESH", "1e9", "-VERBOSE_TYPE", "QUIET",
        "-CHECKIMAGE_TYPE", "BACKGROUND", "-CHECKIMAGE_NAME", "model.fits", *options,
    ]  # fmt: skip
    return _seconds(command, directory, "model.fits")


def siril_background(model: str) -> Method:
    """Return Siril's background for a degree or "-rbf", with the defaults of its ``seqsubsky``.

    Its command for a single image ends the script before version 1.2, and that for a sequence wants two images. It
    takes no mask: what is excluded gets the value of the nearest pixel that is not. The level is not told either: the
    median of what is left is brought to zero. Its dither is smoothed away.
    """
    program = _program("siril-cli")
    if model == "-rbf" and _major_minor(siril_version()) < (1, 2):
        raise ImportError(f"{siril_version()} has no rbf for scripts, 1.2 and later have")

    def run(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        excluded = np.zeros(image.shape[:2], dtype=bool) if mask is None else mask
        nearest = distance_transform_edt(excluded, return_distances=False, return_indices=True)
        filled = np.asarray(image, dtype=np.float32)[tuple(nearest)]
        low, high = min(0.0, float(filled.min())), max(1.0, float(filled.max()))
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            for number in (1, 2):
                write_image(directory / f"f_{number:05d}.fit", (filled - low) / (high - low))
            script = directory / "background.ssf"
            script.write_text(f"requires 1.0.0\nsetcpu 1\nsetext fit\nseqsubsky f_ {model} -prefix=bkg_\n")
            _seconds([program, "-d", name, "-s", str(script)], directory, "bkg_f_00001.fit")
            result = np.asarray(read_image(directory / "bkg_f_00001.fit")[0]) * (high - low) + low
        found = filled - result + np.median(result[~excluded], axis=0)
        return gaussian_filter(found, (_DITHER, _DITHER, 0)[: found.ndim], mode="nearest")

    return run


def siril_version() -> str:
    """Return the version that Siril tells."""
    return _output([_program("siril-cli"), "--version"])


def siril_rbf_seconds(image: np.ndarray, directory: Path) -> float:
    """Return the seconds of Siril's ``subsky -rbf``: a script with it less the same one without it."""
    program = _program("siril-cli")
    write_image(directory / "frame.fits", image, overwrite=True)
    seconds = []
    for commands in (["subsky -rbf -samples=20 -tolerance=1.0 -smooth=0.5"], []):
        script = directory / "background.ssf"
        script.write_text("\n".join(["requires 1.2.0", "load frame.fits", *commands, "save corrected", ""]))
        seconds.append(_seconds([program, "-d", str(directory), "-s", str(script)], directory, "corrected.*"))
    return seconds[0] - seconds[1]


def _program(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise ImportError("no program named " + " or ".join(names))


def _major_minor(text: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", text)[:2]
    return int(major), int(minor)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _seconds(command: list[str], directory: Path, output: str) -> float:
    """Time a process that writes a file of this name (a pattern): not all that fail say so by their exit code."""
    for old in directory.glob(output):
        old.unlink()
    start = perf_counter()
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    seconds = perf_counter() - start
    if not any(directory.glob(output)):
        raise RuntimeError(f"{Path(command[0]).name} wrote no {output}")
    return seconds


def _by_channel(model: Method) -> Method:
    def run(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        if image.ndim == 2:
            return model(image, mask)
        return np.stack([model(np.ascontiguousarray(image[:, :, c]), mask) for c in range(image.shape[2])], axis=2)

    return run
