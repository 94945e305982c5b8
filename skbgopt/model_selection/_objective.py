"""What a trial does: `background_objective`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pickle import PicklingError
from typing import Any

import joblib
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.base import clone

from ..background import BackgroundSplineRegressor
from ..diagnosis import without_warnings
from ..image_samples import ImageSample, image_samples, is_list_of_images, is_stack
from ._block_kfold import check_cv
from ._held_out import FoldScore, HeldOutImage, Scoring, check_arguments, held_out_score, hold_out_blocks
from ._space import as_distributions, suggest

# What a setting that does not suit an image raises: too few pixels for its control points, a matrix that cannot be
# factorised. Everything else is a fault and ends the search.
FIT_ERRORS = (ValueError, RuntimeError, ArithmeticError)
# User attribute of the trial with the estimator's own setting, which is never cut short.
OWN = "own_setting"
# Parameters that do not change what a trial is worth.
_IRRELEVANT = {"device", "verbose", "random_state"}


@dataclass(frozen=True)
class BackgroundObjective:
    """The loss of a trial's parameters on held-out blocks, for ``study.optimize``; lower is better.

    Attributes
    ----------
    images : list of HeldOutImage
    estimator : BackgroundSplineRegressor
    distributions : dict of str to BaseDistribution
    scoring : callable
    multi_objective : bool
    """

    images: list[HeldOutImage]
    estimator: Any
    distributions: dict[str, BaseDistribution]
    scoring: Scoring
    multi_objective: bool = False

    @property
    def n_folds(self) -> int:
        """Folds of each image."""
        return len(self.images[0].folds)

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """Fit and judge the parameters that the trial suggests."""
        params = self.suggested(trial)
        try:
            estimator = clone(self.estimator).set_params(**params)
            loss = self._held_out_loss(trial, estimator)
            if self.multi_objective:
                return loss, float(np.mean([image.absorbed_light(estimator) for image in self.images]))
            return loss
        except FIT_ERRORS as error:
            trial.set_user_attr("error", str(error))
            raise

    def suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the parameters that the trial is to try; what a sampler refuses is kept like the error of a fit."""
        try:
            return suggest(trial, self.distributions)
        except FIT_ERRORS as error:
            trial.set_user_attr("error", str(error))
            raise

    def _held_out_loss(self, trial: optuna.Trial, estimator) -> float:
        folds: list[FoldScore] = []
        try:
            for fold in range(self.n_folds):
                scores = [image.score(estimator, fold, self.scoring) for image in self.images]
                folds.append(FoldScore(*np.mean(scores, axis=0).tolist()))
                loss = -float(np.mean([score.score for score in folds]))
                if not np.isfinite(loss):
                    raise ValueError(f"The score of fold {fold} is {-loss}, which is no number to compare.")
                # Optuna reports and prunes in studies of one objective only.
                if not self.multi_objective:
                    trial.report(loss, fold)
                    if fold + 1 < self.n_folds and OWN not in trial.user_attrs and trial.should_prune():
                        raise optuna.TrialPruned(f"after fold {fold}")
            return loss
        finally:
            trial.set_user_attr("folds", folds)

    def own_setting(self, chosen: float | None) -> dict[str, Any]:
        """Return the estimator's parameters, with the smoothing of `chosen_smoothing` if there is one."""
        return self.estimator.get_params() | ({} if chosen is None else {"smoothing": chosen})

    @without_warnings()
    def chosen_smoothing(self) -> float | None:
        """Return what the estimator's own "auto" would choose, the median over the images.

        None if it cannot, or where no range of smoothings is searched: a list may have "auto" itself.
        """
        is_range = isinstance(self.distributions.get("smoothing"), FloatDistribution | IntDistribution)
        if not is_range or self.estimator.get_params()["smoothing"] != "auto":
            return None
        chosen = []
        for image in self.images:
            fitted = image.reference
            if fitted.get_params() != self.estimator.get_params():
                estimator = clone(self.estimator)
                try:
                    fitted = estimator.fit_prepared(image.preparations.prepare(estimator, thinned=True))
                except FIT_ERRORS:
                    return None
            chosen.append(fitted.smoothing_)
        return float(np.median(chosen))

    def fingerprint(self) -> str:
        """Return a name for all that the loss depends on: images, folds, fixed parameters, space and score.

        Raises
        ------
        ValueError
            If the score is a function that only this process knows.
        """
        arrays = [(image.grid.values, image.grid.weights, *chain.from_iterable(image.folds)) for image in self.images]
        seen = [joblib.hash(np.ascontiguousarray(array)) for array in chain.from_iterable(arrays)]
        skipped = _IRRELEVANT | set(self.distributions)
        fixed = {name: value for name, value in self.estimator.get_params().items() if name not in skipped}
        try:
            score = joblib.hash(self.scoring)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"The 'scoring' parameter of BackgroundSearchCV must be known again where a storage is used. Got "
                f"{self.scoring!r} instead, which has no name in a module: define it there with def."
            ) from error
        return joblib.hash([seen, fixed, self.distributions, score])[:16]


