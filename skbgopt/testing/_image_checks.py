"""Checks that hold for every estimator of images: predictors of a background, and transformers."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

_SHAPE = (56, 80)
# What rounding may do to a result, as a share of its largest value.
_ROUNDING = 1e-6

Check = Callable[[BaseEstimator], None]


def image_estimator_checks(estimator: BaseEstimator) -> Iterator[tuple[BaseEstimator, Check]]:
    """Yield an unfitted copy of the estimator with each check that applies to it.

    Parameters
    ----------
    estimator : estimator
        With ``fit(X)`` and at least one of ``predict`` and ``transform``, X an image of shape (height, width) or
        (height, width, n_channels). The images of the checks are 56 pixels high and 80 wide, a sky of some 1000
        with a gradient, noise and stars, without missing pixels unless a check puts some in.

    Yields
    ------
    estimator : estimator
    check : callable
        Takes the estimator and raises AssertionError with what was violated.
    """
    for check, applies in _CHECKS.items():
        if applies(estimator):
            yield _seeded(estimator), check


def check_image_estimator(estimator: BaseEstimator) -> None:
    """Check that an estimator keeps the conventions of images: shapes, dtypes, masks, copies, errors.

    Parameters
    ----------
    estimator : estimator
        See `image_estimator_checks`, which is for running the checks one by one.

    Raises
    ------
    AssertionError
        At the first check that fails, with what was violated.

    Examples
    --------
    >>> from skbgopt import MidtonesStretch
    >>> from skbgopt.testing import check_image_estimator
    >>> check_image_estimator(MidtonesStretch())
    """
    for instance, check in image_estimator_checks(estimator):
        check(instance)


def check_parameters_are_kept(estimator):
    """The constructor stores what it is given, and fit leaves it alone."""
    given = estimator.get_params(deep=False)
    rebuilt = type(estimator)(**given)
    changed = [name for name, value in given.items() if getattr(rebuilt, name) is not value]
    assert not changed, f"the constructor of {_name(estimator)} changes {changed}"
    clone(estimator).set_params(**estimator.get_params())
    before = joblib.hash(given)
    estimator.fit(_sky())
    after = joblib.hash(estimator.get_params(deep=False))
    assert after == before, f"the fit of {_name(estimator)} changes its parameters"


def check_not_fitted(estimator):
    """Every method says that it needs a fit, and of what."""
    for method in _methods(estimator, "predict", "transform", "inverse_transform"):
        try:
            getattr(estimator, method)(_sky())
        except NotFittedError as error:
            named = _name(estimator) in str(error)
            assert named, f"the NotFittedError of {method} does not name {_name(estimator)}: {error}"
        else:
            raise AssertionError(f"{_name(estimator)}.{method} works before fit")


def check_fit_returns_self(estimator):
    """Calls can be chained."""
    assert estimator.fit(_sky()) is estimator, f"the fit of {_name(estimator)} does not return the estimator"


def check_shapes(estimator):
    """Results have the axes of the image; a background and what can be inverted have its shape."""
    for n_channels in (None, 1, 3):
        image = _sky(n_channels)
        fitted = clone(estimator).fit(image)
        kept = _keeps_shape(estimator)
        for method, result in _results(fitted, image).items():
            axes = (result.ndim, result.shape[2:])
            same = result.shape == image.shape if kept else axes == (image.ndim, image.shape[2:])
            assert same, f"{_name(estimator)}.{method} turns the shape {image.shape} into {result.shape}"


def check_dtypes(estimator):
    """Float64 and integers of 32 bits give float64, others float32, in native byte order, and the same numbers.

    A transformer that only masks gives the numbers themselves.
    """
    expected = _results(clone(estimator).fit(_sky()), _sky())
    for dtype in ("<f8", ">f8", "<f4", ">f4", "<u2", ">i4"):
        image = _sky().astype(dtype)
        promised = np.dtype(np.float64 if dtype.endswith(("f8", "i4")) else np.float32)
        for method, result in _results(clone(estimator).fit(image), image).items():
            what = f"{_name(estimator)}.{method} of {dtype}"
            right = result.dtype == promised or _only_masks(result, image)
            assert right, f"{what} is {result.dtype}, not {promised}"
            # Single precision may tip what depends on a threshold, so most pixels are compared, not all.
            difference = np.abs(np.ma.getdata(result) - np.ma.getdata(expected[method]))
            limit = 1e-3 * np.ptp(np.ma.getdata(expected[method]))
            assert np.median(difference) <= limit, f"{what} differs from that of the same numbers in float64"


def check_memory_layout(estimator):
    """Read-only, strided, reversed, Fortran-ordered and big-endian arrays give what contiguous ones give."""
    image = _sky(3)
    expected = _results(clone(estimator).fit(image), image)
    read_only = image.copy()
    read_only.flags.writeable = False
    layouts = {
        "read-only": read_only,
        "strided": np.repeat(image, 2, axis=1)[:, ::2],
        "reversed": np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1],
        "Fortran-ordered": np.asfortranarray(image),
        "big-endian": image.astype(">f8"),
    }
    for layout, other in layouts.items():
        _assert_same(_results(clone(estimator).fit(other), other), expected, f"{_name(estimator)} on {layout} input")


def check_input_is_not_modified(estimator):
    """Neither image nor mask nor weights are written to, by no method."""
    image, mask = _holed(), _mask()
    given = {"mask": mask, "sample_weight": 1.0 - mask}
    given = {name: value for name, value in given.items() if _fit_takes(estimator, name)}
    before = copy.deepcopy((image, given))
    fitted = estimator.fit(image, **given)
    results = _results(fitted, image)
    parts = {"image": (image, before[0]), **{name: (given[name], before[1][name]) for name in given}}
    for part, (now, then) in parts.items():
        np.testing.assert_array_equal(now, then, err_msg=f"{_name(estimator)} modifies its input: the {part}")
    for method, result in results.items():
        shared = np.shares_memory(np.ma.getdata(result), image) and not _only_masks(result, image)
        assert not shared, f"the result of {_name(estimator)}.{method} shares memory with its input"


def check_masks_agree(estimator):
    """NaN, a masked array, mask= and sample_weight=0 exclude alike, whatever the values in those pixels.

    From the fit of a background: a transformer may show what is masked.
    """
    image, mask = _sky(), _mask()
    expected = _results(clone(estimator).fit(np.where(mask, np.nan, image)), image)
    spoiled = np.where(mask, 1e5, image)
    ways: dict[str, tuple[np.ndarray, dict]] = {"a masked array": (np.ma.array(spoiled, mask=mask), {})}
    if _fit_takes(estimator, "mask"):
        ways["mask="] = (spoiled, {"mask": mask})
    if _fit_takes(estimator, "sample_weight"):
        ways["sample_weight=0"] = (spoiled, {"sample_weight": np.where(mask, 0.0, 1.0)})
    for way, (given, keywords) in ways.items():
        found = _results(clone(estimator).fit(given, **keywords), image)
        _assert_same(found, expected, f"{_name(estimator)} fitted with {way} in place of NaN")


def check_masks_are_checked(estimator):
    """A mask of another shape, or one that is not boolean, is refused."""
    for mask, error in ((np.zeros((5, 5), bool), ValueError), (np.zeros(_SHAPE), TypeError)):
        try:
            clone(estimator).fit(_sky(), mask=mask)
        except error:
            continue
        raise AssertionError(f"{_name(estimator)} takes a mask of dtype {mask.dtype} and shape {mask.shape}")


def check_missing_pixels(estimator):
    """NaN and infinity come back where they were and nowhere else; a background is finite everywhere."""
    image = _holed()
    finite = np.isfinite(image)
    fitted = estimator.fit(image)
    for method, result in _results(fitted, image).items():
        result = np.ma.getdata(result)
        if method == "predict":
            assert np.isfinite(result).all(), f"{_name(estimator)}.predict is not finite where the image is not"
        elif _keeps_shape(estimator):
            same = np.array_equal(result[~finite], image[~finite], equal_nan=True)
            assert same, f"{_name(estimator)}.{method} changes missing pixels"
            assert np.isfinite(result[finite]).all(), f"{_name(estimator)}.{method} spreads missing pixels"


def check_inverse(estimator):
    """inverse_transform(transform(X)) is X within rounding, in most pixels: a stretch clips the brightest."""
    image = _sky()
    fitted = estimator.fit(image)
    error = np.abs(fitted.inverse_transform(fitted.transform(image)) - image)
    right = np.mean(error <= _ROUNDING * np.abs(image).max())
    assert right > 0.9, f"{_name(estimator)}.inverse_transform undoes transform in only {right:.0%} of the pixels"


def check_refits(estimator):
    """What was fitted before leaves no trace, and the same fit twice is the same."""
    image, other = _sky(3), 7 * _sky(1)[::-1, ::-1]
    expected = _results(clone(estimator).fit(image), image)
    _assert_same(_results(estimator.fit(other).fit(image), image), expected, f"{_name(estimator)} fitted again")
    results = [_results(estimator, image) for _ in range(2)]
    for result in results:
        _assert_same(result, expected, f"{_name(estimator)} asked again")


def check_copies(estimator):
    """Clones fit the same; copies by pickle, joblib, deepcopy, save and load give the same results."""
    image = _sky()
    fitted = estimator.fit(image)
    expected = _results(fitted, image)
    _assert_same(_results(clone(fitted).fit(image), image), expected, f"a clone of {_name(estimator)}")
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    copies = {
        "pickled": pickle.loads(pickle.dumps(fitted)),
        "deep": copy.deepcopy(fitted),
        "joblib's": joblib.load(buffer),
    }
    if hasattr(fitted, "save") and hasattr(fitted, "load"):
        with tempfile.TemporaryDirectory() as directory:
            fitted.save(Path(directory) / "model.npz")
            copies["saved"] = type(fitted).load(Path(directory) / "model.npz")
    for how, copied in copies.items():
        _assert_same(_results(copied, image), expected, f"a {how} copy of {_name(estimator)}")
        same = joblib.hash(copied.get_params()) == joblib.hash(fitted.get_params())
        assert same, f"a {how} copy of {_name(estimator)} has other parameters"


def check_n_jobs(estimator):
    """The number of processes changes nothing."""
    image = _sky()
    results = [_results(clone(estimator).set_params(n_jobs=n_jobs).fit(image), image) for n_jobs in (1, 2)]
    _assert_same(results[1], results[0], f"{_name(estimator)} with n_jobs=2")


def check_one_pixel(estimator):
    """One pixel, however bright or dark, moves the background by less than the range of the image."""
    image = _sky()
    limit = np.ptp(image)
    expected = clone(estimator).fit(image).predict(image)
    for value in (1e8, -1e8):
        spoiled = image.copy()
        spoiled[20, 30] = value
        moved = np.abs(clone(estimator).fit(spoiled).predict(image) - expected).max()
        assert moved < limit, f"one pixel at {value:g} moves the background of {_name(estimator)} by {moved:g}"


def check_other_sizes(estimator):
    """A background can be had at any size, and in the units of the image fitted."""
    image = _sky()
    estimator.fit(image)
    for shape in ((33, 45), (112, 160), (80, 56)):
        found = estimator.predict(np.ones(shape))
        assert found.shape == shape, f"{_name(estimator)}.predict turns the shape {shape} into {found.shape}"
        near = np.abs(np.median(found) - np.median(image)) < np.ptp(image)
        assert near, f"{_name(estimator)}.predict at another size is not in the units of the image"


def check_what_is_no_image(estimator):
    """One axis or four, no pixel, complex numbers, text and sparse matrices are errors."""
    text = np.full(_SHAPE, "sky")
    cases: dict[str, object] = {
        "one axis": np.ones(80),
        "four axes": np.ones((2, 56, 80, 3)),
        "no pixel": np.ones((0, 80)),
    }
    cases |= {"complex": _sky() + 0j, "text": text, "sparse": csr_array(_sky())}
    for what, given in cases.items():
        try:
            clone(estimator).fit(given)
        except (ValueError, TypeError):
            continue
        raise AssertionError(f"{_name(estimator)} fits what is no image ({what})")


def _always(_estimator) -> bool:
    return True


def _has(*methods: str) -> Callable[[BaseEstimator], bool]:
    return lambda estimator: all(hasattr(estimator, method) for method in methods)


def _keeps_shape(estimator) -> bool:
    return hasattr(estimator, "predict") or hasattr(estimator, "inverse_transform")


def _only_masks(result, image) -> bool:
    """Whether a result is the image itself with a mask laid on it."""
    return isinstance(result, np.ma.MaskedArray) and np.shares_memory(result.data, image)


def _fit_takes(estimator, name: str) -> bool:
    return name in inspect.signature(estimator.fit).parameters


_CHECKS: dict[Check, Callable[[BaseEstimator], bool]] = {
    check_parameters_are_kept: _always,
    check_not_fitted: lambda estimator: get_tags(estimator).requires_fit,
    check_fit_returns_self: _always,
    check_shapes: _always,
    check_dtypes: _always,
    check_memory_layout: _always,
    check_input_is_not_modified: _always,
    check_masks_agree: _has("predict"),
    check_masks_are_checked: lambda estimator: _fit_takes(estimator, "mask"),
    check_missing_pixels: _always,
    check_inverse: _has("transform", "inverse_transform"),
    check_refits: _always,
    check_copies: _always,
    check_n_jobs: lambda estimator: "n_jobs" in estimator.get_params(),
    check_one_pixel: _has("predict"),
    check_other_sizes: _has("predict"),
    check_what_is_no_image: _always,
}


def _sky(n_channels: int | None = None) -> np.ndarray:
    """Return whole numbers, so that integers of 16 bits and single precision hold them exactly."""
    rng = np.random.default_rng(0)
    rows, columns, _ = np.mgrid[: _SHAPE[0], : _SHAPE[1], : n_channels or 1]
    image = 1000 + 2 * columns - rows + rng.normal(0, 5, rows.shape)
    for row, column in rng.integers(0, _SHAPE, (6, 2)):
        image[row, column] += 3000
    return np.round(image[:, :, 0] if n_channels is None else image)


def _mask() -> np.ndarray:
    mask = np.zeros(_SHAPE, dtype=bool)
    mask[8:24, 40:64] = True
    return mask


def _holed() -> np.ndarray:
    image = _sky()
    image[_mask()] = np.nan
    image[40, 5:8] = np.inf
    return image


def _seeded(estimator):
    # What `clone` does, without its own check of the constructor, which is one of ours.
    given = estimator.get_params(deep=False)
    copied = type(estimator)(**{name: clone(value, safe=False) for name, value in given.items()})
    return copied.set_params(random_state=0) if "random_state" in copied.get_params() else copied


def _name(estimator) -> str:
    return type(estimator).__name__


def _methods(estimator, *names: str) -> list[str]:
    return [name for name in names if hasattr(estimator, name)]


def _results(fitted, image) -> dict[str, np.ndarray]:
    """Return what every method makes of an image."""
    results = {method: getattr(fitted, method)(image) for method in _methods(fitted, "predict", "transform")}
    if "transform" in results and hasattr(fitted, "inverse_transform"):
        results["inverse_transform"] = fitted.inverse_transform(results["transform"])
    return results


def _assert_same(found: dict, expected: dict, who: str) -> None:
    """Raise unless the results of all methods agree in dtype, shape, mask and value."""
    for method, result in found.items():
        same = expected[method]
        what = f"{who}: {method} gives"
        assert result.dtype.type is same.dtype.type, f"{what} {result.dtype} in place of {same.dtype}"
        assert result.shape == same.shape, f"{what} the shape {result.shape} in place of {same.shape}"
        masks = np.array_equal(np.ma.getmaskarray(result), np.ma.getmaskarray(same))
        assert masks, f"{what} another mask"
        values = np.ma.getdata(result), np.ma.getdata(same)
        size = np.nanmax(np.abs(values[1]), initial=0, where=np.isfinite(values[1]))
        np.testing.assert_allclose(*values, rtol=0, atol=_ROUNDING * size, err_msg=f"{what} other values")
