"""The Optuna study of a search: storage, sampler, the count of its trials, and its results as a table."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import rankdata
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

# Seconds between signs of life of a running trial, and without one until it is taken for dead and tried again.
_HEARTBEAT = 10
_GRACE = 30
_RETRIES = 2
# sqlite locks its whole file for each writer; others wait so many seconds for it.
_SQLITE_WAIT = 60


class SeededTPE(BaseSampler):
    """TPE whose random numbers depend on a seed and the number of the trial alone.

    So processes that share a study and a seed never draw the same point, and a study that was killed goes on as it
    would have gone on.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self._current: dict[int, TPESampler] = {}

    def reseed_rng(self) -> None:
        """Do nothing: trials of other threads have other numbers."""

    def before_trial(self, study, trial) -> None:
        """Make the sampler of this trial."""
        seed = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0]
        self._current[trial.number] = TPESampler(seed=int(seed), multivariate=True)

    def infer_relative_search_space(self, study, trial):
        """Return the parameters that are drawn together."""
        return self._current[trial.number].infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        """Draw them."""
        return self._current[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        """Draw one parameter alone."""
        return self._current[trial.number].sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study, trial, state, values) -> None:
        """Forget the sampler of this trial."""
        self._current.pop(trial.number, None)


def open_storage(storage: str | BaseStorage | None) -> BaseStorage | None:
    """Return the storage at a URL, one that notices killed processes and tries their trials again."""
    if not isinstance(storage, str):
        return storage
    try:
        return _database(storage)
    except SQLAlchemyError:
        # Two processes made the tables at the same time, and one of them found them half there.
        time.sleep(1)
        return _database(storage)


def _database(url: str) -> RDBStorage:
    is_sqlite = url.startswith("sqlite")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": _SQLITE_WAIT}} if is_sqlite else None,
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES),
        )
    if is_sqlite:
        # Else two processes may read that the same trial waits, before either writes that it runs.
        event.listen(storage.engine, "connect", _leave_transactions)
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        storage.engine.dispose()
    return storage


def _leave_transactions(connection, _) -> None:
    """Keep Python's sqlite3 from beginning transactions of its own, which lock too late."""
    connection.isolation_level = None


@contextmanager
def log_lines(wanted: bool) -> Iterator[None]:
    """Let Optuna write a line for each trial, or none."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO if wanted else optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: complete, pruned, or failed in the fit.

    One that runs may never end; one that failed without a message was lost with its process.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in trials if trial.state != TrialState.FAIL or "error" in trial.user_attrs]


def results_table(trials: list[FrozenTrial], n_splits: int) -> dict[str, Any]:
    """Return what scikit-learn's searches return as ``cv_results_``, with the trials' states and errors.

    The scores of a trial that did not run to its end are NaN but for the folds that it had.
    """
    scores, fit_times, score_times = np.moveaxis(np.array([_folds(trial, n_splits) for trial in trials]), 2, 0)
    complete = np.array([trial.state == TrialState.COMPLETE for trial in trials])
    mean = np.where(complete, scores.mean(axis=1), np.nan)
    results: dict[str, Any] = {}
    for name, times in (("fit", fit_times), ("score", score_times)):
        known = np.ma.masked_invalid(times)
        results[f"mean_{name}_time"] = known.mean(axis=1).filled(np.nan)
        results[f"std_{name}_time"] = known.std(axis=1).filled(np.nan)
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        column = np.ma.masked_all(len(trials), dtype=object)
        for k, trial in enumerate(trials):
            if name in trial.params:
                column[k] = trial.params[name]
        results[f"param_{name}"] = column
    results["params"] = [trial.params for trial in trials]
    results |= {f"split{k}_test_score": scores[:, k] for k in range(n_splits)}
    results["mean_test_score"] = mean
    results["std_test_score"] = np.where(complete, scores.std(axis=1), np.nan)
    # Those without a score share the last rank.
    results["rank_test_score"] = rankdata(np.where(complete, -mean, np.inf), method="min").astype(np.int32)
    results["state"] = [trial.state.name for trial in trials]
    results["error"] = [trial.user_attrs.get("error", "") for trial in trials]
    return results


def _folds(trial: FrozenTrial, n_splits: int) -> np.ndarray:
    """Return score, fit time and score time of each fold, NaN where the trial ended before."""
    table = np.full((n_splits, 3), np.nan)
    for k, fold in enumerate(trial.user_attrs.get("folds", [])[:n_splits]):
        table[k] = fold
    return table
