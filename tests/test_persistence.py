"""Models that are copied, pickled, saved and loaded."""

import copy
import io
import json
import pickle
import tracemalloc
import zipfile

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skbgopt import BackgroundSplineRegressor

VARIANTS = {
    "default": {},
    "published": {"loss_scale": 0.001, "solver": "adam", "max_iter": 10, "order": 2, "init": "random"},
    "quadratic": {"order": 4, "correction": "divide", "level": "zero"},
    "numpy scalars": {"quantile": np.float32(0.5), "n_control_points": np.int64(12), "alpha": np.float64(3)},
    "random state": {"init": "random", "random_state": np.random.RandomState(3)},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def fitted(request, galaxy_frame):
    """A fitted estimator."""
    parameters = {"smoothing": 1e-3, "n_control_points": 16, **request.param}
    return BackgroundSplineRegressor(**parameters).fit(galaxy_frame.image)


@pytest.fixture(scope="module")
def saved(galaxy_frame, tmp_path_factory):
    """A fitted estimator and the bytes of its file."""
    model = BackgroundSplineRegressor(smoothing=1e-3, n_control_points=9).fit(galaxy_frame.image)
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    model.save(path)
    return model, path.read_bytes()


def assert_same(model, other, image):
    """Both predict and correct the same, bit by bit."""
    np.testing.assert_array_equal(model.predict(image), other.predict(image))
    np.testing.assert_array_equal(model.transform(image), other.transform(image))
    np.testing.assert_array_equal(model.inverse_transform(image), other.inverse_transform(image))


def joblib_copy(model):
    """Through a joblib file."""
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "copied",
    [lambda m: pickle.loads(pickle.dumps(m)), joblib_copy, copy.deepcopy],
    ids=["pickle", "joblib", "deepcopy"],
)
def test_copies_predict_the_same(fitted, galaxy_frame, copied):
    """Pickle, joblib and deepcopy keep the model."""
    assert_same(fitted, copied(fitted), galaxy_frame.image)


def test_clones_fit_the_same(fitted, galaxy_frame):
    """A clone has the parameters and not the model, and fits to the same model."""
    fresh = clone(fitted)
    with pytest.raises(NotFittedError):
        fresh.predict(galaxy_frame.image)
    if not isinstance(fitted.random_state, np.random.RandomState):
        fresh.set_params(random_state=0)
        again = clone(fresh).fit(galaxy_frame.image)
        assert_same(fresh.fit(galaxy_frame.image), again, galaxy_frame.image)


def test_saved_models_predict_the_same(fitted, galaxy_frame, tmp_path):
    """Save and load keep predictions, corrections, parameters and every fitted attribute but the path."""
    fitted.save(tmp_path / "model.npz")
    loaded = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    assert_same(fitted, loaded, galaxy_frame.image)
    assert_same(fitted, loaded, galaxy_frame.image[:50, :70].astype(np.float64))
    for name, value in fitted.get_params().items():
        if not isinstance(value, np.random.RandomState):
            assert loaded.get_params()[name] == value
    attributes = {name for name in vars(fitted) if name.endswith("_")}
    assert attributes == {name for name in vars(loaded) if name.endswith("_")}
    for name in attributes - {"smoothing_path_", "stretch_", "curve_"}:
        before, after = getattr(fitted, name), getattr(loaded, name)
        np.testing.assert_equal(after, before)
        assert type(after) is type(before) or np.isscalar(before)
    assert loaded.score(galaxy_frame.image) == fitted.score(galaxy_frame.image)


def test_loaded_models_fit_again(saved, galaxy_frame, tmp_path):
    """What was loaded can be cloned, fitted and saved again."""
    model, content = saved
    (tmp_path / "model.npz").write_bytes(content)
    loaded = BackgroundSplineRegressor.load(tmp_path / "model.npz")
    assert_same(model, clone(loaded).fit(galaxy_frame.image), galaxy_frame.image)
    loaded.save(tmp_path / "again.npz")
    assert_same(model, BackgroundSplineRegressor.load(tmp_path / "again.npz"), galaxy_frame.image)


