"""The search for the best setting of an image, and its bare objective."""

import pickle

import matplotlib.pyplot
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbgopt import BackgroundSplineRegressor, SearchDisplay, UncertaintyDisplay, make_sky_image
from skbgopt.model_selection import (
    BackgroundSearchCV,
    ImageBlockKFold,
    _held_out,
    background_objective,
    cross_val_score_image,
    held_out_score,
)
from skbgopt.model_selection._own import OwnSetting
from skbgopt.model_selection._study import why_none
from skbgopt.testing import image_estimator_checks
from tests.shared import lower_half, quick

pytestmark = pytest.mark.usefixtures("quick_reference")
SPACE = {"smoothing": (1e-6, 1.0, "log"), "quantile": (0.9, 1.0)}


def quick_search(estimator=None, space=None, **parameters):
    """A search of a few quick trials."""
    given = {"n_trials": 4, "random_state": 0, **parameters}
    estimator = quick() if estimator is None else estimator
    return BackgroundSearchCV(estimator, SPACE if space is None else space, **given)


@pytest.fixture(scope="module")
def image():
    """A small image of one channel."""
    return make_sky_image("oiii", shape=(128, 160), random_state=1).image


@pytest.fixture(scope="module")
def searched(image, quick_reference):
    """A search that has been fitted."""
    return quick_search(n_trials=6).fit(image)


# The search


def test_the_best_trial_is_the_best(searched, image):
    """It is the best of those that beat the first by a tenth in every fold; its score is that of cross-validation."""
    table = searched.cv_results_
    best = searched.best_index_
    assert table["params"][best] == searched.best_params_
    folds = np.array([table[f"split{k}_test_score"] for k in range(3)])
    better = (folds > 0.9 * folds[:, :1]).all(axis=0)
    assert better[best] or best == 0
    assert table["mean_test_score"][best] == searched.best_score_
    assert searched.best_score_ == max(table["mean_test_score"][better], default=table["mean_test_score"][0])
    scores = cross_val_score_image(quick(**searched.best_params_), image)
    np.testing.assert_allclose([table[f"split{k}_test_score"][best] for k in range(3)], scores, rtol=1e-12)
    assert searched.best_score_ == pytest.approx(scores.mean(), rel=1e-12)
    assert searched.n_splits_ == 3


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        # A higher mean by one fold alone is luck.
        ([(-3, -3), (-1, -4), (-2, -2)], 2),
        ([(-3, -3), (-1, -4)], 0),
        # A few per cent everywhere may be luck as well.
        ([(-3, -3), (-2.9, -2.9)], 0),
        # The best of those that are better everywhere.
        ([(-3, -3), (-2, -2), (-1, -2), (-0.1, -4)], 2),
    ],
)
def test_luck_in_one_fold_is_not_enough(folds, expected):
    """A setting takes the place of the estimator's own only if it is better by a tenth in every fold."""
    study = optuna.create_study()
    for k, scores in enumerate(folds):
        attributes = {"folds": [(score, 0.0, 0.0) for score in scores]}
        params, space = {"order": k}, {"order": IntDistribution(0, 9)}
        trial = optuna.trial.create_trial(
            value=-np.mean(scores), params=params, distributions=space, user_attrs=attributes
        )
        study.add_trial(trial)
    own = OwnSetting({"order": 0}, {"order": 0}, margin=0.1, chose_smoothing=False)
    assert own.best_of(study.trials).number == expected


@pytest.mark.parametrize(("smoothing", "margin"), [("auto", 0.5), (1e-3, 0.1)])
def test_a_smoothing_that_was_chosen_is_harder_to_beat(image, smoothing, margin):
    """What held-out blocks have chosen leaves less to be found than what a user has."""
    found = quick_search(estimator=quick(smoothing=smoothing), n_trials=1).fit(image)
    assert found.margin_ == margin


@pytest.mark.parametrize(
    ("space", "expected"), [((1e-7, 10.0, "log"), "auto"), (["auto", 1e-3], "auto"), ((1e3, 1e4), "auto")]
)
def test_an_own_setting_that_stays_chooses_again(image, space, expected):
    """Where "auto" is taken it is no number of this image, whether its number is in the range searched or not."""
    found = quick_search(quick(smoothing="auto"), {"smoothing": space}, n_trials=1).fit(image)
    assert found.best_params_ == {"smoothing": expected}
    assert found.best_estimator_.smoothing == expected


