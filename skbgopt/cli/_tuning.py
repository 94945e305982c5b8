"""The work behind ``skbgopt tune``: read, search, report, and write what was found."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from skbgopt import __version__
from skbgopt.cli import _report as report
from skbgopt.cli._inputs import InputFrame
from skbgopt.cli._job import Job
from skbgopt.cli._outputs import all_or_none, check_targets
from skbgopt.cli._run import read_frame
from skbgopt.model_selection import BackgroundSearchCV
from skbgopt.model_selection._space import as_distributions
from skbgopt.model_selection._study import finished_trials

FlagsOf = Callable[[dict[str, Any]], list[str]]


@dataclass(frozen=True)
class Search:
    """What a call of ``skbgopt tune`` asks for.

    Attributes
    ----------
    jobs : list of Job
        One for each image; they share all else.
    space : dict or None
        What to search, None for the default space without `held`.
    held : frozenset of str
        Parameters that keep their values.
    n_trials, timeout, n_jobs, storage, study_name
        As in `BackgroundSearchCV`.
    save, picture : Path or None
        Files to be written.
    """

    jobs: list[Job]
    space: dict[str, Any] | None
    held: frozenset[str]
    n_trials: int = 60
    timeout: float | None = None
    n_jobs: int = 1
    storage: str | None = None
    study_name: str | None = None
    save: Path | None = None
    picture: Path | None = None

    @property
    def targets(self) -> list[Path]:
        """The files to be written."""
        return [path for path in (self.save, self.picture) if path is not None]

    def to_be_fitted(self) -> BackgroundSearchCV:
        """Return the search itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, or nothing is left to search; before anything is read.
        """
        job = self.jobs[0]
        estimator = job.estimator()
        space = self.space
        if space is None:
            default = as_distributions(None, estimator)
            space = {name: values for name, values in default.items() if name not in self.held}
        if not space:
            raise ValueError("All that would be searched is held at a value: give a range to --param, or fewer values.")
        search = BackgroundSearchCV(
            estimator, space, n_trials=self.n_trials, timeout=self.timeout, n_jobs=self.n_jobs, storage=self.storage,
            study_name=self.study_name, refit=self.picture is not None, random_state=job.parameters["random_state"],
        )  # fmt: skip
        search._validate_params()
        return search


def run_search(search: Search, say: report.Say, flags_of: FlagsOf, *, shows_progress: bool) -> dict[str, Any]:
    """Search, report and write; return what --save writes.

    Parameters
    ----------
    search : Search
    say : callable
        Prints the report.
    flags_of : callable
        Returns the flags of a setting.
    shows_progress : bool
        On a terminal.
    """
    start = perf_counter()
    tuned = search.to_be_fitted()
    sources = {path for job in search.jobs for path in (*job.sources, *job.beside)}
    check_targets(search.targets, sources, overwrite=search.jobs[0].overwrite)
    frames = [read_frame(job) for job in search.jobs]
    with _progress(search.n_trials, shows_progress) as callback:
        tuned.set_params(callbacks=[callback])
        pixels, weights = [frame.pixels for frame in frames], [frame.weights for frame in frames]
        several = len(frames) > 1
        tuned.fit(pixels if several else pixels[0], sample_weight=weights if several else weights[0])
    found = _record(search, tuned, flags_of, perf_counter() - start)
    for line in _lines(tuned, found):
        say(line)
    _write(search, tuned, frames[0], found, say)
    return found


@contextmanager
def _progress(n_trials: int, wanted: bool) -> Iterator[Callable]:
    """Give a callback of the search that moves a bar, with the best score so far."""
    from tqdm import tqdm

    # None is for "not where stderr is no terminal".
    with tqdm(total=n_trials, unit="trial", file=sys.stderr, disable=None if wanted and sys.stderr else True) as bar:

        def show(study, trial) -> None:
            trials = finished_trials(study)
            if bar.n == 0:
                # Those of earlier runs took no time of this one.
                bar.initial = len(trials) - 1
            losses = [each.values[0] for each in trials if each.state.name == "COMPLETE"]
            if losses:
                bar.set_postfix(best=f"{-min(losses):.5f}", refresh=False)
            bar.update(len(trials) - bar.n)

        yield show


def _record(search: Search, tuned: BackgroundSearchCV, flags_of: FlagsOf, seconds: float) -> dict[str, Any]:
    job, states = search.jobs[0], Counter(tuned.cv_results_["state"])
    parameters = {**job.parameters, **tuned.best_params_}
    return {
        "skbgopt": __version__,
        "inputs": [str(job.input_path) for job in search.jobs],
        "mask": None if job.mask is None else str(job.mask),
        "hdu": job.hdu,
        "parameters": parameters,
        "searched": sorted(tuned.best_params_),
        "score": tuned.best_score_,
        "trials": {state.lower(): states[state] for state in ("COMPLETE", "PRUNED", "FAIL")},
        "importances": tuned.param_importances_,
        "seconds": round(seconds, 3),
        "command": shlex.join([*_command(search), *flags_of(parameters)]),
    }


def _command(search: Search) -> list[str]:
    job = search.jobs[0]
    inputs = [_shown(job.input_path) for job in search.jobs]
    words = ["skbgopt", "remove", *inputs] if len(inputs) == 1 else ["skbgopt", "batch", *inputs, "-o", "."]
    words += [] if job.mask is None else ["--mask", str(job.mask)]
    return words + ([] if job.hdu is None else ["--hdu", str(job.hdu)])


def _shown(path: Path) -> str:
    """Return a path as it is written in the current directory."""
    relative = os.path.relpath(path)
    if relative.startswith(os.pardir):
        return str(path)
    return f".{os.sep}{relative}" if relative.startswith("-") else relative


def _lines(tuned: BackgroundSearchCV, found: dict[str, Any]) -> Iterator[str]:
    """Yield the report."""
    table, trials = tuned.cv_results_, found["trials"]
    yield "__/ Search \\__________"
    numbers = f"{trials['complete']} complete, {trials['pruned']} cut short, {trials['fail']} failed"
    yield f"{sum(trials.values())} trials: {numbers}"
    failed = next((error for error in table["error"] if error), None)
    if failed is not None:
        yield f"The first that failed: {failed}"
    yield f"Score of the best setting: {found['score']:.5f}, of trial {tuned.best_index_ + 1}"
    if table["state"][tuned.own_index_] == "COMPLETE":
        yield f"Score of the setting given: {table['mean_test_score'][tuned.own_index_]:.5f}"
        yield from _refused(tuned, found["score"])
    yield f"Done in {found['seconds']:.2f} seconds"
    yield report.heading("Best setting")
    yield from report.aligned({name: found["parameters"][name] for name in tuned.best_params_})
    if found["importances"]:
        yield report.heading("Importances")
        yield from report.aligned({name: f"{share:.2f}" for name, share in found["importances"].items()})
    yield report.heading("Command")
    yield found["command"]


def _refused(tuned: BackgroundSearchCV, score: float) -> Iterator[str]:
    """Say why a trial with a better score than the best setting's was not taken, if there is one."""
    table = tuned.cv_results_
    scores = np.where(np.equal(table["state"], "COMPLETE"), table["mean_test_score"], -np.inf)
    highest = int(scores.argmax())
    if scores[highest] > score:
        yield (
            f"Trial {highest + 1} scored {scores[highest]:.5f}, but did not beat the setting given by "
            f"{tuned.margin_:.0%} in every fold: it is not taken, as that may be luck"
        )


def _write(
    search: Search, tuned: BackgroundSearchCV, frame: InputFrame, found: dict[str, Any], say: report.Say
) -> None:
    if search.targets:
        say(report.heading("Saving output files"))
    with all_or_none(search.targets, overwrite=search.jobs[0].overwrite) as staged:
        if search.save is not None:
            staged[search.save].write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if search.picture is not None:
            from skbgopt.plotting import SearchDisplay

            display = SearchDisplay.from_estimator(tuned, frame.pixels, sample_weight=frame.weights)
            display.figure_.savefig(staged[search.picture], format="png", dpi=110, bbox_inches="tight")
    for target in search.targets:
        say(f"Wrote {target}.")
