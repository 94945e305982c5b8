"""The Optuna study of a search: its sampler, the count of its trials, its results as a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import rankdata

from ._own import trials_beside


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

    One that runs may never end; one that failed without a message was lost with its process. The estimator's own
    setting comes first where it was scored beside the trials of the study.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    counted = [trial for trial in trials if trial.state != TrialState.FAIL or "error" in trial.user_attrs]
    return [*trials_beside(study), *counted]


def param_importances(study: optuna.Study) -> dict[str, float]:
    """Return how far each parameter decides which trials are among the best, the largest first; the sum is 1.

    Empty with fewer than two trials to compare.
    """
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 2:
        return {}
    with warnings.catch_warnings():
        # Of equal shares where all trials are equally good.
        warnings.simplefilter("ignore")
        # This evaluator sees the ranges of logarithmic parameters as they are searched.
        found = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(importance) for name, importance in found.items()}


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


def why_none(trials: list[FrozenTrial], timeout: float | None) -> str:
    """Return the sentence on a search none of whose trials is complete."""
    errors = [trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs]
    if errors:
        return f"All {len(errors)} trials of BackgroundSearchCV failed, the first with: {errors[0]}"
    if trials:
        return "No trial of BackgroundSearchCV came to its end: take a pruner that leaves some."
    if timeout is None:
        return "No trial of BackgroundSearchCV ended: let callbacks and sampler stop the search later."
    return "No trial of BackgroundSearchCV ended within the timeout: give it more time."
