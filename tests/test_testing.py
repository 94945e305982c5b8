"""The checks of image estimators: ours pass them, and each fault is caught by the check that is for it."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skbgopt import BackgroundSplineRegressor
from skbgopt.model_selection import BackgroundSearchCV
from skbgopt.testing import all_estimators, check_image_estimator, example_estimators, image_estimator_checks


def takes_an_image(estimator):
    """Whether the tags say that X is one image, and neither a table nor a stack."""
    tags = get_tags(estimator).input_tags
    return tags.two_d_array and tags.three_d_array


QUICK = {"n_control_points": 12, "downscale_factor": 4, "smoothing": 1e-3}
OURS = [
    # tests/test_background_search.py has the search, on an estimator that reduces.
    *(each for each in example_estimators() if takes_an_image(each) and not isinstance(each, BackgroundSearchCV)),
    BackgroundSplineRegressor(**QUICK),
    BackgroundSplineRegressor(n_control_points=6),
    BackgroundSplineRegressor(**QUICK, correction="divide", level="zero"),
    BackgroundSplineRegressor(**QUICK, solver="adam", init="random", loss_scale=0.01, max_iter=10),
    BackgroundSplineRegressor(**QUICK, move_control_points=True, downscale_func="mean", missing_values=None),
]
CASES = [(estimator, check) for given in OURS for estimator, check in image_estimator_checks(given)]
NAMES = [f"{' '.join(str(estimator).split())}-{check.__name__}" for estimator, check in CASES]


@pytest.mark.parametrize(
    ("estimator", "check"), CASES, ids=[f"{' '.join(str(e).split())}-{c.__name__}" for e, c in CASES]
)
def test_image_checks(estimator, check):
    """Every image estimator of ours keeps the conventions."""
    check(estimator)


def test_the_image_estimators_are_found():
    """What takes an image says so by its tags; the regressor of coordinates and what takes stacks do not."""
    names = {type(estimator).__name__ for estimator in OURS}
    assert {"BackgroundSplineRegressor", "MidtonesStretch", "BlockReducer", "SourceMasker"} <= names
    assert {"PolyharmonicSplineRegressor", "EachImage"} <= set(dict(all_estimators())) - names


class MedianSky(TransformerMixin, BaseEstimator):
    """A sound estimator in a few lines: the background is the median of the usable pixels of each channel."""

    def __init__(self, *, share=0.5, n_jobs=None):
        self.share = share
        self.n_jobs = n_jobs

    def read(self, X):
        """The image as native floats, NaN where it is masked."""
        array = np.ma.getdata(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
        if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or not array.size:
            raise ValueError("not an image")
        image = array.astype(np.float64 if array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2) else np.float32)
        image[np.ma.getmaskarray(X)] = np.nan
        return image

    def usable(self, image, mask, sample_weight):
        """The image, NaN where it is not used."""
        if mask is not None:
            if np.asarray(mask).dtype != bool:
                raise TypeError("not a mask")
            if mask.shape != image.shape[:2]:
                raise ValueError("not the mask of this image")
            image[mask] = np.nan
        if sample_weight is not None:
            image[sample_weight == 0] = np.nan
        return np.where(np.isfinite(image), image, np.nan)

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        image = self.usable(self.read(X), mask, sample_weight)
        self.level_ = np.nanquantile(image.astype(float), self.share, axis=(0, 1))
        return self

    def predict(self, X):
        check_is_fitted(self)
        image = self.read(X)
        return np.broadcast_to(self.level_, image.shape).astype(image.dtype)

    def transform(self, X):
        return self.read(X) - self.predict(X)

    def inverse_transform(self, X):
        return self.read(X) + self.predict(X)


class ChangesItsParameter(MedianSky):
    """Computes in the constructor."""

    def __init__(self, *, share=0.5, n_jobs=None):
        self.share = float(np.float64(share) + 0)
        self.n_jobs = n_jobs or 1


class FitChangesItsParameter(MedianSky):
    """Keeps what it learned where it was told what to do."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        self.n_jobs = 1
        return super().fit(X, mask=mask, sample_weight=sample_weight)


