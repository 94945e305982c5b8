"""The page of ``--report``: one HTML file that holds its pictures and needs no network."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from skbgopt import (
    BackgroundDisplay,
    ControlPointsDisplay,
    LossCurveDisplay,
    ResidualDisplay,
    SmoothingPathDisplay,
    StretchDisplay,
    UncertaintyDisplay,
    __version__,
)
from skbgopt._device import resolve_device
from skbgopt.cli._report import environment
from skbgopt.plotting import channel_names, encode_figure, encode_picture

if TYPE_CHECKING:
    import numpy as np

    from skbgopt.cli._inputs import InputFrame
    from skbgopt.cli._job import Job
    from skbgopt.cli._run import Removal
    from skbgopt.io import StoredImage
    from skbgopt.preparation import PreparedImage

_DPI = 110
_CAPTIONS = {
    "The background": (
        "One stretch for all three. What the fit left out is marked on the model: hatched what a mask excludes, "
        "tinted what was taken for objects."
    ),
    "Residuals": (
        "The image less the model, in units of the noise of a reduced pixel. Sky should be noise without pattern; "
        "blue around an object says that the model follows the object."
    ),
    "Control points": "The finest structure that the spline could follow is their distance.",
    "What the fit sees": (
        "The reduced image, stretched. If the brightest part of the sky itself is clipped to 1, raise the quantile."
    ),
    "Choice of the smoothing": "Scores of the smoothings that were tried, on blocks of sky that were held out.",
    "Uncertainty": "The standard error of the model.",
    "Loss": "What the solver minimised last: for mm the loss and the price of bending. It should end flat.",
}


@dataclass(frozen=True)
class Page:
    """A page that was asked for.

    Attributes
    ----------
    path : Path
        Where it is to be.
    command : str
        The exact command.
    warnings : list of str
        Those of the run, which may become more until the page is written.
    """

    path: Path
    command: str
    warnings: list[str] = field(default_factory=list)

    def write_removal(self, staged: Path, job: Job, frame: InputFrame, removal: Removal) -> None:
        """Write the page of an image whose background was removed."""
        estimator, unit = removal.model, _unit(removal.source)
        X, given = frame.pixels, {"sample_weight": frame.weights}
        shown = BackgroundDisplay.from_estimator(estimator, X, channels=_rgb(frame), unit=unit, **given)
        # One after the other: figures hold much memory.
        figures = [
            _figure("The background", shown),
            _figure("Residuals", ResidualDisplay.from_estimator(estimator, X, **given)),
            _figure("Control points", ControlPointsDisplay.from_estimator(estimator, X, **given)),
            _figure("What the fit sees", StretchDisplay.from_estimator(estimator, X, unit=unit, **given)),
        ]
        if estimator.smoothing_path_ is not None:
            figures.append(_figure("Choice of the smoothing", SmoothingPathDisplay.from_estimator(estimator)))
        if estimator.error_coef_ is not None:
            figures.append(_figure("Uncertainty", UncertaintyDisplay.from_estimator(estimator, X, unit=unit, **given)))
        figures.append(_figure("Loss", LossCurveDisplay.from_estimator(estimator)))
        channels = {
            "gradient removed": removal.figures.gradient,
            "level of the background": estimator.background_level_,
            "noise of a pixel": estimator.noise_,
            "noise of a reduced pixel": estimator.block_noise_,
        }
        fit = {
            "smoothing": f"{estimator.smoothing_:.3g}",
            "loss": f"{estimator.loss_:.6g}",
            "steps": estimator.n_iter_,
            "reduced pixels taken for objects": int(estimator.object_mask_.sum()),
            "seconds": f"{removal.seconds:.1f}",
        }
        numbers = [
            _channel_table(channels, frame, unit),
            _excluded_table(estimator.excluded_, frame),
            _table("Fit", fit.items()),
        ]
        self._write(
            staged, job, removal.source,
            made="Background removed by",
            slider=_slider(*shown.pictures()[::2]),
            numbers=numbers,
            figures=figures,
            results={"results": ", ".join(map(str, removal.files))},
        )  # fmt: skip

    def write_preview(
        self, staged: Path, job: Job, source: StoredImage, frame: InputFrame, prepared: PreparedImage, display: Any
    ) -> None:
        """Write the page of an image that would be fitted; the display is that of its stretch."""
        channels = {"noise of a pixel": prepared.noise, "noise of a reduced pixel": prepared.block_noise}
        numbers = [_channel_table(channels, frame, _unit(source)), _excluded_table(prepared.excluded, frame)]
        self._write(
            staged, job, source,
            made="Preview, without a fit, by", slider="", numbers=numbers,
            figures=[_figure("What the fit sees", display)], results={},
        )  # fmt: skip

    def _write(
        self,
        staged: Path,
        job: Job,
        source: StoredImage,
        *,
        made: str,
        slider: str,
        numbers: Iterable[str],
        figures: Iterable[str],
        results: Mapping[str, str],
    ) -> None:
        name = escape(job.input_path.name)
        shape = " x ".join(map(str, source.shape))
        when = datetime.now().astimezone().isoformat(" ", "seconds")
        machine = environment(resolve_device(job.parameters["device"]))
        page = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8")).substitute(
            nonce=secrets.token_urlsafe(16),
            title=f"{name}: skbgopt",
            heading=name,
            made=escape(f"{made} skbgopt {__version__}, {when}. {shape} pixels of {source.metadata.dtype}."),
            warnings=_warnings(self.warnings),
            slider=slider,
            numbers="\n".join(numbers),
            figures="\n".join(figures),
            command=escape(self.command),
            details=_details("Parameters", {**results, **job.arguments()}) + _details("Environment", machine),
        )
        # Names that are no UTF-8 hold what it cannot encode.
        staged.write_text(page, encoding="utf-8", errors="backslashreplace")


def _unit(source: StoredImage) -> str | None:
    header = source.metadata.header
    return None if header is None else header.get("BUNIT")


def _rgb(frame: InputFrame) -> list[int] | None:
    """Return the planes of a raw mosaic that are red, green and blue."""
    pattern = frame.bayer_pattern
    return None if pattern is None or not set("RGB") <= set(pattern) else [pattern.index(colour) for colour in "RGB"]


def _names(frame: InputFrame, n_channels: int) -> Sequence[str]:
    return channel_names(n_channels) if frame.bayer_pattern is None else frame.bayer_pattern


def _warnings(warnings: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in dict.fromkeys(warnings))
    return f'<div class="warnings"><strong>Warnings</strong><ul>{items}</ul></div>' if items else ""


def _slider(before: np.ndarray, after: np.ndarray) -> str:
    height, width = before.shape[:2]
    before_url, after_url = (_data_url(encode_picture(colours)) for colours in (before, after))
    return (
        f'<figure class="slider" style="--aspect: {width / height:.4f}">'
        f'<img src="{after_url}" alt="The image without its background">'
        f'<img class="before" src="{before_url}" alt="The image as given">'
        '<span class="left">before</span><span class="right">after</span>'
        '<input type="range" min="0" max="100" step="0.1" value="50" '
        'aria-label="Share of the width that shows the image as given">'
        "</figure>"
    )


def _figure(title: str, display: Any) -> str:
    url = _data_url(encode_figure(display.figure_, _DPI))
    return (
        f'<h2>{escape(title)}</h2><figure><img src="{url}" alt="{escape(title)}">'
        f"<figcaption>{escape(_CAPTIONS[title])}</figcaption></figure>"
    )


def _data_url(content: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(content).decode('ascii')}"


def _table(title: str, rows: Iterable[tuple[object, ...]], head: Sequence[str] = ()) -> str:
    """Return a table whose rows begin with their names."""
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = [
        f"<caption><strong>{escape(title)}</strong></caption>" if title else "",
        f"<tr><td></td>{heads}</tr>" if heads else "",
    ]
    for name, *values in rows:
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{escape(str(name))}</th>{cells}</tr>')
    return f"<table>{''.join(lines)}</table>"


def _channel_table(values: Mapping[str, np.ndarray], frame: InputFrame, unit: str | None) -> str:
    names = _names(frame, len(next(iter(values.values()))))
    rows = ((name, *(f"{value:.5g}" for value in of_channels)) for name, of_channels in values.items())
    return _table("Channels" if unit is None else f"Channels, in {unit}", rows, names)


def _excluded_table(excluded: Mapping[str, int], frame: InputFrame) -> str:
    height, width = frame.pixels.shape[:2]
    rows = [(reason, count, f"{count / (height * width):.2%}") for reason, count in excluded.items()]
    return _table("Excluded", rows or [("nothing", 0, "0 %")], ("pixels", "of the image"))


def _details(title: str, values: Mapping[str, Any]) -> str:
    return f"<details><summary>{escape(title)}</summary>{_table('', values.items())}</details>"
