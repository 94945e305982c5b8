"""Images as samples: each is fitted for itself, wherever and beside whatever it is."""

import warnings
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import make_pipeline

from skbgopt import BackgroundSplineRegressor, BlockReducer, MidtonesStretch, make_sky_image
from skbgopt.each_image import EachImage

SHAPES = [(96, 128), (120, 104), (104, 160)]


def quick(**parameters):
    """An estimator that fits in a few hundredths of a second."""
    return BackgroundSplineRegressor(**{"smoothing": 1e-4, "n_control_points": 16, **parameters})


@pytest.fixture(scope="module")
def frames():
    """Three frames of unequal sizes, one of them in colour."""
    kinds = ["ha", "oiii", "galaxy"]
    return [make_sky_image(kind, shape=shape, random_state=0) for kind, shape in zip(kinds, SHAPES, strict=True)]


@pytest.fixture(scope="module")
def images(frames):
    """The images of the frames."""
    return [frame.image for frame in frames]


@pytest.fixture(scope="module")
def masks(images):
    """A mask for each image, of another part in each."""
    found = []
    for k, image in enumerate(images):
        mask = np.zeros(image.shape[:2], dtype=bool)
        mask[16 * k : 16 * k + 40, 8:56] = True
        found.append(mask)
    return found


@pytest.fixture(scope="module")
def stack():
    """Four images of one size."""
    return np.stack([make_sky_image("oiii", shape=(96, 128), random_state=k).image for k in range(4)])


