"""A search for the best setting of an image: `BackgroundSearchCV`."""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np
import optuna
from joblib import effective_n_jobs
from optuna.study import StudyDirection
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from .._threads import single_threaded
from .._validation import TakesImages
from ..each_image import EachImage
from ._best import BestEstimatorMixin
from ._held_out import refuse_other_estimators
from ._objective import FIT_ERRORS, BackgroundObjective, is_several, make_objective
from ._own import OwnSetting
from ._repeats import OnceEach, is_exhausted
from ._storage import explained, open_storage
from ._study import (
    SeededTPE,
    finished_trials,
    log_lines,
    param_importances,
    results_table,
    why_none,
)

# Trials that are judged whole before others are cut short by comparison with them.
_UNPRUNED_TRIALS = 8
# User attribute of a study: the fingerprint of its objective.
_MARK = "search"


# Images are no tables, and scikit-learn's wrapping of outputs would hide whether there is a best estimator.
class BackgroundSearchCV(  # type: ignore[call-arg]
    TakesImages,
    BestEstimatorMixin,
    TransformerMixin,
    RegressorMixin,
    MetaEstimatorMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Search for the setting that meets the held-out sky of an image best, by Optuna.

    Each trial fits the image without some large blocks and is judged by `held_out_score` on the sky of those; see
    `cross_val_score_image`. The image is read and reduced once, so that a trial costs a few small fits. The estimator's
    own setting is scored first, then one with the published control points, order and quantile, and what is chosen is
    the best of those that beat the own one by a tenth in every fold, or by half where ``smoothing="auto"`` has chosen
    it on held-out blocks already: of many scores the best is partly luck, and a search must not make worse what was
    good. So the own setting is scored and may be chosen even where it lies outside of ``param_distributions``.

    Parameters
    ----------
    estimator : BackgroundSplineRegressor, default=None
        Its parameters hold where nothing is searched; None for the defaults.
    param_distributions : dict, default=None
        For each name a distribution of Optuna, (low, high), (low, high, "log") or a list of choices; two whole
        numbers make a range of whole numbers. None searches ``n_control_points`` (16 to 144), ``order`` (2 to 5),
        ``quantile`` (0.9 to 1), ``threshold_min`` (0 to 0.02), ``threshold_max`` (0.5 to 1) and ``smoothing``
        (1e-7 to 10).
    n_trials : int, default=60
        In all, those that ``storage`` already holds and the own setting included: a search that was killed does those
        that are missing. A trial that repeats another takes its score at once, and a space that was tried whole ends
        the search.
    timeout : float or None, default=None
        Seconds after which no trial is begun.
    cv : None, int, ImageBlockKFold or iterable of (train, test), default=None
        None for 3 folds of blocks; see `cross_val_score_image`.
    scoring : callable, default=None
        None for `held_out_score`; see `cross_val_score_image`. With a storage a function of a module, a partial of one
        or an object that can be pickled, so that the search is known again.
    sampler : optuna sampler, default=None
        None for TPE. It draws each trial from ``random_state`` and the trial's number in the study, so processes
        that share a study try different settings under the same ``random_state``. Another sampler is copied, and
        needs a seed of its own in each process.
    pruner : optuna pruner, default=None
        Asked after each fold but the last. None ends a trial that is worse there than the median of the others, from
        the ninth on; ``optuna.pruners.NopPruner()`` ends none.
    storage : str, optuna storage or None, default=None
        Where the study lives: None in memory; a URL (``"sqlite:///search.db"``, PostgreSQL, MySQL), the path of a
        journal file, or a storage of Optuna goes on after a kill, and several processes or machines that fit the same
        search finish ``n_trials`` between them (at the end each may finish one more). With a URL, trials of a process
        that gave no sign of life for half a minute are tried again.
    study_name : str or None, default=None
        None names it after the images, folds, fixed parameters, space and score, so that a storage never mixes two
        searches.
    n_jobs : int or None, default=None
        Trials at the same time, in threads. The trials of more than one depend on which ends first.
    refit : bool, default=True
        Fit the best setting to the whole image, which `predict` and the like need.
    random_state : int, RandomState or None, default=None
        Seed of the default sampler. The same seed gives the same trials for one job.
    callbacks : list of callable, default=None
        Called as ``callback(study, trial)`` after each trial.
    verbose : int, default=0
        1 lets Optuna write a line for each trial.

    Attributes
    ----------
    study_ : optuna.Study
        Minimises the held-out loss, minus the score. Trials hold their ``"folds"`` (score, seconds of the fit and of
        the score) and the ``"error"`` of a failed fit as user attributes. An own setting outside the space is no trial
        of it, but one of its user attributes.
    best_params_ : dict
        Of the best trial that beats the estimator's own setting by a tenth (a half) in every fold, or that setting,
        in the space or not, whose smoothing is then still "auto" (``cv_results_`` has the number by which it was
        judged).
    best_score_ : float
        Mean over the folds, from -1 to 0.
    best_index_ : int
        Of the best trial in ``cv_results_``.
    own_index_ : int
        Of the estimator's own setting in ``cv_results_``.
    margin_ : float
        By so much of the own setting's score in each fold another has to be better: 0.1 or 0.5.
    distributions_ : dict of str to optuna distribution
        What was searched.
    best_estimator_ : BackgroundSplineRegressor or EachImage
        With the best setting, fitted to the whole image; for a list of images an `EachImage` of it. Only if ``refit``.
    cv_results_ : dict of arrays
        As scikit-learn's searches have it, a row for each finished trial, with its ``state`` and ``error``.
    n_splits_ : int
        Folds of each image.
    refit_time_ : float
        Seconds. Only if ``refit``.
    param_importances_ : dict of str to float
        How far each parameter decides which trials are among the best (Optuna's PED-ANOVA), the largest first.
    n_features_in_ : int
        Width of the image. Only for a single one.

    Examples
    --------
    >>> from skbgopt import make_sky_image
    >>> from skbgopt.model_selection import BackgroundSearchCV
    >>> image = make_sky_image("oiii", shape=(160, 240), random_state=0).image
    >>> space = {"smoothing": (1e-6, 1.0, "log"), "order": [2, 4]}
    >>> search = BackgroundSearchCV(param_distributions=space, n_trials=3, random_state=0).fit(image)
    >>> sorted(search.best_params_), search.transform(image).shape
    (['order', 'smoothing'], (160, 240))
    """

    __metadata_request__fit = {"mask": True, "sample_weight": True}

    _parameter_constraints = {
        "estimator": [HasMethods(["prepare", "fit_prepared"]), None],
        "param_distributions": [dict, None],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither"), None],
        "cv": "no_validation",
        "scoring": [callable, None],
        "sampler": [HasMethods(["sample_relative"]), None],
        "pruner": [HasMethods(["prune"]), None],
        "storage": [str, HasMethods(["create_new_study"]), None],
        "study_name": [str, None],
        "n_jobs": [Integral, None],
        "refit": ["boolean"],
        "random_state": ["random_state"],
        "callbacks": [list, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        param_distributions=None,
        *,
        n_trials=60,
        timeout=None,
        cv=None,
        scoring=None,
        sampler=None,
        pruner=None,
        storage=None,
        study_name=None,
        n_jobs=None,
        refit=True,
        random_state=None,
        callbacks=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.timeout = timeout
        self.cv = cv
        self.scoring = scoring
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.n_jobs = n_jobs
        self.refit = refit
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        """Search for the best setting of an image, or of the images of a list in the mean.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels), or list of such
            Linear; np.ma and NDData bring their own mask. A stack of four axes is a list too, one of three axes is
            taken for an image, and refused if it has more channels than rows and 16, or than 500.
        y : None
            Ignored.
        mask : array-like of bool, shape (height, width), or list of one for each image, optional
            True = excluded. Of a list, a single one holds for all images.
        sample_weight : like mask, or of an image's shape, optional
            In [0, 1], 1 = use fully.

        Returns
        -------
        self : BackgroundSearchCV

        Raises
        ------
        ValueError
            If a parameter, shape or weight is out of range, too little usable sky is left, every trial failed, the
            storage cannot be used, or the study named holds another search.
        """
        refuse_other_estimators(self.estimator, type(self).__name__)
        self._validate_params()
        if not all(map(callable, self.callbacks or [])):
            raise ValueError(
                "The 'callbacks' parameter of BackgroundSearchCV must be a list of what can be called as "
                f"callback(study, trial). Got {self.callbacks!r} instead."
            )
        if y is not None and np.asarray(y).dtype == bool:
            raise ValueError("fit takes no y, and ignores it: pass a mask by its name, fit(X, mask=mask).")
        objective = make_objective(
            X, mask, sample_weight, self.estimator, self.param_distributions, self.cv, self.scoring
        )
        with log_lines(self.verbose > 0):
            self.study_ = self._open_study(objective)
            own = OwnSetting.of(objective)
            self._optimize(objective, own)
        self._record(objective, own)
        if self.refit:
            self._refit(objective, X, mask, sample_weight)
        return self

    def _open_study(self, objective: BackgroundObjective) -> optuna.Study:
        # A study in memory is not found again.
        fingerprint = "in memory" if self.storage is None else objective.fingerprint()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS)
        with explained(self.storage):
            study = optuna.create_study(
                direction="minimize",
                # Copies: a fit leaves the parameters as they are, a second one gives the same.
                sampler=SeededTPE(seed) if self.sampler is None else copy.deepcopy(self.sampler),
                pruner=pruner if self.pruner is None else copy.deepcopy(self.pruner),
                storage=open_storage(self.storage),
                study_name=self.study_name or f"skbgopt-{fingerprint}",
                load_if_exists=True,
            )
        # Asked for before the mark, which another process sets before it makes trials.
        is_new = not study.get_trials(deepcopy=False) and study.directions == [StudyDirection.MINIMIZE]
        if study.user_attrs.get(_MARK, fingerprint if is_new else None) != fingerprint:
            raise ValueError(
                f"The study {study.study_name!r} in this storage holds another search than that of BackgroundSearchCV, "
                "over other images, folds, parameters or objectives: give it another name, or none."
            )
        study.set_user_attr(_MARK, fingerprint)
        return study

    def _optimize(self, objective: BackgroundObjective, own: OwnSetting) -> None:
        study, n_jobs, begun = self.study_, effective_n_jobs(self.n_jobs), time.monotonic()
        if not own.is_in_space and own.trial_of(finished_trials(study)) is None:
            own.score_beside(objective, study)
        n_missing = self.n_trials - len(finished_trials(study))
        if n_missing > 0 and not is_exhausted(study, objective.distributions):
            # Others than ours may take no part of a setting, as grids do.
            own.enqueue(study, objective.distributions, parts=self.sampler is None)

            def stop_at_the_end(study, trial):
                if len(finished_trials(study)) >= self.n_trials or is_exhausted(study, objective.distributions):
                    study.stop()

            # Fits set the number of threads for the whole process, and would set it for each other.
            with single_threaded() if n_jobs > 1 else nullcontext():
                study.optimize(
                    OnceEach(objective),
                    n_trials=n_missing,
                    timeout=None if self.timeout is None else max(0.0, self.timeout - time.monotonic() + begun),
                    n_jobs=n_jobs,
                    catch=FIT_ERRORS,
                    callbacks=[stop_at_the_end, *(self.callbacks or [])],
                )
        trials = finished_trials(study)
        if trials and own.trial_of(trials) is None:
            # Another process is at it, or died with it.
            own.score_beside(objective, study)

    def _record(self, objective: BackgroundObjective, own: OwnSetting) -> None:
        trials = finished_trials(self.study_)
        if all(trial.state.name != "COMPLETE" for trial in trials):
            raise ValueError(why_none(trials, self.timeout))
        best, given = own.best_of(trials), own.trial_of(trials)
        self.n_splits_ = objective.n_folds
        self.distributions_ = objective.distributions
        self.cv_results_ = results_table(trials, self.n_splits_)
        self.best_index_, self.own_index_ = (
            next(k for k, trial in enumerate(trials) if trial is found) for found in (best, given)
        )
        self.margin_ = own.margin
        stays_auto = best is given and own.chose_smoothing
        self.best_params_ = best.params | ({"smoothing": "auto"} if stays_auto else {})
        self.best_score_ = -best.values[0]

    def _refit(self, objective: BackgroundObjective, X, mask, sample_weight) -> None:
        start = time.perf_counter()
        best = clone(objective.estimator).set_params(**self.best_params_)
        if is_several(X):
            best = EachImage(best, n_jobs=self.n_jobs).fit(X, mask=mask, sample_weight=sample_weight)
        else:
            best.fit_prepared(objective.images[0].preparations.prepare(best))
            self.n_features_in_ = best.n_features_in_
        self.best_estimator_ = best
        self.refit_time_ = time.perf_counter() - start

    @property
    def param_importances_(self) -> dict[str, float]:
        """How far each parameter decides which trials are among the best (PED-ANOVA), the largest first, in all 1.

        From some tens of trials on; empty with fewer than two. `optuna.importance` has other measures.
        """
        check_is_fitted(self, "study_")
        return param_importances(self.study_)