def test_there_is_no_pickle_in_the_file(saved):
    """Every array loads with allow_pickle=False, and the header is JSON with format and version."""
    with np.load(io.BytesIO(saved[1]), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert all(array.dtype.kind in "fiubU" for array in arrays.values())
    header = json.loads(str(arrays["header"]))
    assert header["format"] == "skbgopt-background"
    assert header["version"] >= 1


@pytest.mark.parametrize("name", ["model", "model.npz", "a b.bin", "ünï.model"])
def test_the_file_has_the_name_it_was_given(saved, tmp_path, name):
    """No suffix is added and no half-written file is left beside it."""
    saved[0].save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert BackgroundSplineRegressor.load(str(tmp_path / name)).n_control_points == 9


def test_a_save_that_fails_leaves_the_old_file(saved, tmp_path, monkeypatch):
    """An error while writing leaves what was there, and nothing beside it."""
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")

    def full(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        saved[0].save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_before_fitting_raises(tmp_path):
    """There is nothing to save."""
    with pytest.raises(NotFittedError):
        BackgroundSplineRegressor().save(tmp_path / "model.npz")


def test_what_would_not_load_is_not_saved(saved, tmp_path):
    """Parameters that were set since the fit are checked before there is a file."""
    with pytest.raises(ValueError, match="'order' parameter"):
        copy.copy(saved[0]).set_params(order=77).save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_loading_what_does_not_exist(tmp_path):
    """A missing file is a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        BackgroundSplineRegressor.load(tmp_path / "none.npz")


def archive_with(**changes):
    """A valid archive whose header has some entries changed; None removes them."""

    def change(content):
        with np.load(io.BytesIO(content)) as archive:
            arrays = dict(archive)
        header = {**json.loads(str(arrays["header"])), **changes}
        arrays["header"] = np.array(json.dumps({k: v for k, v in header.items() if v is not None}))
        return npz(arrays)

    return change


def npz(arrays):
    """Bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    """Bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD_FILES = {
    "empty": lambda _: b"",
    "text": lambda _: b"not a model",
    "a pickle": lambda _: pickle.dumps({"coef_": 1}),
    "an npy": lambda _: npy(np.ones(3)),
    "another npz": lambda _: npz({"a": np.ones(3)}),
    "an npz with a number for a header": lambda _: npz({"header": np.array("3")}),
    "an npz with a list for a header": lambda _: npz({"header": np.array("[1]")}),
    "cut off": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-30],
    "flipped bits": lambda content: content[:2000] + bytes(b ^ 255 for b in content[2000:2100]) + content[2100:],
    "members before its beginning": lambda content: content[:-6] + bytes([content[-6] ^ 64]) + content[-5:],
    "another format": archive_with(format="something"),
    "a later version": archive_with(version=99),
    "a version that is text": archive_with(version="new"),
    "no parameters": archive_with(parameters=None),
    "an unknown parameter": archive_with(parameters={"colour": "red"}),
    "parameters that are a list": archive_with(parameters=[1, 2]),
    "no fitted values": archive_with(fitted=None),
    "no curves": archive_with(curves=None),
    "a curve of another type": archive_with(curves={"stretch_": {"type": "Nope"}, "curve_": {"type": "Nope"}}),
    "curves that are a list": archive_with(curves=[]),
}


@pytest.mark.parametrize("damage", BAD_FILES.values(), ids=BAD_FILES)
def test_files_that_are_no_model(saved, tmp_path, damage):
    """One sentence, with the file's name, as a ValueError."""
    path = tmp_path / "model.npz"
    path.write_bytes(damage(saved[1]))
    with pytest.raises(ValueError, match=r"model\.npz is not a model saved by BackgroundSplineRegressor") as caught:
        BackgroundSplineRegressor.load(path)
    assert "\n" not in str(caught.value)


def test_every_byte_of_the_directory_matters_or_not(saved, tmp_path):
    """Any byte of the archive's directory changed gives the model as it was or a ValueError, nothing else."""
    model, content = saved
    start = content.index(b"PK\x01\x02")
    expected = model.predict(np.zeros((20, 30, 3)))
    for position in range(start, start + 60):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (tmp_path / "model.npz").write_bytes(bytes(damaged))
        try:
            loaded = BackgroundSplineRegressor.load(tmp_path / "model.npz")
        except ValueError:
            continue
        np.testing.assert_array_equal(loaded.predict(np.zeros((20, 30, 3))), expected)


def test_the_head_of_an_array_that_is_no_python_is_damage(saved, tmp_path):
    """NumPy reads it as Python, and raises what that raises."""
    path = tmp_path / "damaged.npz"
    path.write_bytes(saved[1].replace(b"'shape': (), }", b"'shape': )), }", 1))
    with pytest.raises(ValueError, match="is not a model"):
        BackgroundSplineRegressor.load(path)


@given(st.data())
def test_damaged_files_raise_one_kind_of_error(saved, tmp_path_factory, data):
    """A file with a byte changed or its end cut off loads as it was or raises ValueError, nothing else."""
    content = bytearray(saved[1])
    # Half of the changes hit the archive's directory at the end, where a byte changes its meaning.
    start = data.draw(st.sampled_from([0, len(content) - 900]))
    position = data.draw(st.integers(start, len(content) - 1))
    if data.draw(st.booleans()):
        content[position] ^= data.draw(st.integers(1, 255))
    else:
        del content[position:]
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(bytes(content))
    try:
        loaded = BackgroundSplineRegressor.load(path)
    except ValueError:
        return
    probe = np.zeros((20, 30, 3))
    np.testing.assert_array_equal(loaded.predict(probe), saved[0].predict(probe))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("coef_", np.full((15, 3), np.nan)),
        ("control_points_", np.zeros((4, 2))),
        ("background_level_", np.zeros(3, dtype=complex)),
        ("order_", 99),
        ("degree_", 0),
        ("image_shape_", [-5, 5, 3]),
        ("parameters", {"level": "x"}),
        ("version", -1),
        ("coef_", np.full((15, 3), 1e300)),
        ("background_level_", np.full(3, 1e300)),
        ("background_level_", np.full(3, -1e3)),
        ("level_std_", np.array([1.0, 0.0, 1.0])),
        ("noise_", -np.ones(3)),
        ("noise_", np.ones(2)),
        ("object_mask_", np.zeros((3, 3), dtype=bool)),
        ("object_mask_", np.zeros((20, 30))),
        ("loss_curve_", np.full(3, np.nan)),
        ("order_", 3),
        ("order_", 4.0),
        ("order_", True),
        ("degree_", 3),
        ("image_shape_", [160, 240]),
        ("image_shape_", [160.0, 240, 3]),
        ("image_shape_", [160, 10**9, 3]),
        ("image_shape_", [10**400, 240, 3]),
        ("n_features_in_", 30),
        ("n_iter_", -1),
        ("loss_", "low"),
        ("overshoot_fraction_", 2),
        ("smoothing_", float("nan")),
        ("excluded_", {"missing": -1}),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(saved, tmp_path, part, value):
    """A file whose parts are damaged does not load, whatever it would predict."""
    with np.load(io.BytesIO(saved[1])) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays["header"]))
    if part in arrays:
        arrays[part] = value
    elif part in header["fitted"]:
        header["fitted"][part] = value
    else:
        header[part] = value
    np.savez(tmp_path / "damaged.npz", **{**arrays, "header": np.array(json.dumps(header))})
    with pytest.raises(ValueError, match="is not a model saved by"):
        BackgroundSplineRegressor.load(tmp_path / "damaged.npz")


