"""The options of the commands and their defaults, written out here so that --help needs no torch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click import Choice
from click.core import ParameterSource

from skbgopt.cli._config import as_text, default_settings, saved_settings, set_defaults, settings_files
from skbgopt.cli._help import flags_of, grouped

# Of a batch, in its directory.
REPORT_NAME = "skbgopt-report.jsonl"

# Those of BackgroundSplineRegressor; a test holds the two together.
DEFAULTS: dict[str, Any] = {
    "n_control_points": 64,
    "order": 4,
    "degree": None,
    "init": "grid",
    "smoothing": "auto",
    "quantile": 0.99,
    "threshold_min": 0.001,
    "threshold_max": 1.0,
    "missing_values": 0,
    "downscale_factor": 8,
    "downscale_func": "median",
    "alpha": 5.0,
    "loss_scale": "noise",
    "solver": "mm",
    "learning_rate": 0.001,
    "max_iter": 1000,
    "tol": 5e-5,
    "mask_objects": "auto",
    "move_control_points": False,
    "warm_start": False,
    "correction": "subtract",
    "level": "median",
    "device": "auto",
    "random_state": None,
}

PRESETS: dict[str, dict[str, Any]] = {
    "bgoptimizer": {
        "n_control_points": 32,
        "order": 2,
        "init": "random",
        "smoothing": 0.0,
        "quantile": 0.95,
        "threshold_min": 0.001,
        "threshold_max": 1.0,
        "downscale_factor": 8,
        "downscale_func": "median",
        "alpha": 5.0,
        "loss_scale": 0.001,
        "solver": "adam",
        "learning_rate": 0.001,
        "max_iter": 1000,
        "mask_objects": False,
    },
}


class _NumberOr(click.ParamType):
    """A number of a kind, or a word that stands for `meaning`."""

    def __init__(self, kind: type[int] | type[float], word: str, meaning: str | None):
        self.kind, self.word, self.meaning = kind, word, meaning
        self.name = "integer" if kind is int else "float"

    def convert(self, value, param, ctx):
        """Return the number or the meaning of the word."""
        if value == self.word:
            return self.meaning
        try:
            return self.kind(value)
        except ValueError:
            number = "whole number" if self.kind is int else "number"
            self.fail(f"{value!r} is neither a {number} nor {self.word!r}.", param, ctx)


class _Finite(click.ParamType):
    """A number that is finite and larger than a limit."""

    name = "float"

    def __init__(self, above: float = -math.inf):
        self.above = above

    def convert(self, value, param, ctx):
        """Return the number."""
        number = click.FLOAT.convert(value, param, ctx)
        if not self.above < number < math.inf:
            self.fail(f"{value} is no finite number{' above 0' * (self.above == 0)}.", param, ctx)
        return number


class _Size(click.ParamType):
    """A number of bytes such as 2GB, 500MB or 1.5 GiB."""

    name = "size"

    def convert(self, value, param, ctx):
        """Return the number of bytes."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", str(value), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is no size such as 2GB or 500MB.", param, ctx)
        number, prefix, binary = found.groups()
        return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