OUTSIDE = [
    ({}, {"order": [2, 3]}, {"order": 4}),
    ({"n_control_points": 64}, {"n_control_points": (20, 40)}, {"n_control_points": 64}),
    (
        {"order": 2, "mask_objects": "auto"},
        {"order": [2, 3, 4], "mask_objects": [True, False]},
        {"order": 2, "mask_objects": "auto"},
    ),
    ({"smoothing": "auto"}, {"smoothing": [1e3, 1e4]}, {"smoothing": "auto"}),
    ({"degree": None}, {"degree": (0, 1)}, {"degree": None}),
]


@pytest.mark.parametrize(("parameters", "space", "own"), OUTSIDE)
def test_a_setting_given_outside_the_space_is_the_bar(image, parameters, space, own):
    """It is scored as it is, beside the trials, counts as one, and stays unless another is better in every fold."""
    found = quick_search(quick(**parameters), space).fit(image)
    table = found.cv_results_
    assert table["params"][found.own_index_] == own
    scores = [table[f"split{k}_test_score"] for k in range(3)]
    np.testing.assert_allclose(
        [score[found.own_index_] for score in scores], cross_val_score_image(quick(**parameters), image), rtol=1e-12
    )
    better = np.all([score > (1 - found.margin_) * score[found.own_index_] for score in scores], axis=0)
    assert better[found.best_index_] if better.any() else found.best_params_ == own
    assert len(found.study_.trials) == len(table["params"]) - 1 <= 3
    assert all(trial.params != own for trial in found.study_.trials)
    # Samplers see no trial of another space.
    assert all(trial.distributions == found.distributions_ for trial in found.study_.trials)


def test_a_setting_given_outside_the_space_stays(image):
    """Where the choices are hopeless the model is the one given; where it cannot be fitted itself the best is taken."""
    found = quick_search(quick(), {"smoothing": [1e8, 1e9]}, n_trials=1).fit(image)
    assert (found.best_params_, found.best_index_, len(found.study_.trials)) == ({"smoothing": 1e-4}, 0, 0)
    np.testing.assert_array_equal(found.predict(image), quick().fit(image).predict(image))
    drawn = SearchDisplay.from_estimator(quick_search(quick(), {"smoothing": (1e8, 1e9)}).fit(image))
    assert np.isnan(drawn.positions("smoothing")[0]) and np.isfinite(drawn.positions("smoothing")[1:]).all()
    found = quick_search(quick(n_control_points=5000), {"n_control_points": [9, 12]}).fit(image)
    assert found.cv_results_["state"] == ["FAIL", "COMPLETE", "COMPLETE"] and found.own_index_ == 0
    assert found.best_params_["n_control_points"] in (9, 12)


def test_the_setting_given_is_never_cut_short(image):
    """Whatever the pruner says: the others are compared with it."""
    pruner = optuna.pruners.ThresholdPruner(upper=-1.0)
    found = quick_search(pruner=pruner, n_trials=3).fit(image)
    assert found.cv_results_["state"] == ["COMPLETE", "PRUNED", "PRUNED"]


def test_a_step_that_rounds_holds_the_setting_given(image):
    """0.95 lies among 0.9, 0.95 and 1, whatever the sum of their floats is."""
    space = {"quantile": FloatDistribution(0.9, 1.0, step=0.05)}
    assert len(quick_search(quick(quantile=0.95), space, n_trials=1).fit(image).study_.trials) == 1


def test_no_setting_is_computed_twice(image):
    """A trial that repeats another has its score at once; a space all of which was tried ends the search."""
    calls = []

    def counted(*parts):
        calls.append(1)
        return held_out_score(*parts)

    space = {"order": [2, 3], "n_control_points": [9, 5000]}
    found = quick_search(quick(order=2, n_control_points=9), space, scoring=counted, n_trials=40).fit(image)
    table = found.cv_results_
    distinct = {tuple(params.values()) for params in table["params"]}
    assert len(distinct) == 4 and len(calls) == 3 * 2
    assert 4 <= len(table["params"]) < 40
    for k, params in enumerate(table["params"]):
        first = table["params"].index(params)
        assert table["state"][k] == table["state"][first] and table["error"][k] == table["error"][first]
        np.testing.assert_array_equal(table["mean_test_score"][k], table["mean_test_score"][first])
        assert k == first or table["mean_fit_time"][k] == 0 or table["state"][k] == "FAIL"


