"""Folds of an image, scores of held-out blocks, and the search."""

import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.model_selection import (
    BackgroundSearchCV,
    ImageBlockKFold,
    _held_out,
    background_objective,
    cross_val_score_image,
    held_out_score,
)
from skbgopt.testing import image_estimator_checks

SHAPES = [(20, 30), (30, 20), (24, 24), (12, 90), (160, 240)]
# A setting that fits in hundredths of a second, and a space of two parameters around it.
QUICK = {"n_control_points": 16, "smoothing": 1e-3, "order": 2, "mask_objects": False}
SPACE = {"smoothing": (1e-6, 1.0, "log"), "quantile": (0.9, 1.0)}


def quick(**parameters):
    """A quick estimator."""
    return BackgroundSplineRegressor(**{**QUICK, **parameters})


def quick_search(estimator=None, space=None, **parameters):
    """A search of a few quick trials."""
    given = {"n_trials": 4, "random_state": 0, **parameters}
    return BackgroundSearchCV(quick() if estimator is None else estimator, SPACE if space is None else space, **given)


@pytest.fixture(scope="module", autouse=True)
def quick_reference():
    """A reference that does not choose its smoothing, which takes longer than a search of a few trials."""
    default = _held_out.reference_estimator
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_held_out, "reference_estimator", lambda *args: default(*args).set_params(smoothing=1e-3))
        yield default


@pytest.fixture(scope="module")
def image():
    """A small image of one channel."""
    return make_sky_image("oiii", shape=(128, 160), random_state=1).image


@pytest.fixture(scope="module")
def searched(image):
    """A search that has been fitted."""
    return quick_search(n_trials=6).fit(image)