def assert_same(found, expected):
    """Equal bit by bit, image by image."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_image_is_fitted_for_itself(images, masks):
    """Backgrounds, subtracted images and scores are those of a loop with a fresh estimator."""
    fitted = [quick().fit(image, mask=mask) for image, mask in zip(images, masks, strict=True)]
    each = EachImage(quick())
    assert_same(
        each.predict(images, mask=masks), [model.predict(image) for model, image in zip(fitted, images, strict=True)]
    )
    assert_same(
        each.fit_transform(images, mask=masks),
        [model.transform(image) for model, image in zip(fitted, images, strict=True)],
    )
    scores = [model.score(image, mask=mask) for model, image, mask in zip(fitted, images, masks, strict=True)]
    assert each.score(images, mask=masks) == np.mean(scores)


def test_standard_errors_come_beside(images, stack):
    """Of a list a second list, of a stack a second stack."""
    each = EachImage(quick())
    for image, *found in zip(images, *each.predict(images, return_std=True), strict=True):
        assert_same(found, quick().fit(image).predict(image, return_std=True))
    assert [part.shape for part in each.predict(stack, return_std=True)] == [stack.shape] * 2


def test_masks_change_the_fit(images, masks):
    """What is masked has no say, so a mask moves the background; the test above can fail."""
    each = EachImage(quick())
    for with_mask, without in zip(each.predict(images, mask=masks), each.predict(images), strict=True):
        assert not np.array_equal(with_mask, without)


def test_the_order_and_company_of_images_do_not_matter(images):
    """The background of an image is the same alone, or among others in any order."""
    each = EachImage(quick())
    together = each.predict(images)
    assert_same(each.predict(images[::-1])[::-1], together)
    assert_same(each.predict(images[1:2]), together[1:2])


def test_known_backgrounds_are_scored_by_r2(frames, images):
    """With the true backgrounds as y the score is the mean R^2, without them it is another."""
    truths = [frame.background for frame in frames]
    each = EachImage(quick())
    scores = [quick().fit(frame.image).score(frame.image, frame.background) for frame in frames]
    assert each.fit(images, truths).score(images, truths) == np.mean(scores) != each.score(images)


def test_a_stack_comes_back_as_a_stack(stack):
    """An array of images gives an array, a list of the same images a list of the same values."""
    each = EachImage(quick())
    for method in (each.predict, each.fit_transform):
        found = method(stack)
        assert isinstance(found, np.ndarray)
        assert found.shape == stack.shape
        assert_same(method(list(stack)), found)


def test_colour_stacks(stack):
    """A stack of colour images has four axes."""
    colour = np.repeat(stack[:2, :, :, None], 3, axis=3)
    assert EachImage(quick()).predict(colour).shape == colour.shape


def test_images_bring_their_masks(images, masks):
    """Masked arrays and NaN exclude as mask= does; masked arrays come back masked."""
    each = EachImage(quick())
    expected = each.predict(images, mask=masks)
    masked = [np.ma.array(image, mask=mask if image.ndim == 2 else np.repeat(mask[:, :, None], 3, axis=2))
              for image, mask in zip(images, masks, strict=True)]  # fmt: skip
    assert_same(each.predict(masked), expected)
    gaps = [image.copy() for image in images]
    for image, mask in zip(gaps, masks, strict=True):
        image[mask] = np.nan
    assert_same(each.predict(gaps), expected)
    for result, image in zip(each.transform(masked), masked, strict=True):
        np.testing.assert_array_equal(result.mask, image.mask)
    stacked = EachImage(quick()).fit_transform(np.ma.stack([masked[0], masked[0]]))
    np.testing.assert_array_equal(stacked.mask[1], masked[0].mask)


def test_masks_and_weights_in_every_form(stack):
    """A list, a stack and one array for all say the same; a None in a list is no mask; weights 0 are a mask."""
    mask = np.zeros(stack.shape[1:], dtype=bool)
    mask[20:60, 30:90] = True
    each = EachImage(quick())
    expected = each.predict(stack, mask=[mask] * len(stack))
    assert_same(each.predict(stack, mask=mask), expected)
    assert_same(each.predict(stack, mask=np.stack([mask] * len(stack))), expected)
    weights = (~mask).astype(np.float32)
    assert_same(each.predict(stack, sample_weight=weights), expected)
    assert_same(each.predict(stack, mask=[mask, None, None, mask])[[0, 3]], expected[[0, 3]])
    assert_same(each.predict(stack, mask=[mask, None, None, mask])[[1, 2]], each.predict(stack)[[1, 2]])


def test_nothing_is_carried_from_fit_to_predict(images, stack):
    """Fitting other images first, or none, changes no result."""
    each = EachImage(quick())
    expected = each.predict(images)
    assert_same(each.fit(stack).predict(images), expected)
    assert each.n_images_in_ == len(stack)
    assert_same(clone(each).predict(images), expected)


class CountingRegressor(BaseEstimator):
    """Counts its fits."""

    fits = 0

    def fit(self, X):
        """Count."""
        CountingRegressor.fits += 1
        return self

    def score(self, X, y=None):
        """Any."""
        return 0.0


def test_no_image_is_fitted_in_vain(images):
    """Fit fits nothing; a score fits each image once: a search does no work twice."""
    CountingRegressor.fits = 0
    each = EachImage(CountingRegressor()).fit(images)
    assert CountingRegressor.fits == 0
    each.score(images)
    assert CountingRegressor.fits == len(images)


def test_the_estimators_can_be_had(images, masks):
    """fit_each returns the fitted clones; the estimator given stays as it was."""
    each = EachImage(quick())
    fitted = each.fit_each(images, mask=masks)
    assert [model.image_shape_[:2] for model in fitted] == SHAPES
    assert all(model.excluded_["masked"] == mask.sum() for model, mask in zip(fitted, masks, strict=True))
    assert not hasattr(each.estimator, "coef_")


def test_it_does_what_its_estimator_does(images):
    """The methods are those of the estimator: a transformer cannot predict, a mere regressor not transform."""
    reducer = EachImage(BlockReducer(factor=8))
    assert not hasattr(reducer, "predict")
    assert [image.shape[:2] for image in reducer.fit_transform(images)] == [(h // 8, w // 8) for h, w in SHAPES]
    assert not hasattr(EachImage(DummyRegressor()), "transform")


def test_forgotten_masks_are_named(images, masks):
    """Masks at fit alone have no effect later, which is said; no masks, or masks at both, say nothing."""
    each = EachImage(quick()).fit(images, mask=masks)
    with pytest.warns(UserWarning, match="pass mask= here too"):
        each.score(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        each.predict(images, mask=masks)
        each.fit_transform(images, mask=masks)
        each.fit(images).predict(images)
        each.fit(images, mask=[None] * len(images)).predict(images)


@pytest.mark.parametrize("enabled", [False, True])
def test_masks_reach_the_steps_of_a_pipeline(images, masks, enabled):
    """With metadata routing a mask goes to the regressor of a Pipeline in it; without, the image's name is given."""
    each = EachImage(make_pipeline(quick(), MidtonesStretch()))
    with config_context(enable_metadata_routing=enabled):
        if not enabled:
            with pytest.raises(ValueError, match=r"image 1 of 3 \(index 0\).*stepname__parameter"):
                each.transform(images, mask=masks)
            return
        expected = EachImage(MidtonesStretch()).fit_transform(EachImage(quick()).fit_transform(images, mask=masks))
        assert_same(each.fit_transform(images, mask=masks), expected)


