"""The examples run."""

import re
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

import skbgopt

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("plot_*.py"))
SHRINK, LEAST_ROWS = 4, 100
# Of what an example repeats some will do.
FEWER = ((r"n_trials=\d+", "n_trials=2"), (r"(space\([^()]+), 9\)", r"\1, 3)"))


@pytest.fixture
def _small_frames(monkeypatch):
    """Frames with a fraction of the rows and columns: the same scenes, in a fraction of the time."""
    make_sky_image = skbgopt.make_sky_image

    def small(kind, shape, **parameters):
        factor = max(1, min(SHRINK, shape[0] // LEAST_ROWS))
        return make_sky_image(kind, tuple(side // factor for side in shape), **parameters)

    monkeypatch.setattr(skbgopt, "make_sky_image", small)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are made, which no window shows."""
    made = []
    initialise = Figure.__init__

    def record(self, *args, **kwargs):
        made.append(self)
        initialise(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "__init__", record)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield made
    matplotlib.pyplot.close("all")
    matplotlib.use(backend)


def test_there_are_examples():
    """The tests below look at what is there."""
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("_small_frames", "few_steps", "rough_choice", "quick_reference")
def test_an_example_runs_and_draws(path, figures, tmp_path, monkeypatch):
    """Each example has a title, runs without a file beside it, and makes a picture that can be drawn.

    On small frames, and with searches of a few trials.
    """
    script = path.read_text()
    for many, few in FEWER:
        script = re.sub(many, few, script)
    assert script.split("\n")[2].startswith("====")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(script, str(path), "exec"), {"__name__": "__main__"})
    assert figures
    for figure in figures:
        assert figure.axes
        figure.savefig(tmp_path / "figure.png", dpi=40)
    assert not [file for file in tmp_path.iterdir() if file.name != "figure.png"]