@pytest.mark.parametrize(
    ("space", "n_settings"),
    [
        ({"order": [2, 3, 4]}, 3),
        ({"order": (2, 4), "degree": [1, 2]}, 6),
        ({"quantile": FloatDistribution(0.9, 1.0, step=0.05)}, 3),
        ({"n_control_points": IntDistribution(9, 15, step=3)}, 3),
        ({"quantile": (0.9, 0.9)}, 1),
    ],
)
def test_a_space_that_was_tried_ends_the_search(image, space, n_settings):
    """Every setting of it has a trial, and there are fewer trials than asked for."""
    one_fold = [next(ImageBlockKFold(2).split(image))]
    found = quick_search(quick(order=2, degree=2), space, cv=one_fold, n_trials=200, refit=False).fit(image)
    assert len({tuple(trial.params.values()) for trial in found.study_.trials}) == n_settings
    assert len(found.study_.trials) < 200


def test_the_table_has_a_row_for_each_trial(searched):
    """Every column of the results is as long as the study."""
    assert {len(column) for column in searched.cv_results_.values()} == {6} == {len(searched.study_.trials)}
    assert {"param_smoothing", "std_test_score", "mean_fit_time", "std_score_time", "state"} <= set(
        searched.cv_results_
    )


def test_the_best_estimator_is_fitted_to_the_whole_image(searched, image):
    """predict, transform, score and the inverse are those of the best setting fitted to the image."""
    best = quick(**searched.best_params_).fit(image)
    np.testing.assert_array_equal(searched.predict(image), best.predict(image))
    np.testing.assert_array_equal(searched.transform(image), best.transform(image))
    for found, expected in zip(*(each.predict(image, return_std=True) for each in (searched, best)), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.isfinite(UncertaintyDisplay.from_estimator(searched, image).std).all()
    np.testing.assert_allclose(searched.inverse_transform(searched.transform(image)), image, rtol=1e-5)
    assert searched.score(image) == best.score(image)


def test_own_and_published_settings_come_first(image):
    """First comes the estimator's own setting with the smoothing that it chooses, then the published one."""
    estimator = quick(smoothing="auto", n_control_points=20)
    search = BackgroundSearchCV(estimator, n_trials=2).fit(image)
    own, published = search.cv_results_["params"]
    assert own["n_control_points"] == 20
    assert own["smoothing"] == estimator.fit(image).smoothing_
    assert (own["quantile"], own["threshold_min"], own["threshold_max"]) == (0.99, 0.001, 1.0)
    assert (published["n_control_points"], published["order"], published["quantile"]) == (32, 2, 0.95)
    # The range is logarithmic, 0 is not in it.
    assert published["smoothing"] == 1e-7


@pytest.mark.parametrize("seed", [0, np.random.RandomState(3)], ids=["int", "RandomState"])
def test_the_same_seed_gives_the_same_trials(image, seed):
    """Clones try the same settings, another seed others; the first two are given."""
    search = quick_search(n_trials=5, random_state=seed, refit=False)
    first, again = (clone(search).fit(image).cv_results_["params"] for _ in range(2))
    other = quick_search(n_trials=5, random_state=9, refit=False).fit(image).cv_results_["params"]
    assert first == again
    assert first[:2] == other[:2]
    assert all(mine != theirs for mine, theirs in zip(first[2:], other[2:], strict=True))


def test_parameters_of_a_trial_are_drawn_apart(searched):
    """In no trial do two parameters come from the same random number."""
    params = searched.cv_results_["params"][2:]
    shares = np.array([[np.log10(trial["smoothing"]) / 6 + 1, (trial["quantile"] - 0.9) * 10] for trial in params])
    assert (np.abs(np.diff(shares, axis=1)) > 1e-6).all()


def test_the_image_is_reduced_once(image, monkeypatch):
    """Trials that differ in quantile, thresholds and spline share one reduction; another block size needs its own."""
    calls = []

    def counted(selection, **parameters):
        calls.append(parameters["downscale_factor"])
        return prepare(selection, **parameters)

    prepare = _held_out.prepare_image
    monkeypatch.setattr(_held_out, "prepare_image", counted)
    quick_search(space={**SPACE, "threshold_min": (0.0, 0.01)}).fit(image)
    assert calls == [8]
    quick_search(space={"downscale_factor": [6, 12]}, estimator=quick(downscale_factor=6)).fit(image)
    assert sorted(calls[1:]) == [6, 8, 12]


def test_failed_trials_are_recorded_with_their_reason(image):
    """More control points than pixels fail those trials alone, and each says why."""
    search = quick_search(space={"n_control_points": [16, 5000]}, n_trials=8).fit(image)
    table = search.cv_results_
    n_trials = len(table["params"])
    failed = [k for k, params in enumerate(table["params"]) if params["n_control_points"] == 5000]
    assert 0 < len(failed) < n_trials
    assert search.best_params_ == {"n_control_points": 16}
    for k in range(n_trials):
        assert table["state"][k] == ("FAIL" if k in failed else "COMPLETE")
        assert ("reduced pixels are usable" in table["error"][k]) == (k in failed)
        assert np.isnan(table["mean_test_score"][k]) == (k in failed)
    assert (table["rank_test_score"][failed] == n_trials - len(failed) + 1).all()


def test_when_all_fail_the_first_reason_is_raised(image):
    """One sentence names the number of trials and the first message."""
    with pytest.raises(ValueError, match="All 3 trials of BackgroundSearchCV failed, the first with: Only "):
        quick_search(quick(n_control_points=6000), {"n_control_points": (4000, 5000)}, n_trials=3).fit(image)


def test_scores_that_are_no_numbers_fail(image):
    """NaN as a score is a failed trial with a message."""
    with pytest.raises(ValueError, match="failed, the first with: The score of fold 0 is nan"):
        quick_search(n_trials=2, scoring=lambda *parts: np.nan).fit(image)


def test_faults_of_the_score_are_not_hidden(image):
    """An error that no setting explains ends the search at once."""
    with pytest.raises(AttributeError):
        quick_search(scoring=lambda values, *parts: values.nothing).fit(image)


def test_pruning_by_folds(image):
    """A pruner is asked after each fold but the last; a pruned trial keeps the scores that it has."""
    seen = []

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            seen.append((trial.number, trial.last_step))
            return trial.number == 1 and trial.last_step == 1

    table = quick_search(pruner=Second(), n_trials=3).fit(image).cv_results_
    assert table["state"] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert np.isfinite([table["split0_test_score"][1], table["split1_test_score"][1]]).all()
    assert np.isnan(table["split2_test_score"][1])
    assert {step for _, step in seen} <= {0, 1, 2}
    assert table["rank_test_score"][1] == 3


def test_a_list_of_images_has_the_mean_of_their_scores(image):
    """Scores over a list are means of those of its images, each with its own mask; each is fitted where it is seen."""
    images = [image, image[::-1, :120]]
    masks = [None, lower_half(images[1].shape)]
    search = quick_search(n_trials=3).fit(images, mask=masks)
    params = search.cv_results_["params"][2]
    by_hand = [
        cross_val_score_image(quick(**params), each, mask=mask) for each, mask in zip(images, masks, strict=True)
    ]
    found = [search.cv_results_[f"split{k}_test_score"][2] for k in range(3)]
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0), rtol=1e-12)
    best = quick(**search.best_params_)
    backgrounds = search.predict(images, mask=masks)
    for each, mask, background in zip(images, masks, backgrounds, strict=True):
        np.testing.assert_array_equal(background, clone(best).fit(each, mask=mask).predict(each))