@pytest.mark.parametrize("name", ["stretch_", "curve_"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "wide", 1e-310])
def test_curves_that_do_not_rise_are_refused(saved, tmp_path, name, value):
    """A scale is positive and finite; one of which nothing is left as a number gives no background."""
    with np.load(io.BytesIO(saved[1])) as archive:
        curves = json.loads(str(archive["header"]))["curves"]
    curves[name]["scale"] = [value] * 3
    if (name, value) == ("stretch_", 1e-310):
        curves[name]["midtones"] = [1.0] * 3
    if (name, value) == ("curve_", 1e-310):
        curves[name]["offset"] = [1e300] * 3
    (tmp_path / "damaged.npz").write_bytes(archive_with(curves=curves)(saved[1]))
    with pytest.raises(ValueError, match="is not a model saved by"):
        BackgroundSplineRegressor.load(tmp_path / "damaged.npz")


def test_half_a_standard_error_is_refused(saved, tmp_path):
    """Its level without its splines, and the other way round."""
    for left_out in ("error_coef_", "level_std_"):
        with np.load(io.BytesIO(saved[1])) as archive:
            arrays = {name: archive[name] for name in archive.files if name != left_out}
        np.savez(tmp_path / "half.npz", **arrays)
        with pytest.raises(ValueError, match="only one of error_coef_ and level_std_ is there"):
            BackgroundSplineRegressor.load(tmp_path / "half.npz")


