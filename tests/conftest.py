"""Frames that many tests share, and how hypothesis and torch run."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from sklearn import config_context

from skbgopt import make_sky_image
from skbgopt.solvers import minimize_mm

# "ci" is for every run of the tests, "fuzz" for a long search: tests.properties.strategies.examples follows both.
settings.register_profile(
    "ci",
    max_examples=20,
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "fuzz", settings.get_profile("ci"), max_examples=int(os.environ.get("FUZZ_EXAMPLES", "1000")), derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if "PYTEST_XDIST_WORKER" in os.environ:
    import torch

    # One worker a core: threads of several torches would fight for the same cores, and small fits get many
    # times slower than in one thread.
    torch.set_num_threads(1)

SMALL = (160, 240)


@pytest.fixture(scope="session")
def galaxy_frame():
    """A small colour frame with a galaxy, stars and an empty border of zeros."""
    return make_sky_image("galaxy", shape=SMALL, random_state=0)


@pytest.fixture(scope="session")
def mono_frame():
    """A small frame of one channel with a strong curved gradient and no missing pixel."""
    return make_sky_image("oiii", shape=SMALL, random_state=1)


@pytest.fixture(scope="session")
def colour_frame():
    """A float64 colour frame without missing pixels, its sides multiples of the block."""
    return make_sky_image("galaxy", shape=(240, 360), empty_border=0, dtype=np.float64, random_state=3)


@pytest.fixture(scope="module")
def quick_reference():
    """A reference that does not choose its smoothing, which takes longer than a search of a few trials."""
    from skbgopt.model_selection import _held_out

    default = _held_out.reference_estimator
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_held_out, "reference_estimator", lambda *args: default(*args).set_params(smoothing=1e-3))
        yield default


@pytest.fixture
def rough_choice(monkeypatch):
    """A choice of the smoothing by fits of one step each, for tests that ask for one but not for the best."""
    monkeypatch.setattr("skbgopt.smoothing._STEPS", 1)


@pytest.fixture
def few_steps(monkeypatch):
    """Fits of a few steps, for tests that ask whether something runs and not what it finds."""

    def few(*args, max_iter, **parameters):
        return minimize_mm(*args, max_iter=min(max_iter, 3), **parameters)

    for module in ("skbgopt.solvers", "skbgopt.stages"):
        monkeypatch.setattr(f"{module}.minimize_mm", few)


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    """Metadata routing, off and on."""
    with config_context(enable_metadata_routing=request.param):
        yield request.param