def test_a_list_names_the_image_at_fault(image):
    """The place of an image that cannot be fitted is in the error, as are counts that differ."""
    with pytest.raises(ValueError, match=r"image 2 of 2 \(index 1\): .*"):
        quick_search().fit([image, np.ones((40, 60))])
    with pytest.raises(ValueError, match="as many masks as images, got 1 for 2"):
        quick_search().fit([image, image], mask=[lower_half(image.shape)])


@pytest.mark.parametrize(
    "plot",
    ["plot_optimization_history", "plot_slice", "plot_parallel_coordinate", "plot_param_importances", "plot_edf"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_plots_of_optuna_take_the_study(searched, plot):
    """Each draws the trials."""
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    drawn = getattr(optuna.visualization.matplotlib, plot)(searched.study_)
    assert all(axes.has_data() for axes in np.ravel(drawn))
    matplotlib.pyplot.close("all")
    matplotlib.use(backend)


def test_importances_tell_what_matters(image):
    """A parameter that the score depends on is above one without effect; the shares add up to 1."""
    space = {"smoothing": (1e-9, 1e3, "log"), "learning_rate": (0.01, 1.0)}
    search = quick_search(space=space, n_trials=20, refit=False, sampler=optuna.samplers.RandomSampler(seed=0))
    importances = search.fit(image).param_importances_
    assert list(importances) == ["smoothing", "learning_rate"]
    assert importances["smoothing"] > 0.6
    assert sum(importances.values()) == pytest.approx(1)
    assert not hasattr(clone(search), "param_importances_")
    assert search.set_params(n_trials=1).fit(image).param_importances_ == {}


def test_masks_reach_the_trials(image):
    """A lamp that spoils the fit is without effect under a mask, in trials and in the best estimator."""
    mask = lower_half(image.shape)
    expected = quick_search(n_trials=3).fit(image, mask=mask)
    lamp = np.where(mask, 50 * image.max(), image).astype(image.dtype)
    found = quick_search(n_trials=3).fit(lamp, mask=mask)
    assert found.best_score_ == expected.best_score_
    np.testing.assert_array_equal(found.predict(image), expected.predict(image))


@pytest.mark.parametrize("routing", [False, True])
def test_inside_a_pipeline(image, routing):
    """A search is a step like any other, with masks, and with steps after it."""
    mask = lower_half(image.shape)
    pipe = Pipeline([("search", quick_search(n_trials=2)), ("double", FunctionTransformer(lambda each: 2 * each))])
    with config_context(enable_metadata_routing=routing):
        found = pipe.fit_transform(image, **({"mask": mask} if routing else {"search__mask": mask}))
    expected = quick_search(n_trials=2).fit(image, mask=mask)
    np.testing.assert_array_equal(found, 2 * expected.transform(image))
    assert pipe["search"].best_score_ == expected.best_score_


def test_copies_of_a_fitted_search(searched, image):
    """A pickled search predicts the same and keeps its study; a clone has the parameters and nothing else."""
    copied = pickle.loads(pickle.dumps(searched))
    np.testing.assert_array_equal(copied.predict(image), searched.predict(image))
    assert copied.study_.best_params == searched.study_.best_params
    assert copied.best_params_ == searched.best_params_
    assert not hasattr(clone(searched), "study_")
    assert clone(searched).get_params()["estimator__n_control_points"] == 16


def test_a_sampler_is_used_and_left_alone(image):
    """Two fits with one sampler give the same trials."""
    search = quick_search(sampler=optuna.samplers.RandomSampler(seed=5), n_trials=4, refit=False)
    first, again = (search.fit(image).cv_results_["params"] for _ in range(2))
    assert first == again != quick_search(n_trials=4, refit=False).fit(image).cv_results_["params"]


def test_threads_finish_the_trials(image):
    """Two trials at a time make as many as asked for, and the given ones are worth the same."""
    alone, together = (quick_search(n_trials=5, n_jobs=n_jobs, refit=False).fit(image) for n_jobs in (1, 2))
    assert len(together.cv_results_["params"]) == 5
    for k in range(2):
        assert together.cv_results_["params"][k] == alone.cv_results_["params"][k]
        assert together.cv_results_["mean_test_score"][k] == alone.cv_results_["mean_test_score"][k]


def test_without_refit_there_is_no_model(image):
    """With refit=False there are results, and no methods that need a model; before a fit these say so."""
    search = quick_search(n_trials=2, refit=False).fit(image)
    assert search.best_score_ <= 0
    assert not hasattr(search, "predict")
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(NotFittedError, match="BackgroundSearchCV"):
        quick_search().predict(image)


def test_callbacks_see_every_trial(image):
    """Each callback is called with the study and each trial, and may stop the study."""
    seen = []

    def stop(study, trial):
        seen.append(trial.number)
        if trial.number == 2:
            study.stop()

    quick_search(callbacks=[stop]).fit(image)
    assert seen == [0, 1, 2]


def test_silence_unless_verbose(image, capfd, caplog):
    """Nothing is written, failed trials included; verbose writes a line for each trial; Optuna's level stays."""
    level = optuna.logging.get_verbosity()
    quick_search(space={"n_control_points": [16, 5000]}, n_trials=3).fit(image)
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")
    quick_search(n_trials=2, verbose=1).fit(image)
    assert "Trial 1 finished" in caplog.text
    assert optuna.logging.get_verbosity() == level


DISTRIBUTIONS = {
    "order": [1, 2],
    "n_control_points": (np.int64(16), np.int64(20)),
    "alpha": (1.0, 5.0),
    "smoothing": (1e-5, 1, "log"),
    "quantile": FloatDistribution(0.9, 1.0, step=0.05),
}


def test_spaces_in_short(image):
    """Lists are choices, pairs of whole numbers are whole, "log" is logarithmic, Optuna's distributions stay."""
    found = quick_search(space=DISTRIBUTIONS, n_trials=2).fit(image)
    assert (
        found.study_.trials[0].distributions
        == found.distributions_
        == {
            "order": CategoricalDistribution([1, 2]),
            "n_control_points": IntDistribution(16, 20),
            "alpha": FloatDistribution(1.0, 5.0),
            "smoothing": FloatDistribution(1e-5, 1, log=True),
            "quantile": FloatDistribution(0.9, 1.0, step=0.05),
        }
    )


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"space": {"smoothness": (0, 1)}}, ValueError, "got 'smoothness': choose from"),
        ({"space": {"smoothing": 3}}, TypeError, r"\(low, high\).* got 3 for 'smoothing'"),
        ({"space": {"smoothing": (1, 2, 3)}}, TypeError, "'param_distributions' parameter"),
        ({"space": {"smoothing": (1.0, 1e-4, "log")}}, ValueError, r"low not above high, .* for 'smoothing'"),
        ({"space": {"smoothing": (0.0, 1.0, "log")}}, ValueError, "'param_distributions' parameter"),
        ({"space": {"smoothing": ("a", "b")}}, ValueError, "'param_distributions' parameter"),
        ({"space": {"quantile": (0.9, 2.0)}}, ValueError, r"'quantile' parameter of Back.* \(0.0, 1.0\]. Got 2.0"),
        ({"space": {"init": ["grid", "square"]}}, ValueError, "'init' parameter of BackgroundSplineRegressor"),
        ({"n_trials": 0}, ValueError, "'n_trials' parameter of BackgroundSearchCV"),
        ({"sampler": "tpe"}, ValueError, "'sampler' parameter of BackgroundSearchCV"),
        ({"cv": 1}, ValueError, "'n_splits' parameter"),
        ({"estimator": FunctionTransformer()}, ValueError, "'estimator' parameter of BackgroundSearchCV"),
        ({"estimator": Pipeline([("bg", quick())])}, ValueError, "take its last step alone; a search of that can"),
        ({"estimator": BackgroundSplineRegressor}, ValueError, r"got the class: call it, as in Back.*Regressor\(\)"),
        ({"callbacks": [5]}, ValueError, r"'callbacks' parameter of Back.* callback\(study, trial\)\. Got \[5\]"),
        ({"scoring": lambda *parts: None}, TypeError, "'scoring' parameter must return a number.* Got None"),
    ],
)
def test_parameters_that_are_not_allowed(image, parameters, error, message):
    """Errors name the parameter and what is allowed."""
    with pytest.raises(error, match=message):
        quick_search(**parameters).fit(image)