def head_with(shape, descr="|b1", version=1):
    """The head of an array of a shape, without the array."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


MEMBERS = {
    "absurd shape": head_with((10**6, 10**7)),
    "overflowing shape": head_with((10**200, 10**200)),
    "negative shape": head_with((-5, 30)),
    "long items": head_with((20, 30), "|S2000000000"),
    "objects": head_with((1,), "|O") + pickle.dumps([1]),
    "head of gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(1000),
    "bomb": head_with((10**4, 10**4)) + bytes(10**8),
}


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize("name", ["header", "object_mask_", "level_std_"])
def test_no_member_takes_more_memory_than_the_file(saved, tmp_path, name, member):
    """What it says of itself is compared with the file before anything is made of it."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(io.BytesIO(saved[1])) as source, zipfile.ZipFile(path, "w") as target:
        for each in source.namelist():
            is_bomb = each == f"{name}.npy"
            kind = zipfile.ZIP_DEFLATED if is_bomb and len(member) > 10**6 else zipfile.ZIP_STORED
            target.writestr(each, member if is_bomb else source.read(each), kind)
    tracemalloc.start()
    with pytest.raises(ValueError, match="is not a model saved by"):
        BackgroundSplineRegressor.load(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * path.stat().st_size + 2**21


def test_an_archive_that_lies_about_a_member_takes_no_memory(saved, tmp_path):
    """Its directory and the head of the array agree on gigabytes that are not there."""
    said = 2**31 - 1
    member = head_with((said,))
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(io.BytesIO(saved[1])) as source, zipfile.ZipFile(path, "w") as target:
        for each in source.namelist():
            target.writestr(each, member if each == "object_mask_.npy" else source.read(each))
        entry = target.getinfo("object_mask_.npy")
        entry.file_size = entry.compress_size = said
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"object_mask_ of shape .* is not all there"):
        BackgroundSplineRegressor.load(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * path.stat().st_size + 2**21


@pytest.mark.parametrize("changed", [{"order": 3}, {"degree": 3}, {"downscale_factor": 5}])
def test_a_model_with_the_parameters_of_another_is_not_saved(saved, tmp_path, changed):
    """It would not load; what a fit does not decide may change."""
    model = copy.copy(saved[0]).set_params(**changed)
    with pytest.raises(ValueError, match=r"Parameters were set since the fit of Back.*; fit again\.$"):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())
    copy.copy(saved[0]).set_params(level="zero", smoothing=1.0, alpha=2.0).save(tmp_path / "model.npz")
    assert BackgroundSplineRegressor.load(tmp_path / "model.npz").level == "zero"


def test_no_argument_is_taken_for_an_array(saved, tmp_path, monkeypatch):
    """NumPy 1 stores all that savez is given beside the file, allow_pickle too."""
    given = {}
    monkeypatch.setattr(np, "savez", lambda file, **arrays: given.update(arrays))
    saved[0].save(tmp_path / "model.npz")
    assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in given.values())
