"""The setting that a search is given, which another has to beat: scored in any case, in the space searched or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ._objective import FIT_ERRORS, OWN, BackgroundObjective
from ._space import PUBLISHED, starting_point

# By so much of the own setting's score in each fold another has to be better. One whose smoothing was chosen on
# held-out blocks leaves less to be found, and more of it is luck.
MARGIN, MARGIN_OF_CHOSEN = 0.1, 0.5
# User attributes of a study whose names begin so hold a setting and its folds: a distribution of Optuna cannot hold
# what lies outside of it, and a trial of other parameters would mislead the sampler.
_BESIDE = f"{OWN}_"


@dataclass(frozen=True)
class OwnSetting:
    """An estimator's own values of the parameters searched.

    Attributes
    ----------
    params : dict
        With the number that "auto" chooses, where a range of smoothings is searched.
    point : dict
        What of them lies in the space, numbers moved to what their ranges allow.
    margin : float
        By so much of its score in each fold another has to be better.
    chose_smoothing : bool
        Whether "auto" stands behind the smoothing; it is "auto" again where the setting is taken, as other images need
        other numbers.
    """

    params: dict[str, Any]
    point: dict[str, Any]
    margin: float
    chose_smoothing: bool

    @classmethod
    def of(cls, objective: BackgroundObjective) -> OwnSetting:
        """Return that of an objective's estimator."""
        estimator, chosen = objective.estimator, objective.chosen_smoothing()
        own = objective.own_setting(chosen)
        params = {name: _plain(own[name]) for name in objective.distributions}
        point = starting_point(params, objective.distributions)
        if _are_close(params, point):
            params = point
        margin = MARGIN_OF_CHOSEN if getattr(estimator, "smoothing", "auto") == "auto" else MARGIN
        return cls(params, point, margin, chosen is not None)

    @property
    def is_in_space(self) -> bool:
        """Whether a trial can have these parameters."""
        return self.params == self.point

    def published(self, distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return the point with the published control points, order, quantile and, as far as it goes, smoothing."""
        return starting_point({**self.params, **PUBLISHED}, distributions)

    def trial_of(self, trials: list[FrozenTrial]) -> FrozenTrial | None:
        """Return the trial that was scored with it, or failed."""
        return next((each for each in trials if each.state != TrialState.PRUNED and each.params == self.params), None)

    def best_of(self, trials: list[FrozenTrial]) -> FrozenTrial:
        """Return the best of the complete trials that beat it by its margin in every fold, or its own.

        The best of many scores is partly luck, which does not come about in every fold (docs/search_score.md).
        """
        own = self.trial_of(trials)
        # Other settings given to the same search may lie outside the space, too.
        complete = [each for each in trials if each.state == TrialState.COMPLETE and (each is own or each.number >= 0)]
        if own in complete:
            scores = np.array([[fold[0] for fold in trial.user_attrs["folds"]] for trial in complete])
            bar = scores[complete.index(own)]
            better = (scores - bar > self.margin * np.abs(bar)).all(axis=1)
            complete = [trial for trial, is_better in zip(complete, better, strict=True) if is_better] or [own]
        return min(complete, key=lambda trial: trial.values[0])

    def enqueue(self, study: optuna.Study, distributions: dict[str, BaseDistribution], *, parts: bool) -> None:
        """Let the first trials be those of its point and of the published values, unless there are such.

        Without `parts` those alone that have all parameters.
        """
        if self.is_in_space:
            lost = (TrialState.PRUNED, TrialState.FAIL)
            trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state not in lost]
            if all(trial.system_attrs.get("fixed_params", trial.params) != self.point for trial in trials):
                study.enqueue_trial(self.point, user_attrs={OWN: True})
        for point in (self.point, self.published(distributions)):
            if parts or point.keys() == distributions.keys():
                study.enqueue_trial(point, skip_if_exists=True)

    def score_beside(self, objective: BackgroundObjective, study: optuna.Study) -> None:
        """Score it without a trial of the study, and keep what came of it among the study's user attributes."""
        only: dict[str, BaseDistribution] = {
            name: CategoricalDistribution((value,)) for name, value in self.params.items()
        }
        alone = optuna.create_study(pruner=optuna.pruners.NopPruner())
        alone.optimize(replace(objective, distributions=only), n_trials=1, catch=FIT_ERRORS)
        (trial,) = alone.trials
        study.set_user_attr(f"{_BESIDE}{joblib.hash(self.params)[:16]}", {"params": self.params, **trial.user_attrs})


def trials_beside(study: optuna.Study) -> list[FrozenTrial]:
    """Return what `OwnSetting.score_beside` kept, as trials of number -1."""
    return [_as_trial(**kept) for name, kept in study.user_attrs.items() if name.startswith(_BESIDE)]


def _as_trial(params: dict[str, Any], folds: list, error: str | None = None) -> FrozenTrial:
    failed = error is not None
    return create_trial(
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        value=None if failed else -float(np.mean([fold[0] for fold in folds])),
        params=params,
        distributions={name: CategoricalDistribution((value,)) for name, value in params.items()},
        user_attrs={"folds": folds, **({"error": error} if failed else {})},
    )


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _are_close(params: dict[str, Any], point: dict[str, Any]) -> bool:
    """Whether they are the same but for the rounding of steps."""
    return params.keys() == point.keys() and all(
        value == point[name] or (isinstance(value, float) and np.isclose(value, point[name], rtol=1e-9, atol=0))
        for name, value in params.items()
    )