@pytest.mark.parametrize("function", [cross_val_score_image, background_objective])
def test_arguments_of_functions_are_checked(image, function):
    """What is no such estimator, and a score that cannot be called, are errors that name the function."""
    given = {"X" if function is cross_val_score_image else "image": image}
    for wrong in (
        {"estimator": FunctionTransformer()},
        {"estimator": Pipeline([("bg", quick())])},
        {"estimator": BackgroundSplineRegressor},
        {"estimator": quick(), "scoring": "r2"},
    ):
        with pytest.raises(ValueError, match=f"parameter of {function.__name__} must be"):
            function(**given, **wrong)


def test_a_score_that_is_no_number_ends_at_once(image):
    """A function without a return is told so, and no fold is fitted after the first."""
    with pytest.raises(TypeError, match=r"'scoring' parameter must return a number.* Got None"):
        cross_val_score_image(quick(), image, scoring=lambda *parts: None)


def test_what_a_sampler_refuses_is_told(image):
    """A grid of another parameter fails the trials that it draws, with its reason; the first setting stands."""
    sampler = optuna.samplers.GridSampler({"foo": [1, 2]})
    found = quick_search(quick(order=2), {"order": [2, 3]}, n_trials=3, sampler=sampler).fit(image)
    assert found.best_params_ == {"order": 2}
    assert "order, is not found in the given grid" in found.cv_results_["error"][1]