class WorksBeforeFit(MedianSky):
    """Predicts zeros before it was fitted."""

    def predict(self, X):
        return super().predict(X) if hasattr(self, "level_") else np.zeros_like(self.read(X))


class ReturnsNothing(MedianSky):
    """Its fit cannot be chained."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        super().fit(X, mask=mask, sample_weight=sample_weight)


class LosesAnAxis(MedianSky):
    """Squeezes a single channel."""

    def predict(self, X):
        background = super().predict(X)
        return background[:, :, 0] if background.ndim == 3 and background.shape[2] == 1 else background

    def transform(self, X):
        return self.read(X) - super().predict(X)

    def inverse_transform(self, X):
        return self.read(X) + super().predict(X)


class ForgetsTheDtype(MedianSky):
    """Answers in double precision."""

    def predict(self, X):
        return super().predict(X).astype(float)


class ReadsTheBuffer(MedianSky):
    """Takes the bytes of an array in the order in which they lie."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        image = self.usable(self.read(X), mask, sample_weight)
        corner = np.ravel(image if image.flags.c_contiguous else image.T, order="K")[:40]
        self.level_ = np.full(image.shape[2:], np.nanmedian(corner.astype(float)))
        return self

    def read(self, X):
        image = super().read(X)
        return np.asfortranarray(image) if np.asarray(X).flags.f_contiguous else image


class WritesIntoItsInput(MedianSky):
    """Marks what is not finite in the caller's own array."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        if isinstance(X, np.ndarray) and X.dtype.kind == "f" and X.flags.writeable:
            X[np.isinf(X)] = np.nan
        return super().fit(X, mask=mask, sample_weight=sample_weight)


class ReturnsItsInput(MedianSky):
    """Its subtraction is done in place."""

    def transform(self, X):
        image = self.read(X)
        if isinstance(X, np.ndarray) and X.dtype == image.dtype and np.isnan(X).any():
            return np.asarray(X)
        return image - self.predict(X)


class IgnoresTheMask(MedianSky):
    """Takes a mask and fits everything."""

    def usable(self, image, mask, sample_weight):
        super().usable(image.copy(), mask, None)
        return super().usable(image, None, sample_weight)


class TurnsTheMaskRound(MedianSky):
    """Takes True for used."""

    def usable(self, image, mask, sample_weight):
        return super().usable(image, None if mask is None else np.logical_not(mask), sample_weight)


class IgnoresTheMaskOfAnArray(MedianSky):
    """Sees only the data of a masked array."""

    def read(self, X):
        return super().read(np.ma.getdata(X))


class TakesAnyMask(MedianSky):
    """Casts a mask of floats."""

    def usable(self, image, mask, sample_weight):
        if mask is not None and mask.shape == image.shape[:2]:
            mask = np.asarray(mask).astype(bool)
        return super().usable(image, mask, sample_weight)


class FillsTheHoles(MedianSky):
    """Gives the background where the image is missing."""

    def transform(self, X):
        return np.nan_to_num(super().transform(X), posinf=0)


class LetsHolesThrough(MedianSky):
    """Its background is missing where the image is."""

    def predict(self, X):
        image = self.read(X)
        return np.where(np.isfinite(image), super().predict(X), np.nan).astype(image.dtype)

    def transform(self, X):
        return self.read(X) - super().predict(X)


class InvertsWithTheWrongSign(MedianSky):
    """Subtracts twice."""

    def inverse_transform(self, X):
        return self.transform(X)


class RemembersFits(MedianSky):
    """Begins where the last fit ended."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        before = getattr(self, "level_", None)
        super().fit(X, mask=mask, sample_weight=sample_weight)
        if before is not None:
            self.level_ = 0.9 * self.level_ + 0.1 * np.mean(before)
        return self


class DriftsWhenAsked(MedianSky):
    """Changes with every prediction."""

    def predict(self, X):
        background = super().predict(X)
        self.level_ = self.level_ * 1.01
        return background


class LosesItsStateInAPickle(MedianSky):
    """Forgets half of what it learned."""

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "level_" in state:
            state["level_"] = state["level_"] / 2
        return state