def lower_half(shape):
    """A mask of the lower half."""
    mask = np.zeros(shape[:2], dtype=bool)
    mask[shape[0] // 2 :] = True
    return mask


# Folds


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_usable_pixel_is_held_out_once(shape, shuffle):
    """The test maps share the usable pixels out, and a fold's two maps hold all of them."""
    mask = lower_half(shape)
    folds = list(ImageBlockKFold(shuffle=shuffle, random_state=0).split(np.ones(shape), mask))
    np.testing.assert_array_equal(sum(test.astype(int) for _, test in folds), ~mask)
    for train, test in folds:
        np.testing.assert_array_equal(train ^ test, ~mask)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_splits", [2, 3, 4, 5])
def test_neighbouring_blocks_are_not_held_out_together(shape, n_splits):
    """Where a test map ends inside a row or column, a block of another fold begins: no run is longer than a block."""
    longest = -(-min(shape) // 4)
    for _, test in ImageBlockKFold(n_splits).split(np.ones(shape)):
        for line in (*test, *test.T):
            ends = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
            assert max(ends[1::2] - ends[::2], default=0) <= longest + (len(line) == 90) * 5


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("mask", [None, lower_half((120, 180))], ids=["all", "upper half"])
def test_folds_are_balanced_in_usable_pixels(shuffle, mask):
    """No fold has more than half as many usable pixels again as another."""
    folds = ImageBlockKFold(shuffle=shuffle, random_state=1).split(np.ones((120, 180)), mask)
    sizes = [test.sum() for _, test in folds]
    assert max(sizes) <= 1.5 * min(sizes)


def test_the_better_diagonal_is_taken():
    """Where a mask empties the falling diagonals of one fold, the rising ones are taken."""
    image, cv = np.ones((40, 40)), ImageBlockKFold()
    _, test = next(cv.split(image))
    sizes = [kept.sum() for _, kept in cv.split(image, test)]
    assert min(sizes) > 0.15 * sum(sizes)


def test_the_drawing_is_true():
    """The docstring shows the folds of an image of 2 : 3."""
    maps = [test for _, test in ImageBlockKFold().split(np.ones((4, 6)))]
    drawn = [line.split() for line in ImageBlockKFold.__doc__.splitlines() if line.strip()[:1].isdigit()]
    np.testing.assert_array_equal(np.array(drawn[:4], dtype=int), sum(k * test for k, test in enumerate(maps)))


def test_shuffling_is_seeded():
    """The same seed deals the same folds, another one others."""
    first, same, other = (
        np.stack([test for _, test in ImageBlockKFold(shuffle=True, random_state=seed).split(np.ones((40, 60)))])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_masked_array_brings_its_mask():
    """The mask of a masked array is in no map."""
    mask = lower_half((40, 60))
    for train, test in ImageBlockKFold().split(np.ma.array(np.ones((40, 60)), mask=mask)):
        assert not (train | test)[mask].any()


@pytest.mark.parametrize(
    ("cv", "mask", "message"),
    [
        (ImageBlockKFold(1), None, "'n_splits' parameter of ImageBlockKFold must be an int in the range"),
        (ImageBlockKFold(blocks_short=0), None, "'blocks_short' parameter"),
        (ImageBlockKFold(30), None, "take fewer folds or more blocks, or exclude less"),
        (ImageBlockKFold(), np.ones((40, 60), bool), "with 0 usable pixels for 3 folds"),
        (ImageBlockKFold(), np.ones((4, 6), bool), "must have the image's shape"),
    ],
)
def test_folds_that_cannot_be(cv, mask, message):
    """What is not allowed is said in one sentence."""
    with pytest.raises(ValueError, match=message):
        list(cv.split(np.ones((40, 60)), mask))


def test_splitters_are_values():
    """A splitter shows its parameters, equals another of the same and counts its folds."""
    assert repr(ImageBlockKFold(4)) == "ImageBlockKFold(n_splits=4, blocks_short=4, shuffle=False, random_state=None)"
    assert ImageBlockKFold(4) == ImageBlockKFold(4) != ImageBlockKFold()
    assert ImageBlockKFold(4).get_n_splits() == 4


# Scores


def test_the_score_is_known_at_both_ends():
    """The background scores 0, one far off -1, one off by 3 sigma exp(-1/2) - 1; objects and weight 0 do not count."""
    values, weights, sky = np.ones((4, 4, 1)), np.ones((4, 4, 1)), np.ones((4, 4), bool)
    noise = np.array([0.1])
    for offset, score in ((0, 0), (1e6, -1), (0.3, np.exp(-0.5) - 1)):
        assert held_out_score(values, values + offset, weights, noise, sky) == pytest.approx(score)
    spoiled = values.copy()
    spoiled[:2] = 1e9
    sky[0], weights[1] = False, 0
    assert held_out_score(spoiled, values, weights, noise, sky) == 0


def test_scores_rank_as_the_truth(mono_frame):
    """A plane leaves more of a curved gradient and scores less than a spline that fits it."""
    settings = [quick(smoothing=1e6), BackgroundSplineRegressor(smoothing=1e-5, n_control_points=36)]
    left = [
        gradient_left(each.fit(mono_frame.image).predict(mono_frame.image), mono_frame.background) for each in settings
    ]
    stiff, good = (cross_val_score_image(each, mono_frame.image) for each in settings)
    assert stiff.shape == good.shape == (3,)
    assert left[0] > 2 * left[1]
    assert stiff.mean() < good.mean() - 0.5


def test_scores_do_not_change_with_units(image):
    """A factor on the image changes no score."""
    expected = cross_val_score_image(quick(), image.astype(float))
    np.testing.assert_allclose(cross_val_score_image(quick(), 1e4 * image.astype(float)), expected, atol=1e-6)


def test_all_settings_are_judged_on_the_same_pixels(image):
    """Whatever a setting does to the image, values, weights, noise and sky of the score are the same."""
    seen = []

    def keep(values, background, *rest):
        seen.append((values, *rest))
        return float(np.abs(background / values - 1).max())

    for setting in ({}, {"downscale_factor": 5}, {"quantile": 0.9, "threshold_max": 0.5}, {"downscale_func": "mean"}):
        assert (cross_val_score_image(quick(**setting), image, cv=2, scoring=keep) < 0.5).all()
    for k in range(2, len(seen)):
        for found, expected in zip(seen[k], seen[k % 2], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_what_is_held_out_is_not_fitted(image):
    """Whatever a held-out block shows, the model that is judged there is the same."""
    test = np.zeros(image.shape, dtype=bool)
    test[:64, :64] = True
    seen = []

    def keep(values, background, weights, block_noise, sky):
        seen.append(background)
        return 0.0

    other = image.copy()
    other[:64, :64] = image[:64, :64][::-1, ::-1]
    for given in (image, other):
        cross_val_score_image(quick(), given, cv=[(~test, test)], scoring=keep)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-2)


def test_masked_pixels_count_nowhere(image):
    """With a mask the values below it change no score; weights of 0 are the same as the mask."""
    mask = np.zeros(image.shape, dtype=bool)
    mask[40:80, 100:140] = True
    expected = cross_val_score_image(quick(), image, mask=mask)
    spoiled = np.where(mask, 1e3, image).astype(image.dtype)
    np.testing.assert_array_equal(cross_val_score_image(quick(), spoiled, mask=mask), expected)
    np.testing.assert_array_equal(cross_val_score_image(quick(), spoiled, sample_weight=1.0 - mask), expected)
    np.testing.assert_array_equal(cross_val_score_image(quick(), np.ma.array(spoiled, mask=mask)), expected)


def test_maps_of_any_size_are_folds(image):
    """Full-size maps, reduced ones and the splitter that makes them give the same scores."""
    cv = ImageBlockKFold(2, blocks_short=2)
    expected = cross_val_score_image(quick(), image, cv=cv)
    for shape in (image.shape, (16, 20), (2, 2)):
        np.testing.assert_array_equal(cross_val_score_image(quick(), image, cv=cv.split(np.ones(shape))), expected)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([([0, 1], [2])], "pairs of boolean maps .* use ImageBlockKFold"),
        ([], "at least one fold"),
        ([(np.ones((4, 6), bool), np.zeros((4, 6), bool))], "Fold 0 holds out no usable pixel"),
    ],
)
def test_folds_that_cannot_be_scored(image, cv, message):
    """Indices, no folds and empty folds are errors."""
    with pytest.raises(ValueError, match=message):
        cross_val_score_image(quick(), image, cv=cv)


def test_the_estimator_is_left_alone(image):
    """Scoring neither fits nor changes the estimator that is given."""
    estimator = quick()
    before = estimator.get_params()
    cross_val_score_image(estimator, image, cv=2)
    assert estimator.get_params() == before
    assert not hasattr(estimator, "coef_")


# The search


def test_the_best_trial_is_the_best(searched, image):
    """The best of the table is the best of the study, and its score is what cross-validation gives its setting."""
    table = searched.cv_results_
    best = searched.best_index_
    assert table["params"][best] == searched.best_params_ == searched.study_.best_params
    assert table["mean_test_score"][best] == searched.best_score_ == np.nanmax(table["mean_test_score"])
    assert table["rank_test_score"][best] == 1
    scores = cross_val_score_image(quick(**searched.best_params_), image)
    np.testing.assert_allclose([table[f"split{k}_test_score"][best] for k in range(3)], scores, rtol=1e-12)
    assert searched.best_score_ == pytest.approx(scores.mean(), rel=1e-12)
    assert searched.n_splits_ == 3


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
    failed = [k for k, params in enumerate(table["params"]) if params["n_control_points"] == 5000]
    assert 0 < len(failed) < 8
    assert search.best_params_ == {"n_control_points": 16}
    for k in range(8):
        assert table["state"][k] == ("FAIL" if k in failed else "COMPLETE")
        assert ("reduced pixels are usable" in table["error"][k]) == (k in failed)
        assert np.isnan(table["mean_test_score"][k]) == (k in failed)
    assert (table["rank_test_score"][failed] == 8 - len(failed) + 1).all()


def test_when_all_fail_the_first_reason_is_raised(image):
    """One sentence names the number of trials and the first message."""
    with pytest.raises(ValueError, match="All 3 trials of BackgroundSearchCV failed, the first with: Only "):
        quick_search(space={"n_control_points": (4000, 5000)}, n_trials=3).fit(image)


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
    search = quick_search(pruner=optuna.pruners.ThresholdPruner(upper=-1.0), n_trials=1, refit=False)
    with pytest.raises(ValueError, match="No trial"):
        search.fit(image)
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
    assert copied.study_.best_params == searched.best_params_
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
    "n_control_points": (16, 20),
    "alpha": (1.0, 5.0),
    "smoothing": (1e-5, 1, "log"),
    "quantile": FloatDistribution(0.9, 1.0, step=0.05),
}