@pytest.mark.parametrize(("timeout", "words"), [(None, "let callbacks and sampler"), (1.0, "within the timeout")])
def test_a_search_without_trials_says_why(timeout, words):
    """The timeout is blamed where there is one."""
    assert words in why_none([], timeout)


def test_a_mask_in_the_place_of_y(image):
    """A boolean y is refused, it was meant as a mask."""
    with pytest.raises(ValueError, match="pass a mask by its name"):
        quick_search().fit(image, lower_half(image.shape))


TINY = BackgroundSplineRegressor(
    n_control_points=3, order=1, smoothing=1e-3, quantile=1.0, threshold_min=-1.0, missing_values=None,
    downscale_factor=4, max_iter=20, mask_objects=False,
)  # fmt: skip
# The two trials of this search are the given settings, which no sampler draws and no number of jobs changes.
EXAMPLE = BackgroundSearchCV(TINY, {"smoothing": (1e-5, 1.0, "log")}, n_trials=2, cv=2)
CHECKS = [check for _, check in image_estimator_checks(EXAMPLE)]


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_image_checks(check):
    """The search keeps the conventions of images."""
    check(clone(EXAMPLE))


def test_the_reference_has_the_defaults(quick_reference, image):
    """What all settings are compared on depends on the image alone, not on the estimator."""
    found = [quick_reference(each, image.shape).get_params() for each in (quick(), BackgroundSplineRegressor())]
    assert found[0] == found[1] == BackgroundSplineRegressor().get_params()
    assert quick_reference(quick(), (56, 80, 3)).downscale_factor == 3


