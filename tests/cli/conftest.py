"""Frames on which the command is run."""

import pytest

from skbgopt import make_sky_image, write_image
from tests.cli.command import make_lights


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small fits on a busy machine are many times faster in one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory, and no settings of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "no settings" / name))
    return tmp_path


@pytest.fixture(scope="module")
def frame():
    """A small colour frame with empty borders."""
    return make_sky_image("galaxy", shape=(160, 240), random_state=0)


@pytest.fixture
def galaxy(folder, frame):
    """The frame as ``galaxy.fits`` in the current directory."""
    write_image(folder / "galaxy.fits", frame.image, cards={"OBJECT": "M 31"})
    return frame


@pytest.fixture(scope="module")
def pixels():
    """A small grey frame."""
    return make_sky_image("ha", shape=(80, 120), random_state=0).image


@pytest.fixture
def lights(folder, pixels):
    """Four frames, each of its own brightness, in the directory ``lights``."""
    return make_lights(folder, pixels, 4)