def test_spaces_in_short(image):
    """Lists are choices, pairs of whole numbers are whole, "log" is logarithmic, Optuna's distributions stay."""
    distributions = quick_search(space=DISTRIBUTIONS, n_trials=1).fit(image).study_.best_trial.distributions
    assert distributions == {
        "order": CategoricalDistribution([1, 2]),
        "n_control_points": IntDistribution(16, 20),
        "alpha": FloatDistribution(1.0, 5.0),
        "smoothing": FloatDistribution(1e-5, 1, log=True),
        "quantile": FloatDistribution(0.9, 1.0, step=0.05),
    }


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"space": {"smoothness": (0, 1)}}, ValueError, "got 'smoothness': choose from"),
        ({"space": {"smoothing": 3}}, TypeError, r"\(low, high\).* got 3 for 'smoothing'"),
        ({"space": {"smoothing": (1, 2, 3)}}, TypeError, "'param_distributions' parameter"),
        ({"n_trials": 0}, ValueError, "'n_trials' parameter of BackgroundSearchCV"),
        ({"sampler": "tpe"}, ValueError, "'sampler' parameter of BackgroundSearchCV"),
        ({"cv": 1}, ValueError, "'n_splits' parameter"),
        ({"estimator": FunctionTransformer()}, ValueError, "'estimator' parameter of BackgroundSearchCV"),
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
    for wrong in ({"estimator": FunctionTransformer()}, {"estimator": quick(), "scoring": "r2"}):
        with pytest.raises(ValueError, match=f"parameter of {function.__name__} must be"):
            function(**given, **wrong)


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
