"""Where tensors live: the device asked for, and the CPU where that fails."""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from skbgopt import BackgroundSplineRegressor, PolyharmonicSplineRegressor, make_sky_image
from skbgopt import _device as device_module
from skbgopt.losses import BackgroundLoss
from skbgopt.solvers import MMProblem, minimize_mm
from tests.emulated_device import EmulatedDevice

WAYS = {
    "mm": {},
    "auto": {"smoothing": "auto"},
    "moved": {"move_control_points": True, "loss_scale": 0.001},
    "adam": {"solver": "adam", "max_iter": 5},
}
every_way = pytest.mark.parametrize("parameters", WAYS.values(), ids=WAYS)
FACTORIES = {
    getattr(torch, name)
    for name in ("tensor", "zeros", "ones", "empty", "full", "eye", "arange", "linspace", "rand", "randn", "as_tensor")
}


def background_of(image, **parameters):
    """The background by 16 control points."""
    model = BackgroundSplineRegressor(**{"n_control_points": 16, "smoothing": 1e-3, **parameters})
    return model.fit(image).predict(image)


@every_way
def test_no_tensor_depends_on_the_default_device(mono_frame, parameters):
    """With a default device that holds no values the result is the same, bit by bit."""
    expected = background_of(mono_frame.image, **parameters)
    with torch.device("meta"):
        found = background_of(mono_frame.image, **parameters)
    np.testing.assert_array_equal(found, expected)


class DeviceRequired(TorchFunctionMode):
    """Fails where a tensor is made from nothing without a device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in FACTORIES:
            assert (kwargs or {}).get("device") is not None, f"{func.__name__} without a device"
        return func(*args, **(kwargs or {}))


@every_way
def test_no_tensor_is_made_without_a_device(mono_frame, parameters):
    """Each is made from numpy, from another tensor, or with a device named."""
    with DeviceRequired():
        background_of(mono_frame.image, **parameters)


def test_the_coordinates_regressor_needs_no_default_device():
    """So does that of points."""
    points = np.random.default_rng(0).uniform(size=(60, 2))
    model = PolyharmonicSplineRegressor(n_control_points=9)
    expected = model.fit(points, points[:, 0]).predict(points)
    with torch.device("meta"), DeviceRequired():
        np.testing.assert_array_equal(model.fit(points, points[:, 0]).predict(points), expected)


class HostTransfers(TorchDispatchMode):
    """Counts what would wait for a device: single values and copies that leave it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "_local_scalar_dense" in func.name():
            self.count += args[0].dtype == torch.float32
        return func(*args, **(kwargs or {}))


def test_a_step_reads_no_single_value_of_the_pixels():
    """All that the host wants of a step comes in one tensor: no float32 value is read by itself."""
    rng = np.random.default_rng(0)
    design = torch.from_numpy(rng.normal(size=(300, 6))).float()
    values = torch.from_numpy(rng.normal(size=(300, 2))).float()
    energies = torch.arange(6, dtype=torch.float64, device="cpu")
    problem = MMProblem(design, energies, values, torch.ones_like(values), 1e-3)
    start = torch.zeros_like(torch.from_numpy(rng.normal(size=(6, 2))))
    with HostTransfers() as transfers:
        minimize_mm(problem, BackgroundLoss(eps=1.0, floor=False), start, max_iter=5)
    assert transfers.count == 0


@pytest.fixture(params=["cuda", "mps"])
def emulated(request, monkeypatch):
    """A device that keeps what lives on it apart."""
    monkeypatch.setattr(device_module, "resolve_device", torch.device)
    return EmulatedDevice(request.param)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("galaxy", {"smoothing": "auto"}),
        ("oiii", {}),
        ("dust", {}),
        ("milky_way", {}),
        ("oiii", WAYS["moved"]),
        ("ha", {"loss_scale": 0.001}),
        ("ha", WAYS["adam"]),
    ],
)
def test_nothing_on_the_device_meets_the_cpu(emulated, kind, parameters):
    """Of skies with a glow, with objects, full of dust or crowded, every tensor of a fit is where it is wanted."""
    image = make_sky_image(kind, shape=(240, 360), random_state=1).image
    with emulated:
        model = BackgroundSplineRegressor(device=emulated.device.type, n_control_points=16)
        model.set_params(**{"smoothing": 1e-3, **parameters}).fit(image)
    assert emulated.n_tensors > 0
    assert np.isfinite(model.predict(image)).all()


def test_samples_are_fitted_on_the_device(emulated):
    """Those of the regressor of points too."""
    points = np.random.default_rng(0).uniform(size=(60, 2))
    model = PolyharmonicSplineRegressor(n_control_points=9, device=emulated.device.type)
    with emulated:
        model.fit(points, points[:, 0])
    assert emulated.n_tensors > 0
    np.testing.assert_allclose(model.predict(points), points[:, 0], atol=1e-2)


def test_a_device_that_fails_gives_way_for_samples_too(monkeypatch):
    """With the result of the CPU."""
    points = np.random.default_rng(0).uniform(size=(60, 2))
    model = PolyharmonicSplineRegressor(n_control_points=9)
    expected = model.set_params(device="cpu").fit(points, points[:, 0]).predict(points)
    monkeypatch.setattr(device_module, "resolve_device", lambda _: torch.device("meta"))
    with pytest.warns(RuntimeWarning, match="meta device fails .*; fitting on the CPU"):
        found = model.set_params(device="auto").fit(points, points[:, 0]).predict(points)
    np.testing.assert_array_equal(found, expected)


def test_an_automatic_device_that_fails_gives_way_to_the_cpu(mono_frame, monkeypatch):
    """With one warning, and the result of the CPU. (The meta device works until a value is asked for.)"""
    expected = background_of(mono_frame.image, device="cpu")
    monkeypatch.setattr(device_module, "resolve_device", lambda _: torch.device("meta"))
    with pytest.warns(RuntimeWarning, match="meta device fails .*; fitting on the CPU") as caught:
        found = background_of(mono_frame.image, device="auto")
    assert len(caught) == 1
    np.testing.assert_array_equal(found, expected)


def test_a_device_asked_for_that_fails_is_an_error(mono_frame):
    """Nobody who names a device gets another."""
    with pytest.raises(ValueError, match="device 'meta' does not work here"):
        background_of(mono_frame.image, device="meta")


def test_automatic_is_the_first_that_works(monkeypatch):
    """Of cuda, mps and the CPU; one that is there and fails is passed over with a warning."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    working = {"cuda": True, "mps": True}

    def try_out(name):
        if not working[name]:
            raise RuntimeError("out of order")
        return torch.device(name)

    monkeypatch.setattr(device_module, "_working", try_out)
    assert device_module.resolve_device("auto").type == "cuda"
    working["cuda"] = False
    with pytest.warns(RuntimeWarning, match="cuda device fails"):
        assert device_module.resolve_device("auto").type == "mps"
    working["mps"] = False
    with pytest.warns(RuntimeWarning, match="mps device fails"):
        assert device_module.resolve_device("auto").type == "cpu"