def _hdu(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isdecimal() and value.isascii() else value


def _yes_or_no(ctx: click.Context, param: click.Parameter, value: str) -> bool | str:
    return {"yes": True, "no": False}.get(value, value)


def _config(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    settings = default_settings(value, DEFAULTS)
    ctx.meta[_IN_SETTINGS] = set(settings)
    # What --params set, on the left or on the right of it, stays.
    set_defaults(ctx, settings, wins=False)
    return value


def _params(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        set_defaults(ctx, saved_settings(value, DEFAULTS), wins=True)
    return value


SEED = _NumberOr(int, "none", None)

_option = partial(partial, click.option)


def _estimator_option(name: str, *flags: str, **attributes) -> Callable:
    return _option(*flags, name, **{"default": DEFAULTS[name], "show_default": True, **attributes})


_SPLINE = grouped("Spline",
    _estimator_option("n_control_points", "-N", "--n-control-points", type=int,
        help="Control points of the spline: the finest structure it could follow."),
    _estimator_option("order", "-O", "--order", type=int,
        help="Of the kernel: 1 is r, 2 is r^2 log r (thin plate), 3 is r^3, ..."),
    _estimator_option("degree", "--degree", type=_NumberOr(int, "none", None), metavar="INTEGER|none",
        show_default="the smallest that the order needs",
        help="Of the polynomial that bends at no cost; 2, a parabola, suits vignettes."),
    _estimator_option("init", "-i", "--init", type=Choice(["random", "grid"]),
        help="Where the control points stand."),
    _estimator_option("smoothing", "--smoothing", type=_NumberOr(float, "auto", "auto"), metavar="FLOAT|auto",
        help="Price of bending, 1e-7 (almost free) to 10 (almost a polynomial); auto tries on held-out sky."),
)  # fmt: skip

_PIXELS = grouped("Pixel",
    _estimator_option("quantile", "-dq", "--quantile", "--delinearization-quantile", type=float,
        help="Of the stretch: what becomes 1. Lower is stronger; keep the sky's brightest part below it."),
    _estimator_option("threshold_min", "-tm", "--threshold-min", type=float,
        help="Reduced pixels whose stretched value is lower are not used."),
    _estimator_option("threshold_max", "-tM", "--threshold-max", type=float,
        help="Reduced pixels whose stretched value is higher are not used."),
    _option("-m", "--mask", type=click.Path(path_type=Path), metavar="FILE",
        help="Image of weights: white = use, black = ignore, grey = in part; 1 channel or the image's."),
    _estimator_option("downscale_factor", "-dx", "--downscale-factor", type=int,
        help="Side of the blocks that become one reduced pixel."),
    _estimator_option("downscale_func", "-df", "--downscale-func", type=Choice(["median", "mean"]),
        help="What a reduced pixel is of its block."),
)  # fmt: skip

_MISSING = grouped("Pixel",
    _estimator_option("missing_values", "--missing-value", type=_NumberOr(float, "none", None), metavar="FLOAT|none",
        help="Pixels equal to it are missing (empty borders); NaN always are."),
)  # fmt: skip

_FITTING = grouped("Fitting",
    _estimator_option("alpha", "-a", "--alpha", type=float,
        help="Price of a model above the pixels against one below."),
    _estimator_option("loss_scale", "--loss-scale", type=_NumberOr(float, "noise", "noise"), metavar="FLOAT|noise",
        help="Residuals up to this size count as sky: in units of the noise, or a stretched value."),
    _estimator_option("solver", "--solver", type=Choice(["mm", "adam"]),
        help="mm: fast, on fixed control points; adam: the published gradient descent."),
    _estimator_option("max_iter", "-e", "--max-iter", "--epochs", type=int, help="Steps (epochs) at most."),
    _estimator_option("tol", "--tol", type=float, help="Stop when the loss gains less."),
    _estimator_option("learning_rate", "-lr", "--learning-rate", type=float, help="Of --solver adam."),
    _estimator_option("mask_objects", "--mask-objects", type=Choice(["auto", "yes", "no"]),
        callback=_yes_or_no,
        help="Mask what stands above the model, and the stars of crowded fields, and fit the rest again; "
        "auto: with --loss-scale noise."),
    _estimator_option("move_control_points", "--move-control-points/--no-move-control-points", is_flag=True,
        help="Let --solver mm move the control points as well."),
    _estimator_option("device", "--device", type=str, help="cpu, cuda, mps, ... or auto."),
    _option("--preset", type=Choice(list(PRESETS)),
        help="bgoptimizer: the published defaults; options given explicitly win over it."),
    _option("--params", type=click.Path(path_type=Path), metavar="FILE.json", callback=_params, is_eager=True,
        help="Parameters that skbgopt tune --save found; they win over settings files, flags over them."),
)  # fmt: skip

_REMOVING = grouped("Fitting",
    _option("-B", "--batch-size", type=int, default=1, show_default=True,
        help="Accepted for old scripts; has no effect on the result."),
    _estimator_option("random_state", "--seed", type=SEED, metavar="INTEGER|none", show_default="none",
        help="Of --init random, so that a run can be repeated."),
)  # fmt: skip

_RESULT = grouped("Result",
    _estimator_option("correction", "--correction", type=Choice(["subtract", "divide"]),
        help="Subtract the background, or divide by it over its median (vignetting)."),
    _estimator_option("level", "--level", type=Choice(["median", "zero"]),
        help="The sky keeps its median, or goes to 0."),
)  # fmt: skip

_INPUT = (
    _option("--overwrite", is_flag=True, help="Replace output files that exist."),
    _option("--hdu", callback=_hdu, metavar="NUMBER|NAME", show_default="the first image",
        help="FITS: which HDU to read."),
)  # fmt: skip

_FILES = grouped("File",
    _option("--format", "file_format", type=Choice(["fits", "xisf", "tiff"]),
        show_default="the input's", help="Of the output files."),
    _option("-c", "--compress", is_flag=True, help="Compress the output without loss (XISF: lz4hc)."),
    _option("--output-dtype", type=Choice(["float", "uint8", "uint16", "uint32"]), default="float",
        show_default=True, help="Integers are dithered (with --seed) and rounded; pixels beyond are counted."),
    _option("--output-scale", type=_Finite(above=0), default=1.0, show_default=True,
        help="Of integers: multiplies the pixels; 65535 for images from 0 to 1 as uint16."),
    _option("--pedestal", type=_Finite(), default=0.0, show_default=True,
        help="Of integers: added, so that the sky's noise does not fall below 0."),
    *_INPUT,
    _option("--max-memory", type=_Size(), metavar="SIZE", show_default="none",
        help="Refuse images that need more, such as 2GB; uncompressed FITS is worked on in bands."),
)  # fmt: skip

_JSON = grouped("Other",
    _option("--json", "as_json", is_flag=True,
        help="Print a line of JSON for each image instead of the report, as in that of skbgopt batch."),
)  # fmt: skip

_ONE_IMAGE = grouped("File",
    _option("--save-model", type=click.Path(path_type=Path), metavar="FILE.npz",
        help="Also save the fitted model, for BackgroundSplineRegressor.load."),
    _option("-p", "--preview", is_flag=True,
        help="Do not fit: write a PNG of the stretched, masked image and its histogram."),
    _option("--report", "page", type=click.Path(path_type=Path), metavar="FILE.html",
        help="Also write a page with before and after, the model, residuals and all settings."),
)  # fmt: skip

_CONFIG = grouped("Other",
    _option("--config", type=click.Path(path_type=Path), metavar="FILE.toml", callback=_config, is_eager=True,
        help="Parameters of BackgroundSplineRegressor by their names (n_control_points = 32), no other options; over "
        "those of ./skbgopt.toml and the user's; flags win."),
)  # fmt: skip

_QUIET = grouped("Other",
    _option("--quiet", is_flag=True, help="Print errors and warnings only."),
)  # fmt: skip

_VERBOSE = grouped("Other",
    _option("--verbose", is_flag=True,
        help="Print more: all steps and the smoothings tried, or how each image of many went."),
)  # fmt: skip

_LOG = grouped("Other",
    _option("--log-file", type=click.Path(path_type=Path), metavar="FILE",
        help="Append all that is printed, with the time; also with --quiet."),
    _option("--debug", is_flag=True, help="Print the traceback of an error."),
)  # fmt: skip

_MESSAGES = (*_QUIET, *_VERBOSE, *_LOG)

_BATCH = grouped("Batch",
    _option("-o", "--output-dir", type=click.Path(path_type=Path), required=True, metavar="DIR",
        help="For all results."),
    _option("-j", "--jobs", type=int, default=1, show_default=True,
        help="Images worked on at the same time, which share the cores; -1 is one for each core."),
    _option("--resume", is_flag=True,
        help="Skip images whose results are there, made of the same content with the same settings."),
    _option("--report", type=click.Path(path_type=Path), metavar="FILE", show_default=f"DIR/{REPORT_NAME}",
        help="A line of JSON for each image."),
    _option("--scheduler", metavar="ADDRESS",
        help="Work on a dask.distributed cluster, such as tcp://host:8786, that sees the same files; "
        "best with workers of one thread each."),
)  # fmt: skip

_EACH_FIT = grouped("Batch",
    _option("--same-model", type=click.Path(path_type=Path), metavar="REF",
        help="Fit this image once, or load this saved model, and apply it to all images."),
    _estimator_option("warm_start", "--warm-start", is_flag=True,
        help="Try only the smoothing of the image before (of this process, if it had the same shape) and the ones "
        "beside it: about half the time. For frames whose skies are alike."),
)  # fmt: skip

_FIT = (*_SPLINE, *_PIXELS, *_MISSING, *_FITTING)
_FRAMES = (*_FIT, *_REMOVING, *_RESULT, *_FILES)

# Where a context keeps the names that settings files set.
_IN_SETTINGS = "skbgopt.cli settings"

# What a saved model leaves open.
REPLACEABLE = ("missing_values", "correction", "level")


def removal_options(command: Callable) -> Callable:
    """Add the options of one image, in the order of --help."""
    return _added(command, *_FRAMES, *_ONE_IMAGE, *_JSON, *_CONFIG, *_MESSAGES)


def batch_options(command: Callable) -> Callable:
    """Add the options of many images, in the order of --help."""
    return _added(command, *_BATCH, *_EACH_FIT, *_FRAMES, *_JSON, *_CONFIG, *_MESSAGES)


def apply_options(command: Callable) -> Callable:
    """Add the options of many images to which a fitted model is applied, in the order of --help."""
    return _added(command, *_BATCH, *_MISSING, *_RESULT, *_FILES, *_JSON, *_CONFIG, *_MESSAGES)


def fit_options(command: Callable) -> Callable:
    """Add the options of a command that fits images and writes none, in the order of --help."""
    return _added(command, *_FIT, *_RESULT, *grouped("File", *_INPUT), *_CONFIG, *_QUIET, *_LOG)


def message_options(command: Callable) -> Callable:
    """Add what a command prints."""
    return _added(command, *_MESSAGES)


def _added(command: Callable, *options: Callable) -> Callable:
    for option in reversed(options):
        command = option(command)
    return command


def estimator_parameters(ctx: click.Context) -> dict[str, Any]:
    """Return the estimator's parameters: those given, else the preset's, else of a settings file, else the defaults."""
    preset = PRESETS.get(ctx.params.get("preset") or "", {})
    given = given_parameters(ctx)
    values = {**DEFAULTS, **ctx.params}
    return {name: preset[name] if name in preset and name not in given else values[name] for name in DEFAULTS}


def files_beside(ctx: click.Context) -> list[Path]:
    """Return the files that a command reads beside its images: settings, models, lists, and a storage."""
    given = ctx.params
    found = [given[name] for name in ("params", "same_model", "model_path") if given.get(name)]
    found += [item[1:] for item in given.get("inputs", ()) if item.startswith("@")]
    # SQLite's file; no file has the name of another URL.
    found += [given["storage"].removeprefix("sqlite:///")] if given.get("storage") else []
    return [Path(os.path.abspath(path)) for path in [*settings_files(given.get("config")), *found]]


def files_made(ctx: click.Context) -> list[Path]:
    """Return the files that a command writes beside images: a model, a page, a report, and what a search found."""
    given = ctx.params
    found = [given[name] for name in ("save_model", "page", "report", "save", "picture") if given.get(name)]
    return found or [given["output_dir"] / REPORT_NAME] if "report" in given else found


def given_options(ctx: click.Context) -> dict[str, str]:
    """Return the flags that were given, by the names of their parameters."""
    flags = flags_of(ctx.command)
    return {name: flag for name, flag in flags.items() if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def given_parameters(ctx: click.Context) -> set[str]:
    """Return the names of the estimator's parameters that were given as flags."""
    return given_options(ctx).keys() & DEFAULTS.keys()


def removal_flags(parameters: dict[str, Any], ctx: click.Context) -> list[str]:
    """Return the flags that make these the parameters of `skbgopt remove`, whatever the settings files are here."""
    named = {param.name: param for param in ctx.command.params}
    needed = ctx.meta[_IN_SETTINGS] | {name for name, value in parameters.items() if value != DEFAULTS[name]}
    if parameters["init"] != "random":
        needed -= {"random_state"}
    flags: list[str] = []
    for name in (name for name in DEFAULTS if name in needed and name in named):
        option, value = named[name], parameters[name]
        assert isinstance(option, click.Option)
        names = option.secondary_opts if option.is_flag and not value else option.opts
        flags.append(next(flag for flag in names if flag.startswith("--")))
        flags += [] if option.is_flag else [as_text(value)]
    return flags
