"""The work behind ``skbgopt remove``: read, prepare, fit, predict, write, and report each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from skbgopt._device import resolve_device
from skbgopt.background import BackgroundSplineRegressor
from skbgopt.cli import _report as report
from skbgopt.cli._hints import warn_if_little_is_used, warn_if_much_is_clipped, warn_if_noise_is_lost
from skbgopt.cli._inputs import (
    InputFrame,
    check_memory,
    check_unchanged,
    make_frame,
    open_input,
    result_dtype,
    stamps_of,
)
from skbgopt.cli._job import Job, result_cards, result_history
from skbgopt.cli._outputs import all_or_none, check_is_no_file_name, check_targets
from skbgopt.io import ImageMetadata, StoredImage, read_image, write_image
from skbgopt.io._integers import to_integers
from skbgopt.io._layout import writable_pixels
from skbgopt.io._mapped import NewImage, create_image, is_mapped
from skbgopt.metrics import channel_statistics

if TYPE_CHECKING:
    from skbgopt.cli._html import Page
    from skbgopt.preparation import PreparedImage

_ROLES = ("subtracted", "model")
_FITTED_FIGURES = ("level_std", "reduced_chi2", "overshoot_fraction")


@dataclass(frozen=True)
class Figures:
    """What a job found out about its image, arrays of each channel; None of what only a fit to the image tells."""

    gradient: np.ndarray
    noise: np.ndarray
    excluded: dict[str, int]
    level_std: np.ndarray | None = None
    reduced_chi2: np.ndarray | None = None
    overshoot_fraction: float | None = None


@dataclass(frozen=True)
class Removal:
    """The files of a finished job, how long it took, its figures, and the model."""

    source: StoredImage
    files: list[Path]
    seconds: float
    figures: Figures
    model: BackgroundSplineRegressor

    @property
    def image(self) -> np.ndarray:
        """The image that was given, read again."""
        return self.source.read()[0]

    @property
    def corrected(self) -> np.ndarray:
        """The image without its background."""
        return read_image(self.files[0])[0]

    @property
    def background(self) -> np.ndarray:
        """The background."""
        return read_image(self.files[1])[0]


def run_removal(job: Job, say: report.Say, page: Page | None = None) -> Removal:
    """Remove a background and write the results, and the page that was asked for."""
    start = perf_counter()
    estimator = job.estimator()
    check_is_no_file_name(job.output_dir)
    job = replace(job, stamps={**stamps_of(job.sources), **job.stamps})
    source = open_input(job.input_path, job.hdu)
    mask = None if job.mask is None else open_input(job.mask)
    targets = job.targets(source)
    models = [] if job.save_model is None else [job.save_model]
    pages = [] if page is None else [page.path]
    _check_outputs(job, source, targets, [*models, *pages])
    in_bands = _works_in_bands(job, source, targets)
    compress = job.compress or job.output_dtype != "float"
    check_memory(
        source, mask, job.max_memory, in_bands=in_bands, compress=compress, page=page is not None, block=job.block
    )
    with all_or_none([*targets, *models, *pages], job.prefix, overwrite=job.overwrite) as staged:
        pairs = [(target, staged[target]) for target in targets]
        figures = _remove(job, source, mask, estimator, pairs, say, in_bands)
        for target in models:
            say(f"Writing {target}... ", nl=False)
            estimator.save(staged[target])
            say("done.")
        removal = Removal(source, targets, perf_counter() - start, figures, estimator)
        if page is not None:
            say(f"Writing {page.path}... ", nl=False)
            page.write_removal(staged[page.path], job, make_frame(*source.read(), mask), removal)
            say("done.")
    return removal


def fit_model(job: Job) -> BackgroundSplineRegressor:
    """Return the model of an image, without writing any file."""
    estimator, frame = job.estimator(), read_frame(job)
    return estimator.fit(frame.pixels, sample_weight=frame.weights)


def read_frame(job: Job) -> InputFrame:
    """Return the image of a job with its weights."""
    source = open_input(job.input_path, job.hdu)
    mask = None if job.mask is None else open_input(job.mask)
    check_memory(source, mask, job.max_memory, in_bands=False, compress=False, block=job.block)
    return make_frame(*source.read(), mask)


def _check_outputs(job: Job, source: StoredImage, targets: list[Path], others: list[Path]) -> None:
    check_targets([*targets, *others], [*job.sources, *job.beside], overwrite=job.overwrite)
    # An array of the results' shape and type that takes no memory: can the format hold it at all?
    likeness = np.broadcast_to(_stored_dtype(job, source).type(0), source.shape)
    writable_pixels(likeness, targets[0], job.file_format or source.metadata.format)


def _stored_dtype(job: Job, source: StoredImage) -> np.dtype:
    return result_dtype(source) if job.output_dtype == "float" else np.dtype(job.output_dtype)


def _works_in_bands(job: Job, source: StoredImage, targets: list[Path]) -> bool:
    """Whether the pixels stay in the files: read in bands, fitted and corrected where they are to be."""
    is_mosaic = source.metadata.bayer_pattern is not None and len(source.shape) == 2
    return (
        source.copy_to is not None
        and not is_mosaic
        and job.output_dtype == "float"
        and is_mapped(targets[0], result_dtype(source), source.metadata, compress=job.compress)
    )


def _remove(
    job: Job,
    source: StoredImage,
    mask: StoredImage | None,
    estimator: BackgroundSplineRegressor,
    targets: list[tuple[Path, Path]],
    say: report.Say,
    in_bands: bool,
) -> Figures:
    image, metadata = source.read() if not in_bands else (None, source.metadata)
    with ExitStack() as stack:
        # The last one entered is the first one written.
        background, corrected = (
            stack.enter_context(_output(job, source, metadata, *paths, role, say))
            for paths, role in zip(reversed(targets), reversed(_ROLES), strict=True)
        )
        if in_bands and source.copy_to is not None:
            source.copy_to(corrected.pixels)
        frame = make_frame(corrected.pixels if image is None else image, metadata, mask)
        check_unchanged(job.stamps)
        del image
        prepared = prepare_frame(job, frame, estimator, say)
        noise, excluded, found = prepared.noise, prepared.excluded, {}
        if job.output_dtype != "float":
            warn_if_noise_is_lost(noise, job.output_dtype, job.output_scale)
        if job.model is not None and prepared.excluded["missing"] == prepared.frame.height * prepared.frame.width:
            raise ValueError(f"There is nothing to subtract a background from: {prepared.describe_excluded()}.")
        if job.model is None:
            _fit(job, estimator, prepared, say)
            found = {name: getattr(estimator, f"{name}_") for name in _FITTED_FIGURES}
        del prepared
        gradient = _evaluate(estimator, frame, background.pixels, corrected.pixels, say)
        # The writers need its memory.
        del frame
        say(report.heading("Saving output files"))
        for output, role in ((corrected, _ROLES[0]), (background, _ROLES[1])):
            output.cards = result_cards(job, estimator, role)
    return Figures(gradient, noise, excluded, **found)


@contextmanager
def _output(
    job: Job, source: StoredImage, metadata: ImageMetadata, target: Path, staged: Path, role: str, say: report.Say
) -> Iterator[NewImage]:
    """Make an image that is filled in the block; say when it is written after it."""
    what = f"background removed ({job.parameters['correction']})" if role == "subtracted" else "background model"
    clipped, history = 0.0, result_history(job, what)
    if job.output_dtype != "float":
        output = NewImage(np.zeros(source.shape, result_dtype(source)))
        yield output
        say(f"Writing {target}... ", nl=False)
        clipped = _write_integers(job, output, staged, metadata, history, say)
    else:
        # As many cards as there will be.
        cards = result_cards(job, BackgroundSplineRegressor(**job.parameters), role)
        dtype, compress = result_dtype(source), job.compress
        with create_image(
            staged, source.shape, dtype, metadata, compress=compress, history=history, cards=cards
        ) as output:
            yield output
            say(f"Writing {target}... ", nl=False)
    say("done.")
    warn_if_much_is_clipped(target.name, clipped)


def _write_integers(
    job: Job, output: NewImage, staged: Path, metadata: ImageMetadata, history: list[str], say: report.Say
) -> float:
    """Return the share of the values that is clipped."""
    seed = job.parameters["random_state"] or 0
    integers, n_clipped = to_integers(
        output.pixels,
        job.output_dtype,
        scale=job.output_scale,
        pedestal=job.pedestal,
        missing_values=job.parameters["missing_values"],
        random_state=seed,
    )
    line = (
        f"{job.output_dtype} = round(value * {job.output_scale:g} + {job.pedestal:g} + dither of seed {seed}), "
        f"{n_clipped} of {integers.size} values clipped"
    )
    write_image(
        staged, integers, metadata, compress=job.compress, history=[*history, f"skbgopt {line}"], cards=output.cards
    )
    say(f"{line}... ", nl=False)
    return n_clipped / integers.size


def prepare_frame(job: Job, frame: InputFrame, estimator: BackgroundSplineRegressor, say: report.Say) -> PreparedImage:
    """Prepare what is fitted, and report it with the arguments and the environment."""
    # First what may be refused, so that no report comes before an error.
    prepared = estimator.prepare(frame.pixels, sample_weight=frame.weights)
    say("__/ Arguments \\__________")
    for line in report.aligned(job.arguments()):
        say(line)
    say(report.heading("Environment"))
    for line in report.aligned(report.environment(resolve_device(estimator.device))):
        say(line)
    for line in report.preprocessing(frame.pixels, prepared):
        say(line)
    if frame.bayer_pattern is not None:
        say(
            f"The image is a raw {frame.bayer_pattern} mosaic: "
            "its four colour planes are fitted as four channels and put together again."
        )
    return prepared


def _fit(job: Job, estimator: BackgroundSplineRegressor, prepared: PreparedImage, say: report.Say) -> None:
    say(report.heading("Background modeling"))
    say("Fitting spline...")
    start = perf_counter()
    estimator.fit_prepared(prepared)
    warn_if_little_is_used(prepared, masked=job.mask is not None)
    for line in report.modeling(estimator, perf_counter() - start, verbose=job.verbose):
        say(line)


def _evaluate(
    estimator: BackgroundSplineRegressor,
    frame: InputFrame,
    background: np.ndarray,
    corrected: np.ndarray,
    say: report.Say,
) -> np.ndarray:
    """Fill both results and return the model's range; the frame's own pixels are used up."""
    say(report.heading("Full-size background model & subtracted image"))
    start = perf_counter()
    if frame.bayer_pattern is None:
        estimator.predict(frame.pixels, out=background)
    else:
        background[...] = frame.as_in_file(estimator.predict(frame.pixels))
    result = frame.as_in_file(estimator.transform(frame.pixels, copy=False))
    if result is not corrected:
        corrected[...] = result
    statistics = channel_statistics(background)
    if not np.isfinite(statistics).all():
        raise ValueError("The model has no finite background here: fit the image, or take another model.")
    for line in report.full_size(statistics, channel_statistics(corrected), perf_counter() - start):
        say(line)
    return statistics[2] - statistics[0]
