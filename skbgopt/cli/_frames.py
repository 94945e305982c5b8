"""One image of a batch, on whatever process or machine: skip it, or work on it, and say how that went."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import RLock, Thread
from time import perf_counter, sleep
from typing import Any

from tqdm import tqdm

from skbgopt.background import BackgroundSplineRegressor
from skbgopt.cli._errors import one_line, sentence
from skbgopt.cli._inputs import open_input, stamps_of
from skbgopt.cli._job import KEY_CARD, Job
from skbgopt.cli._ledger import Record
from skbgopt.cli._run import Removal, run_removal

_SECONDS_BETWEEN_LOOKS = 0.5
# The last fit of this process, by the prefix of its batch: what --warm-start begins with.
_last_fits: dict[str, BackgroundSplineRegressor] = {}


@dataclass(frozen=True)
class Task:
    """What is to be done with one image.

    Attributes
    ----------
    job : Job
    settings : str
        `settings_hash` of the job.
    resume : bool
        Whether results that are there and are what this task would make are left.
    older : frozenset of str
        Names of results that were there before the batch. Others with this task's key were made by a worker of
        this batch that was lost before it could tell.
    parent : int or None
        The process without which there is nobody to work for.
    """

    job: Job
    settings: str
    resume: bool = False
    older: frozenset[str] = frozenset()
    parent: int | None = None


def settings_hash(job: Job, *files: Path | None) -> str:
    """Return a hash of all that results depend on but the image: the options, and what these files hold."""
    options = {
        "parameters": job.parameters,
        "hdu": job.hdu,
        "compress": job.compress,
        "output": [job.output_dtype, job.output_scale, job.pedestal],
        "files": [None if path is None else _file_hash(path) for path in files],
    }
    return hash_of(json.dumps(options, sort_keys=True))


def hash_of(*texts: str) -> str:
    """Return a hash of texts."""
    return _blake(os.fsencode("\n".join(texts))).hexdigest()


def process_frame(task: Task) -> Record:
    """Return the record of an image; whatever happens to it becomes part of that."""
    if task.parent is not None:
        _become_worker_of(task.parent)
    start = perf_counter()
    record = new_record(task.job)
    with warnings_in(record):
        try:
            record |= _process(task, record)
        except Exception as error:
            record["error"] = sentence(error)
    record["seconds"] = round(perf_counter() - start, 3)
    return record


@lru_cache
def _become_worker_of(parent: int) -> None:
    """Let this process end soon after the batch was killed, whose successor shall not find it at work."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
    # The one that tqdm takes by default is a semaphore of the system, which a process that is killed leaves behind.
    tqdm.set_lock(RLock())


@contextmanager
def warnings_in(record: Record) -> Iterator[None]:
    """Keep the warnings of the block in a record, each once."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    record["warnings"] = list(dict.fromkeys(one_line(str(warning.message)) for warning in caught))


def new_record(job: Job, error: str | None = None) -> Record:
    """Return the record of an image on which nothing was done."""
    return {
        "input": str(job.input_path),
        "outputs": [],
        "status": "failed",
        "hash": None,
        "parameters": job.parameters,
        "gradient_removed": None,
        "smoothing": None,
        "noise": None,
        "level_std": None,
        "reduced_chi2": None,
        "overshoot_fraction": None,
        "excluded": None,
        "seconds": None,
        "warnings": [],
        "error": error,
    }


def _process(task: Task, record: Record) -> dict[str, Any]:
    stamps = stamps_of([task.job.input_path])
    source = open_input(task.job.input_path, task.job.hdu)
    key = hash_of(task.settings, _file_hash(task.job.input_path))
    job = replace(task.job, key=key, stamps={**task.job.stamps, **stamps})
    targets = job.targets(source)
    # Of a failure too: results of an earlier batch may be the same.
    record["hash"] = key
    there = [target for target in targets if target.exists()]
    if (task.resume or not task.older.intersection(target.name for target in there)) and all(
        _is_result_of(key, target) for target in there
    ):
        if len(there) == len(targets):
            status = "skipped" if task.resume else "done"
            return {"outputs": [str(target) for target in targets], "status": status}
        # The first of two, from a batch that was killed between them.
        job = replace(job, overwrite=job.overwrite or bool(there))
    return result_of(_remove(job))


def _remove(job: Job) -> Removal:
    """Remove a background; with --warm-start remember the fit, and begin with the one remembered."""
    if not job.parameters["warm_start"] or job.model is not None:
        return run_removal(job, _say_nothing)
    removal = run_removal(replace(job, start=_last_fits.get(job.prefix)), _say_nothing)
    _last_fits.clear()
    _last_fits[job.prefix] = removal.model
    return removal


def result_of(removal: Removal) -> Record:
    """Return what the record of an image says of its results."""
    figures = removal.figures
    return {
        "outputs": [str(path) for path in removal.files],
        "status": "done",
        "gradient_removed": _numbers(figures.gradient),
        "smoothing": float(removal.model.smoothing_),
        "noise": _numbers(figures.noise),
        "level_std": _numbers(figures.level_std),
        "reduced_chi2": _numbers(figures.reduced_chi2),
        "overshoot_fraction": figures.overshoot_fraction,
        "excluded": figures.excluded,
        "seconds": round(removal.seconds, 3),
    }


def _is_result_of(key: str, path: Path) -> bool:
    try:
        return open_input(path).card(KEY_CARD) == key
    except (OSError, ValueError):
        return False


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, _blake).hexdigest()


def _blake(content: bytes = b""):
    return hashlib.blake2b(content, digest_size=16)


def _numbers(values) -> list[float | None] | None:
    if values is None:
        return None
    return [float(value) if math.isfinite(value) else None for value in values]


def _say_nothing(line: str = "", **_) -> None:
    """Stand where `click.echo` may stand."""