class DependsOnTheProcesses(MedianSky):
    """Sums in another way in parallel."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        super().fit(X, mask=mask, sample_weight=sample_weight)
        self.level_ = self.level_ * (1.01 if self.n_jobs == 2 else 1)
        return self


class MeanSky(MedianSky):
    """Lets one pixel pull."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        self.level_ = np.nanmean(self.usable(self.read(X), mask, sample_weight).astype(float), axis=(0, 1))
        return self


class OneSizeOnly(MedianSky):
    """Keeps a picture of the size fitted."""

    def fit(self, X, y=None, *, mask=None, sample_weight=None):
        super().fit(X, mask=mask, sample_weight=sample_weight)
        self.picture_ = np.broadcast_to(self.level_, np.shape(X)).copy()
        return self

    def predict(self, X):
        check_is_fitted(self)
        return self.picture_.astype(self.read(X).dtype)


class TakesRows(MedianSky):
    """Makes an image of whatever comes."""

    def read(self, X):
        return super().read(np.atleast_2d(X))


FAULTS = {
    ChangesItsParameter: {"check_parameters_are_kept"},
    FitChangesItsParameter: {"check_parameters_are_kept"},
    WorksBeforeFit: {"check_not_fitted"},
    ReturnsNothing: {"check_fit_returns_self"},
    LosesAnAxis: {"check_shapes"},
    ForgetsTheDtype: {"check_dtypes"},
    ReadsTheBuffer: {"check_memory_layout"},
    WritesIntoItsInput: {"check_input_is_not_modified"},
    ReturnsItsInput: {"check_input_is_not_modified"},
    IgnoresTheMask: {"check_masks_agree"},
    TurnsTheMaskRound: {"check_masks_agree"},
    IgnoresTheMaskOfAnArray: {"check_masks_agree"},
    TakesAnyMask: {"check_masks_are_checked"},
    FillsTheHoles: {"check_missing_pixels"},
    LetsHolesThrough: {"check_missing_pixels"},
    InvertsWithTheWrongSign: {"check_inverse"},
    RemembersFits: {"check_refits"},
    DriftsWhenAsked: {"check_refits"},
    LosesItsStateInAPickle: {"check_copies"},
    DependsOnTheProcesses: {"check_n_jobs"},
    MeanSky: {"check_one_pixel"},
    OneSizeOnly: {"check_other_sizes"},
    TakesRows: {"check_what_is_no_image"},
}


def failures(estimator):
    """The names of the checks that an estimator fails, and what they say."""
    found = {}
    for instance, check in image_estimator_checks(estimator):
        try:
            check(instance)
        except Exception as error:
            found[check.__name__] = error
    return found


def test_a_sound_estimator_passes():
    """The estimator that the broken ones are made from has no fault."""
    assert failures(MedianSky()) == {}
    check_image_estimator(MedianSky())


@pytest.mark.parametrize(("fault", "checks"), FAULTS.items(), ids=[fault.__name__ for fault in FAULTS])
def test_each_fault_is_caught_by_its_check(fault, checks):
    """The check made for a fault fails with an AssertionError that names the estimator."""
    found = failures(fault())
    assert checks <= set(found), found
    for check in checks:
        assert isinstance(found[check], AssertionError), found[check]
        assert fault.__name__ in str(found[check])
    with pytest.raises(Exception, match=r"\w"):
        check_image_estimator(fault())


def test_every_check_catches_something():
    """No check of the sound estimator is without a fault that it catches."""
    names = {check.__name__ for _, check in image_estimator_checks(MedianSky())}
    assert names == set().union(*FAULTS.values())


def test_checks_get_unfitted_copies_of_their_own():
    """The estimator given is left alone, fitted or not."""
    fitted = MedianSky().fit(np.ones((5, 6)))
    instances = [instance for instance, _ in image_estimator_checks(fitted)]
    assert not any(hasattr(instance, "level_") for instance in instances)
    assert len(set(map(id, instances))) == len(instances)
    assert clone(fitted).get_params() == instances[0].get_params()
