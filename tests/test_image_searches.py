"""Searches and cross-validation over images, with metadata routing on and off: `EachImage` makes them samples."""

from functools import partial

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna_integration import OptunaSearchCV
from scipy import ndimage
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbgopt import make_sky_image
from skbgopt.each_image import EachImage
from skbgopt.model_selection import ImageBlockKFold
from tests.shared import quick

SHAPES = [(96, 128), (104, 120), (120, 96), (88, 128)]


@pytest.fixture(scope="module")
def frames():
    """Four frames of unequal sizes."""
    return [make_sky_image("oiii", shape=shape, random_state=k) for k, shape in enumerate(SHAPES)]


@pytest.fixture(scope="module")
def lit(frames):
    """Images with a lamp in a corner, their true backgrounds and masks of the lamp."""
    images, masks = [], []
    for frame in frames:
        mask = np.zeros(frame.image.shape, dtype=bool)
        mask[:48, :40] = True
        images.append(frame.image + (mask * 4 * frame.image.mean()).astype(np.float32))
        masks.append(mask)
    return images, [frame.background for frame in frames], masks


def as_masked(images, masks):
    """Images that carry their masks."""
    return [np.ma.array(image, mask=mask) for image, mask in zip(images, masks, strict=True)]


# A stiff, a good and a slack spline: what they leave of known backgrounds tells them apart.
GRID = {"estimator__smoothing": [1e-7, 1e-3, 1e4]}


def r2_of(lit, with_masks, smoothing):
    """R^2 of each image by hand."""
    return [
        quick(smoothing=smoothing).fit(image, mask=mask if with_masks else None).score(
            image, truth, mask=mask if with_masks else None
        )
        for image, truth, mask in zip(*lit, strict=True)
    ]  # fmt: skip


def test_cross_val_score_is_the_mean_over_held_out_images(lit, routing):
    """Each fold's score is the mean R^2 of its images; with routing masks go to fit and score alike."""
    images, truths, masks = lit
    by_hand = np.reshape(r2_of(lit, routing, 1e-4), (2, 2)).mean(axis=1)
    params = {"mask": masks} if routing else None
    scores = cross_val_score(EachImage(quick()), images, truths, cv=2, params=params)
    np.testing.assert_allclose(scores, by_hand, rtol=1e-12)


def test_images_carry_their_masks_into_a_search(lit, routing):
    """Masked arrays need no routing: the folds' scores are those with the masks."""
    images, truths, masks = lit
    by_hand = np.reshape(r2_of(lit, True, 1e-4), (2, 2)).mean(axis=1)
    found = cross_validate(EachImage(quick()), as_masked(images, masks), truths, cv=2, return_train_score=True)
    np.testing.assert_allclose(found["test_score"], by_hand, rtol=1e-12)
    assert len(found["train_score"]) == 2


def test_masks_at_fit_alone_are_not_forgotten_silently(lit):
    """Without routing a search hands masks to fit alone, and the user is told where they are missing."""
    images, truths, masks = lit
    with pytest.warns(UserWarning, match="pass mask= here too"):
        cross_val_score(EachImage(quick()), images, truths, cv=2, params={"mask": masks})


SEARCHES = {
    "grid": lambda each: GridSearchCV(each, GRID, cv=2),
    "randomized": lambda each: RandomizedSearchCV(each, GRID, n_iter=3, cv=2, random_state=0),
    "halving": lambda each: HalvingGridSearchCV(each, GRID, cv=KFold(2), factor=2, min_resources=2),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_find_what_truth_prefers(lit, routing, name):
    """Over images with known backgrounds each search takes the smoothing with the highest mean R^2."""
    images, truths, masks = lit
    by_hand = {smoothing: np.mean(r2_of(lit, True, smoothing)) for smoothing in GRID["estimator__smoothing"]}
    best = max(by_hand, key=by_hand.__getitem__)
    search = SEARCHES[name](EachImage(quick()))
    if routing:
        search.fit(images, truths, mask=masks)
    else:
        search.fit(as_masked(images, masks), truths)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"estimator__smoothing": best}
    metadata = {"mask": masks} if routing else {}
    given = images if routing else as_masked(images, masks)
    expected = EachImage(quick(smoothing=best)).predict(images, mask=masks)
    for found, other in zip(search.best_estimator_.predict(given, **metadata), expected, strict=True):
        np.testing.assert_array_equal(found, other)