def make_objective(X, mask, sample_weight, estimator, param_distributions, cv, scoring=None, multi_objective=False):
    """Return the objective of one image or of a list.

    Raises
    ------
    TypeError, ValueError
        If parameters, images or masks are not as `BackgroundSearchCV` takes them, or an image cannot be fitted.
    """
    estimator = BackgroundSplineRegressor() if estimator is None else estimator
    distributions = as_distributions(param_distributions, estimator)
    _check_ends(estimator, distributions)
    splitter = check_cv(cv)
    samples = _samples(X, mask, sample_weight)
    images = []
    for sample in samples:
        with sample.named_in_errors() if len(samples) > 1 else nullcontext():
            images.append(hold_out_blocks(estimator, sample.image, sample.mask, sample.sample_weight, splitter))
    counts = {len(image.folds) for image in images}
    if len(counts) > 1:
        raise ValueError(f"A search takes as many folds of each image, got {sorted(counts)}: use ImageBlockKFold.")
    scoring = held_out_score if scoring is None else scoring
    return BackgroundObjective(images, estimator, distributions, scoring, multi_objective)


def _check_ends(estimator, distributions: dict[str, BaseDistribution]) -> None:
    """Raise ValueError if the estimator does not take an end of a range or a choice, whatever the image."""
    for name, space in distributions.items():
        for value in _ends(space):
            clone(estimator).set_params(**{name: value})._validate_params()


def _ends(space: BaseDistribution) -> tuple:
    if isinstance(space, CategoricalDistribution):
        return space.choices
    return (space.low, space.high) if isinstance(space, IntDistribution | FloatDistribution) else ()


def is_several(X) -> bool:
    """Return whether X holds several images: a list, or a stack of four axes."""
    return X.ndim == 4 if is_stack(X) else is_list_of_images(X) and len(X) > 0


def _samples(X, mask, sample_weight) -> list[ImageSample]:
    if is_several(X):
        return image_samples(list(X), "A search", mask=mask, sample_weight=sample_weight)
    return [ImageSample(X, "the image", mask=mask, sample_weight=sample_weight)]


def background_objective(
    image,
    *,
    mask=None,
    sample_weight=None,
    estimator=None,
    param_distributions=None,
    cv=None,
    scoring=None,
    multi_objective=False,
) -> BackgroundObjective:
    """Return the objective of `BackgroundSearchCV`, for an Optuna study of one's own.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, n_channels), or list of such
        Linear; of a list, the losses are averaged.
    mask : array-like of bool, shape (height, width), or list of such, optional
        True = excluded.
    sample_weight : array-like of shape (height, width) or the image's, or list of such, optional
        In [0, 1], 1 = use fully.
    estimator : BackgroundSplineRegressor, default=None
        What all trials share; None for the defaults.
    param_distributions : dict, default=None
        As in `BackgroundSearchCV`.
    cv : None, int, ImageBlockKFold or iterable of (train, test), default=None
        As in `cross_val_score_image`.
    scoring : callable, default=None
        As in `cross_val_score_image`; the loss is minus it.
    multi_objective : bool, default=False
        True returns two losses: that of the held-out sky and the absorbed light, the share of the light of the
        objects that the trial's background takes up. Such a study cannot prune.

    Returns
    -------
    callable
        Takes a trial; returns one loss or two, lower is better. A setting that does not suit the image raises
        ValueError or RuntimeError: pass ``catch=(ValueError, RuntimeError)`` to ``study.optimize``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed, or the image cannot be fitted.

    Examples
    --------
    >>> import optuna
    >>> from skbgopt import make_sky_image
    >>> from skbgopt.model_selection import background_objective
    >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
    >>> image = make_sky_image("oiii", shape=(160, 240), random_state=0).image
    >>> objective = background_objective(image, param_distributions={"smoothing": (1e-6, 1.0, "log")}, cv=2)
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(objective, n_trials=2)
    >>> 0 < study.best_value < 1
    True
    """
    estimator = BackgroundSplineRegressor() if estimator is None else estimator
    check_arguments(estimator, scoring, "background_objective")
    return make_objective(image, mask, sample_weight, estimator, param_distributions, cv, scoring, multi_objective)