# The bare objective


def test_the_objective_is_what_the_search_minimises(searched, image):
    """A study of one's own finds the same loss for the same setting."""
    study = optuna.create_study()
    study.enqueue_trial(searched.best_params_)
    study.optimize(background_objective(image, estimator=quick(), param_distributions=SPACE), n_trials=1)
    assert study.best_value == -searched.best_score_


def test_the_objective_may_prune(image):
    """In a study with a pruner a trial ends after its first fold."""
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=-1.0))
    study.optimize(background_objective(image, estimator=quick(), param_distributions=SPACE), n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED
    assert len(study.trials[0].user_attrs["folds"]) == 1


def test_two_objectives_tell_a_model_that_eats_the_object(galaxy_frame):
    """A slack spline absorbs light that a stiff one leaves; both losses lie in [0, 1]."""
    objective = background_objective(
        galaxy_frame.image,
        estimator=BackgroundSplineRegressor(mask_objects=False),
        param_distributions={"smoothing": (1e-7, 10.0, "log"), "alpha": (0.0, 5.0)},
        cv=2,
        multi_objective=True,
    )
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.enqueue_trial({"smoothing": 1e-7, "alpha": 0.0})
    study.enqueue_trial({"smoothing": 1e-1, "alpha": 5.0})
    study.optimize(objective, n_trials=2)
    values = np.array([trial.values for trial in study.trials])
    assert ((values >= 0) & (values <= 1)).all()
    assert values[0, 1] > values[1, 1] + 0.05


def test_the_reference_absorbs_nothing(galaxy_frame):
    """The reference takes up none of the light that its own fit leaves."""
    reference = BackgroundSplineRegressor(smoothing=1e-3)
    objective = background_objective(
        galaxy_frame.image, estimator=reference, param_distributions={"verbose": [0]}, cv=2, multi_objective=True
    )
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.optimize(objective, n_trials=1)
    assert study.trials[0].values[1] == pytest.approx(0, abs=1e-9)
    assert objective.images[0].objects.any()
