"""The examples run."""

import runpy
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("plot_*.py"))


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
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_draws(path, figures, tmp_path, monkeypatch):
    """Each example has a title, runs without a file beside it, and makes a picture that can be drawn."""
    assert path.read_text().split("\n")[2].startswith("====")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(path), run_name="__main__")
    assert figures
    for figure in figures:
        assert figure.axes
        figure.savefig(tmp_path / "figure.png", dpi=40)
    assert not [file for file in tmp_path.iterdir() if file.name != "figure.png"]