WRONG = [
    ("one image", lambda image: image, {}, r"a list of images.*got an array of shape \(96, 128\): pass \[image\]"),
    ("one colour image", lambda image: np.stack([image] * 3, axis=2), {}, r"got an array of shape \(96, 128, 3\)"),
    ("one image as lists", lambda image: image.tolist(), {}, "got a list"),
    ("no image", lambda image: [], {}, "at least one image, got none"),
    ("not images", lambda image: "stack.fits", {}, "got a str"),
    ("too few masks", lambda image: [image] * 3, {"mask": [None]}, "as many masks as images, got 1 for 3 images"),
    ("a mask that is none", lambda image: [image], {"mask": True}, "as many masks as images, got a bool"),
    (
        "too many weights",
        lambda image: [image],
        {"sample_weight": np.ones((2, 96, 128))},
        "as many sample_weight arrays as images, got 2 for 1",
    ),
    (
        "one mask for unequal images",
        lambda image: [image, image[:80]],
        {"mask": np.zeros((96, 128), dtype=bool)},
        r"only where all have its shape \(96, 128\): pass a list of 2 masks",
    ),
    ("masks as y", lambda image: [image], {"y": [np.zeros((96, 128), dtype=bool)]}, "pass masks by their name"),
    ("too few truths", lambda image: [image] * 2, {"y": [np.zeros((96, 128))]}, "as many true backgrounds y as images"),
]


@pytest.mark.parametrize(("what", "make", "metadata", "message"), WRONG, ids=[case[0] for case in WRONG])
def test_wrong_input_is_named_at_fit_and_at_score(images, what, make, metadata, message):
    """Fit and score say in one sentence what is allowed, what came and the way out."""
    each = EachImage(quick())
    for method in (each.fit, each.score):
        with pytest.raises(ValueError, match=message):
            method(make(images[0]), **metadata)


def test_parameters_are_checked(images):
    """An estimator that cannot fit, and a number of jobs that is no number, are refused by name."""
    with pytest.raises(ValueError, match="'estimator' parameter of EachImage"):
        EachImage("spline").fit(images)
    with pytest.raises(ValueError, match="'n_jobs' parameter of EachImage"):
        EachImage(quick(), n_jobs=1.5).predict(images)


@pytest.mark.parametrize(
    ("broken", "error"), [(np.full((96, 128), 7.0), ValueError), (np.full((9, 9), "sky"), TypeError)]
)
def test_the_image_that_fails_is_named(images, broken, error):
    """One image that cannot be fitted raises its own error with its place."""
    with pytest.raises(error, match=r"^image 3 of 4 \(index 2\): "):
        EachImage(quick()).predict([*images[:2], broken, images[2]])


def fall_over(model, sample):
    """An error that is no matter of values."""
    raise ZeroDivisionError("by nought")


def test_other_errors_keep_their_kind(monkeypatch, images):
    """An error of another kind goes on as it is, with the place of the image as a note."""
    monkeypatch.setattr("skbgopt.each_image._itself", fall_over)
    with pytest.raises(ZeroDivisionError) as caught:
        EachImage(quick()).fit_each(images)
    assert caught.value.__notes__ == ["image 1 of 3 (index 0)"]


