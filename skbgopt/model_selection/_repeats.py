"""Settings that are tried no second time: `OnceEach`, and how many there are in a space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from ._objective import OWN, BackgroundObjective
from ._study import finished_trials


@dataclass(frozen=True)
class OnceEach:
    """An objective that computes no setting twice: a trial that repeats another takes its result at once."""

    objective: BackgroundObjective

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """Return the loss of the parameters that the trial suggests."""
        params = self.objective.suggested(trial)
        earlier = next((done for done in finished_trials(trial.study) if done.params == params), None)
        if earlier is None or (earlier.state == TrialState.PRUNED and OWN in trial.user_attrs):
            return self.objective(trial)
        return _repeated(trial, earlier)


def _repeated(trial: optuna.Trial, earlier: FrozenTrial) -> float:
    # It took no time.
    folds = [(score, 0.0, 0.0) for score, *_ in earlier.user_attrs.get("folds", [])]
    trial.set_user_attr("folds", folds)
    if earlier.state == TrialState.FAIL:
        trial.set_user_attr("error", earlier.user_attrs["error"])
        raise ValueError(earlier.user_attrs["error"])
    for step, loss in earlier.intermediate_values.items():
        trial.report(loss, step)
    if earlier.state == TrialState.PRUNED:
        raise optuna.TrialPruned("as another of the same parameters")
    return earlier.values[0]


def is_exhausted(study: optuna.Study, distributions: dict[str, BaseDistribution]) -> bool:
    """Return whether every setting of a finite space was tried."""
    trials = finished_trials(study)
    if len(trials) < (n_settings := math.prod(map(_n_values, distributions.values()))):
        return False
    tried: list[dict] = []
    for trial in trials:
        # Those with the estimator's own setting alone may lie outside.
        if trial.number >= 0 and trial.params not in tried:
            tried.append(trial.params)
    return len(tried) >= n_settings


def _n_values(space: BaseDistribution) -> float:
    if isinstance(space, CategoricalDistribution):
        return len(space.choices)
    if isinstance(space, IntDistribution):
        return (space.high - space.low) // space.step + 1
    if space.single():
        return 1
    if isinstance(space, FloatDistribution) and space.step is not None:
        return round((space.high - space.low) / space.step) + 1
    return math.inf