def test_a_search_over_a_stack(frames, routing):
    """A stack is cut into folds along its first axis, one mask for all images stays whole."""
    stack = np.stack([frame.image[:88, :96] for frame in frames])
    truths = np.stack([frame.background[:88, :96] for frame in frames])
    search = GridSearchCV(EachImage(quick()), GRID, cv=2).fit(stack, truths)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    if routing:
        mask = np.zeros(stack.shape[1:], dtype=bool)
        mask[:20] = True
        found = cross_val_score(EachImage(quick()), stack, truths, cv=2, params={"mask": mask})
        whole = EachImage(quick()).score(stack[:2], truths[:2], mask=mask)
        assert found[0] == whole


def test_a_search_over_a_pipeline_of_images(lit, routing):
    """Parameters of a step of a Pipeline of each image are searched by their nested names."""
    images, truths, masks = lit
    pipe = Pipeline([("smooth", FunctionTransformer(ndimage.gaussian_filter, kw_args={"sigma": 1})), ("bg", quick())])
    grid = {f"estimator__bg__{name[11:]}": values for name, values in GRID.items()}
    metadata = {"mask": masks} if routing else {}
    search = GridSearchCV(EachImage(pipe), grid, cv=2).fit(images, truths, **metadata)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.estimator["bg"].smoothing == search.best_params_["estimator__bg__smoothing"]


def test_optuna_search_completes_and_finds_what_truth_prefers(lit, routing):
    """Every trial of OptunaSearchCV completes, its value is the mean R^2, and its best beats the others by truth."""
    images, truths, masks = lit
    metadata = {"mask": masks} if routing else {}
    images = images if routing else as_masked(images, masks)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for smoothing in GRID["estimator__smoothing"]:
        study.enqueue_trial({"estimator__smoothing": smoothing, "estimator__n_control_points": 16})
    space = {
        "estimator__smoothing": FloatDistribution(1e-7, 1e4, log=True),
        "estimator__n_control_points": IntDistribution(8, 32),
    }
    search = OptunaSearchCV(EachImage(quick()), space, cv=2, n_trials=4, study=study, error_score="raise")
    search.fit(images, truths, **metadata)
    assert [trial.state.name for trial in search.trials_] == ["COMPLETE"] * 4
    by_truth = []
    for trial in search.trials_:
        parameters = {name.removeprefix("estimator__"): value for name, value in trial.params.items()}
        by_truth.append(EachImage(quick(**parameters)).score(images, truths, **metadata))
        np.testing.assert_allclose(trial.value, by_truth[-1], rtol=1e-12)
    assert search.best_params_ == search.trials_[int(np.argmax(by_truth))].params
    # The search's own score takes no masks.
    assert search.best_estimator_.score(images, truths, **metadata) == max(by_truth) > min(by_truth) + 0.1


def test_optuna_search_on_one_image(frames):
    """One image has no folds: fitted and scored on itself by one split of a list of one, it can be searched."""
    search = OptunaSearchCV(
        EachImage(quick()),
        {"estimator__smoothing": FloatDistribution(1e-7, 1e4, log=True)},
        cv=[([0], [0])],
        n_trials=3,
        random_state=0,
        error_score="raise",
    )
    search.fit([frames[0].image], [frames[0].background])
    assert [trial.state.name for trial in search.trials_] == ["COMPLETE"] * 3
    assert search.best_score_ == max(trial.value for trial in search.trials_)


def test_folds_of_an_image_are_none_of_images():
    """Blocks as the folds of a search over images are refused with a sentence that names the search to take."""
    images, each, cv = [np.ones((40, 60))] * 3, EachImage(quick()), ImageBlockKFold()
    for search in (GridSearchCV(each, GRID, cv=cv).fit, partial(cross_val_score, each, cv=cv)):
        with pytest.raises(TypeError, match="use BackgroundSearchCV or cross_val_score_image"):
            search(images)