def test_parameters_nest():
    """The estimator's parameters are set and read through its name, and the picture shows both."""
    each = EachImage(quick()).set_params(estimator__quantile=0.9)
    assert each.get_params()["estimator__quantile"] == each.estimator.quantile == 0.9
    assert all(name in each._repr_html_() for name in ("EachImage", "BackgroundSplineRegressor"))


class Witness(BaseEstimator):
    """Predicts what it sees of torch and of its image where it is run."""

    def fit(self, X):
        """Nothing."""
        return self

    def predict(self, X):
        """Threads of torch; whether the image is in a file that nobody may write to."""
        return np.array([torch.get_num_threads(), isinstance(X, np.memmap) and not X.flags.writeable])


@contextmanager
def torch_threads(number):
    """Torch with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def workers(monkeypatch):
    """Two processes that see even small images in files, started without a word in the environment on threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with parallel_config("loky", n_jobs=2, max_nbytes=1000):
        yield


def test_workers_share_the_cores(images, workers):
    """In a worker torch has its share of the cores at most, and the images are not copied."""
    with torch_threads(2):
        found = EachImage(Witness()).predict(images)
    assert all(1 <= threads <= max(1, joblib.cpu_count() // 2) for threads, _ in found)
    assert all(in_a_file for _, in_a_file in found)


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_in_this_process_the_threads_are_left_alone(images, backend):
    """Where images are fitted in this process torch keeps the number of threads that it has."""
    with torch_threads(3), parallel_config(backend):
        found = EachImage(Witness(), n_jobs=2).predict(images)
        assert [threads for threads, _ in found] == [3, 3, 3]
        assert torch.get_num_threads() == 3


def test_threads_set_for_torch_hold_in_workers(images, monkeypatch):
    """A worker that might use more threads uses no more than torch was set to, and later has them back."""

    def worker(n_jobs):
        def run(tasks):
            tasks = list(tasks)
            torch.set_num_threads(3)
            results = [task.function(*arguments) for task, arguments, _ in tasks]
            assert torch.get_num_threads() == 3
            return results

        return run

    monkeypatch.setattr("skbgopt.each_image.Parallel", worker)
    with torch_threads(1):
        assert [threads for threads, _ in EachImage(Witness()).predict(images)] == [1, 1, 1]


def test_results_do_not_depend_on_the_workers(images, masks, workers):
    """One job and two processes, which read the images from files and route masks as this one does, agree exactly."""
    each = EachImage(make_pipeline(BackgroundSplineRegressor()))
    with torch_threads(1), config_context(enable_metadata_routing=True):
        found = each.fit_transform(images, mask=masks)
        with parallel_config("sequential"):
            assert_same(each.fit_transform(images, mask=masks), found)


def test_results_do_not_depend_on_threads_beside(images, masks):
    """Images fitted at the same time in threads of this process do not disturb each other."""
    each = EachImage(quick())
    with torch_threads(1):
        expected = each.fit_transform(images, mask=masks)
        with parallel_config("threading", n_jobs=2):
            assert_same(each.fit_transform(images, mask=masks), expected)


def test_results_hardly_depend_on_threads_within(images):
    """Another number of threads rounds differently: by less than 1e-4 of the range, no yes-or-no being tipped."""
    each = EachImage(quick(mask_objects=False, smoothing=1e-2, max_iter=30))
    found = []
    for number in (1, 2):
        with torch_threads(number):
            found.append(each.predict(images[:1])[0])
    assert np.abs(found[0] - found[1]).max() < 1e-4 * np.ptp(found[0])


def test_a_dask_cluster_spreads_the_images(images):
    """With joblib's dask backend the images are fitted by the workers of a cluster."""
    import distributed  # here, so that the worker processes of the tests above need not wait for it

    expected = EachImage(quick()).predict(images)
    with (
        distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None),
        parallel_config("dask"),
    ):
        assert_same(EachImage(quick()).predict(images), expected)
