"""Warnings on how the command is used: options without effect, images of which little is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from warnings import warn

import click

from skbgopt.cli._options import estimator_parameters, given_options

if TYPE_CHECKING:
    import numpy as np

    from skbgopt.preparation import PreparedImage

_LEAST_SHARE = 0.5
# Stars may be brighter than the largest integer.
_MOST_CLIPPED = 0.01
# In steps of integers: steps of more than five times the noise hide it, even dithered.
_LEAST_NOISE = 0.2


def _by_mm(given: dict[str, Any]) -> bool:
    return given.get("solver") == "mm"


def _to_integers(given: dict[str, Any]) -> bool:
    return given.get("output_dtype", "float") != "float"


# Options, when they count, and how to say that.
_COUNT_IF = (
    (("learning_rate",), lambda given: not _by_mm(given), "with --solver adam"),
    (("smoothing", "mask_objects", "move_control_points"), _by_mm, "with --solver mm"),
    (
        ("warm_start",),
        lambda given: _by_mm(given) and given.get("smoothing") == "auto" and not given.get("same_model"),
        "with a --smoothing that is chosen for each image",
    ),
    (("output_scale", "pedestal"), _to_integers, "with an integer --output-dtype"),
    (
        ("random_state",),
        lambda given: given.get("init") == "random" or _to_integers(given),
        "with --init random or an integer --output-dtype",
    ),
    (("save_model", "as_json"), lambda given: not given.get("preview"), "without --preview"),
    (("jobs",), lambda given: given.get("scheduler") is None, "without --scheduler"),
)


def warn_of_idle_options(ctx: click.Context) -> None:
    """Warn of the options given as flags that have no effect beside the others."""
    values = {**ctx.params, **estimator_parameters(ctx)}
    flags = given_options(ctx)
    for names, count, where in _COUNT_IF:
        for name in names:
            if name in flags and not count(values):
                warn(f"{flags[name]} has no effect here: it counts {where}.", stacklevel=2)


def warn_if_little_is_used(prepared: PreparedImage, *, masked: bool) -> None:
    """Warn of an image of which less than half is fitted."""
    share = prepared.usable.mean()
    if share < _LEAST_SHARE:
        hint = "; a mask is white where the sky is" if masked else ""
        warn(f"Only {share:.0%} of the image is fitted: {prepared.describe_excluded()}{hint}.", stacklevel=2)


def warn_if_noise_is_lost(noise: np.ndarray, dtype: str, scale: float) -> None:
    """Warn of integers whose steps are so large that the noise, and faint light with it, is gone."""
    # It is lost where the quietest channel loses it.
    steps = float(noise.min()) * scale
    if steps < _LEAST_NOISE:
        way_out = "choose a larger --output-scale (65535 fits images from 0 to 1 into uint16)"
        warn(f"The noise is {steps:.2g} steps of {dtype}, and faint light is lost: {way_out}.", stacklevel=2)


def warn_if_much_is_clipped(name: str, share: float) -> None:
    """Warn of an image of integers that more of its values do not fit than the brightest stars have."""
    if share > _MOST_CLIPPED:
        way_out = "choose another --output-scale or --pedestal"
        warn(f"{share:.0%} of the values of {name} are clipped: {way_out}.", stacklevel=2)
