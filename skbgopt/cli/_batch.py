"""``skbgopt batch`` and ``skbgopt apply``: many images, each for itself or by one model."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skbgopt.cli._errors import FAILURE, SentenceCommand, interrupt_code
from skbgopt.cli._help import EXIT_CODES
from skbgopt.cli._hints import warn_of_idle_options
from skbgopt.cli._log import complain, say, speaker
from skbgopt.cli._options import REPLACEABLE, REPORT_NAME, apply_options, batch_options, given_parameters
from skbgopt.cli._remove import job_of

if TYPE_CHECKING:
    from skbgopt.cli._frames import Task
    from skbgopt.cli._job import Job

# How the archives begin that numpy makes.
_ARCHIVE = b"PK\3\4"

_INPUTS = """INPUTS are files, directories, patterns such as 'night?/**/*.fits', and @list.txt with any of these, one
a line. An image that fails does not stop the others. The report has a line of JSON for each image: input, outputs,
status, hash, parameters, gradient_removed (the model's range), smoothing (that was used, also where "auto" chose it),
noise and level_std (standard error of the sky's level) of each channel in the image's units, reduced_chi2 of each
channel, overshoot_fraction, pixels excluded by each reason, seconds, warnings, error."""

_BATCH_EPILOG = f"""{_INPUTS}

\b
Examples:
  skbgopt batch lights -o flat --jobs 4
  skbgopt batch lights -o flat --jobs 4 --resume    go on after it was stopped
  skbgopt batch lights -o flat --warm-start         frames of one night, whose skies are alike
  skbgopt batch 'night*/*.xisf' @more.txt -o flat --same-model night1/best.xisf
  skbgopt batch lights -o flat --scheduler tcp://host:8786

{EXIT_CODES} If any image fails: 1.
"""

_APPLY_EPILOG = f"""{_INPUTS}

\b
Examples:
  skbgopt remove best.xisf flat --save-model night.npz
  skbgopt apply night.npz lights -o flat --jobs 4

{EXIT_CODES} If any image fails: 1.
"""


@click.command(cls=SentenceCommand, epilog=_BATCH_EPILOG)
@click.argument("inputs", nargs=-1, required=True)
@batch_options
@click.pass_context
def batch(ctx: click.Context, inputs: tuple[str, ...], same_model: Path | None, **_) -> None:
    """Remove the sky background of many images; results and report go to DIR."""
    _run(ctx, inputs, same_model)


@click.command("apply", cls=SentenceCommand, epilog=_APPLY_EPILOG)
@click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True)
@apply_options
@click.pass_context
def apply_model(ctx: click.Context, model_path: Path, inputs: tuple[str, ...], **_) -> None:
    """Remove the background that MODEL (a saved one, or an image to fit) has from many images: batch --same-model."""
    _run(ctx, inputs, model_path)


def _run(ctx: click.Context, inputs: tuple[str, ...], reference: Path | None) -> None:
    from skbgopt.cli._ledger import ledger
    from skbgopt.cli._workers import run_tasks

    given = ctx.params
    tasks = _tasks(ctx, inputs, reference)
    output_dir, prefix = given["output_dir"], tasks[0].job.prefix
    report = given["report"] or output_dir / REPORT_NAME
    counts: Counter[str] = Counter()
    try:
        with (
            _the_only_run(output_dir, prefix),
            ledger(report) as add,
            _progress(len(tasks), given["quiet"]) as bar,
            closing(run_tasks(tasks, given["jobs"], given["scheduler"])) as records,
        ):
            for record in records:
                add(record)
                counts[record["status"]] += 1
                with bar.external_write_mode():
                    _tell(record, given)
                bar.update()
    except KeyboardInterrupt as error:
        complain(f"skbgopt: interrupted after {counts.total()} of {len(tasks)} images; --resume goes on.")
        ctx.exit(interrupt_code(error))
    numbers = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed"))
    speaker(given["quiet"] or given["as_json"])(f"{numbers}; report: {report}")
    ctx.exit(FAILURE if counts["failed"] else 0)


def _tasks(ctx: click.Context, inputs: tuple[str, ...], reference: Path | None) -> list[Task]:
    from skbgopt.cli._expand import check_names, check_results, input_files
    from skbgopt.cli._frames import Task, hash_of, settings_hash
    from skbgopt.cli._inputs import stamps_of
    from skbgopt.cli._outputs import check_is_no_file_name, split_suffix

    given = ctx.params
    if given["jobs"] < -1 or given["jobs"] == 0:
        raise ValueError(f"--jobs must be 1 or more, or -1 for one for each core, got {given['jobs']}.")
    paths = input_files(inputs)
    if not any(path.exists() for path in paths):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(paths[0]))
    mask = None if given.get("mask") is None else Path(os.path.abspath(given["mask"]))
    # It may lie in a directory of frames, of which it is none.
    paths = [path for path in paths if path != mask] or paths
    check_names(paths, given["file_format"])
    check_is_no_file_name(given["output_dir"])
    warn_of_idle_options(ctx)
    job = job_of(
        ctx,
        input_path=paths[0],
        output_dir=Path(os.path.abspath(given["output_dir"])),
        mask=mask,
        # The settings' hash is of what it holds now.
        stamps=stamps_of([] if mask is None else [mask]),
    )
    job.estimator()
    check_results(paths, [*paths, *job.sources, *job.beside], job.output_dir)
    if reference is not None:
        job = _with_model(ctx, job, reference)
    settings = settings_hash(job, job.mask, reference)
    # Known again when this batch goes on, and no other's, which may be at work in the same directory.
    job = replace(job, prefix=f".skbgopt-{hash_of(settings, *map(str, paths))[:12]}-")
    older = _older_results(job.output_dir)
    return [
        Task(replace(job, input_path=path), settings, given["resume"], frozenset(older[split_suffix(path)[0]]))
        for path in paths
    ]


def _with_model(ctx: click.Context, job: Job, reference: Path) -> Job:
    """Return the job with the model of a file, or of an image that is fitted here, once."""
    from skbgopt.background import BackgroundSplineRegressor
    from skbgopt.cli._run import fit_model

    if _is_model(reference):
        others = given_parameters(ctx) - {*REPLACEABLE, "device"}
        others |= {"params"} if ctx.params.get("params") else set()
        if others:
            raise ValueError(f"A saved model has its own {', '.join(sorted(others))}: leave these flags out.")
        model = BackgroundSplineRegressor.load(reference)
        model.set_params(**{name: job.parameters[name] for name in {*REPLACEABLE} & given_parameters(ctx)})
    else:
        model = fit_model(replace(job, input_path=reference))
    # Only a fit needs the device, and other machines may not have it.
    model.set_params(device="cpu")
    parameters: dict[str, Any] = {name: model.get_params()[name] for name in job.parameters}
    return replace(job, model=model, parameters=parameters)


def _is_model(path: Path) -> bool:
    """Return whether a file is a saved model: one of that suffix, or an archive of any name."""
    # A pipe would wait for somebody to write.
    if path.suffix.lower() == ".npz" or not path.is_file():
        return path.suffix.lower() == ".npz"
    with open(path, "rb") as file:
        return file.read(len(_ARCHIVE)) == _ARCHIVE


def _older_results(directory: Path) -> defaultdict[str, set[str]]:
    """Return the names of the results in a directory, by those of their inputs."""
    older: defaultdict[str, set[str]] = defaultdict(set)
    for name in os.listdir(directory) if directory.is_dir() else ():
        older[name.rpartition("_bg")[0]].add(name)
    return older


@contextmanager
def _the_only_run(directory: Path, prefix: str) -> Iterator[None]:
    """Let no other run of this batch work beside the block, and clear away what killed ones had begun to write.

    Raises
    ------
    ValueError
        If another is at work: it would find its files cleared away.
    """
    from filelock import FileLock, Timeout

    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    _clear_away_dead(directory)
    lock = FileLock(directory / f"{prefix}lock", timeout=0)
    is_taken = False
    # A signal may come while the lock is taken.
    try:
        try:
            lock.acquire()
            # Some systems let nobody write to what is locked.
            with suppress(OSError):
                Path(lock.lock_file).write_text(platform.node(), encoding="utf-8")
        except Timeout:
            is_taken = True
            raise ValueError(
                f"Another run of this batch is at work in {directory}: wait for it, or give another --output-dir."
            ) from None
        except NotImplementedError:
            # The file system knows no locks.
            pass
        _remove_leftovers(directory, prefix)
        yield
    finally:
        if not is_taken:
            _remove_leftovers(directory, prefix)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
        # As where nothing could be done.
        if is_new and not any(directory.iterdir()):
            directory.rmdir()


def _clear_away_dead(directory: Path) -> None:
    """Remove what any batches that were killed here had begun to write: their locks are there, and nobody holds them.

    With one input more the next batch is another one. Of other machines some file systems know no locks.
    """
    from filelock import FileLock, Timeout

    for path in directory.glob(".skbgopt-*-lock"):
        # Whose lock cannot be had may be at work.
        with suppress(Timeout, NotImplementedError, OSError, ValueError):
            if path.read_text(encoding="utf-8") == platform.node():
                with FileLock(path, timeout=0):
                    _remove_leftovers(directory, path.name.removesuffix("lock"))
                    path.unlink()


def _remove_leftovers(directory: Path, prefix: str) -> None:
    """Remove what processes of this batch that were killed had begun to write."""
    for leftover in directory.glob(f"{prefix}*"):
        # The lock is a file, and stays.
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _progress(total: int, quiet: bool):
    from tqdm import tqdm

    # None is for "not where stderr is no terminal".
    with tqdm(total=total, unit="image", disable=True if quiet or sys.stderr is None else None) as bar:
        yield bar


def _tell(record: dict[str, Any], given: dict[str, Any]) -> None:
    from skbgopt.cli._report import image_line

    for warning in record["warnings"]:
        complain(f"warning: {record['input']}: {warning}", logging.WARNING)
    if record["error"] is not None:
        complain(f"skbgopt: {record['input']}: {record['error']}")
    if given["as_json"]:
        say(json.dumps(record))
    elif record["error"] is None:
        speaker(given["quiet"] or not given["verbose"])(image_line(record))
