"""The commands and scripts of README and of the guide run as they stand there."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from skbgopt import make_sky_image, read_image, write_image
from skbgopt.cli import command_line

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs" / "guide").glob("*.md")),
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]
HANDOVER = ROOT / "docs" / "howto" / "handover.md"
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# What is no language is a directive of the pages; texts are read, not run.
NOT_RUN = ("text", "toml")
SHAPE = (96, 144)


def blocks(page):
    """Language and text of the fenced blocks of a page, in order: in one process, and searches of a few trials."""
    text = re.sub(r"(--jobs |n_jobs=)2", r"\g<1>1", re.sub(r"n_trials=\d+", "n_trials=2", page.read_text()))
    found = [(language, textwrap.dedent(text)) for _, language, text in FENCE.findall(text)]
    return [(language, text) for language, text in found if not language.startswith("{")]


def commands(text):
    """The commands of a block of shell, as lists of words without their comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def night(tmp_path, monkeypatch):
    """The files that the pages name, in the current directory, small; and no settings of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "no settings" / name))
    frame = make_sky_image("galaxy", shape=SHAPE, random_state=0)
    for name in ("stack.fits", "stack.xisf", "landscape.xisf", "mosaic.fits"):
        write_image(tmp_path / name, frame.image)
    write_image(tmp_path / "adu.fits", np.rint(frame.image * 20000 + 800).astype(np.uint16))
    for name in ("mask.fits", "mask.xisf"):
        write_image(tmp_path / name, (~frame.mask).astype(np.float32))
    (tmp_path / "path" / "to").mkdir(parents=True)
    shutil.copy(tmp_path / "stack.fits", tmp_path / "path" / "to" / "yours")
    (tmp_path / "lights").mkdir()
    for k in range(2):
        write_image(tmp_path / "lights" / f"{k}.fits", make_sky_image("galaxy", shape=SHAPE, random_state=k).image)
    monkeypatch.setattr("skbgopt.cli._demo._SHAPE", SHAPE)
    return tmp_path


@pytest.fixture
def venv(tmp_path):
    """What make takes for an environment that is set up."""
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "installed").touch()
    return folder


def run_skbgopt(words):
    """Run the command in this process, with few trials and steps; the last of two flags counts."""
    few = {"tune": ["--trials", "2"], "bgoptimizer": ["--max-iter", "20"]}
    result = CliRunner().invoke(command_line, [*words, *chain(*(few[word] for word in words if word in few))])
    assert result.exit_code == 0, (words, result.output)


def run_make(words, venv):
    """Run the commands of ours that make would run; of all else see that make knows how."""
    make = ["make", "--no-print-directory", "-C", ROOT, "--dry-run", *words, f"VENV={venv}"]
    would_run = commands(subprocess.run(make, check=True, capture_output=True, text=True).stdout)
    ours = [rest for program, *rest in would_run if program == f"{venv}/bin/skbgopt"]
    assert len(ours) == words.count("demo")
    for rest in ours:
        run_skbgopt(rest)


def run_pip(words):
    """See that the package could be installed, without the network and without doing so."""
    assert words == ["install", "."]
    how = ["--dry-run", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([sys.executable, "-m", "pip", "install", *how, ROOT], check=True, capture_output=True)


@pytest.mark.usefixtures("few_steps", "rough_choice", "quick_reference")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page, night, venv):
    """Every command ends with 0 and every script runs, one after the other in one directory."""
    names = {}
    for language, text in blocks(page):
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(text, str(page), "exec"), names)
        elif language == "sh":
            for program, *words in commands(text):
                {"skbgopt": run_skbgopt, "make": lambda words: run_make(words, venv), "pip": run_pip}[program](words)
        else:
            assert language in NOT_RUN, f"{page.name} has a block in {language or 'no language'}"


@pytest.mark.usefixtures("few_steps", "rough_choice")
def test_integers_made_as_the_page_says_keep_the_image(night):
    """Of images from 0 to 1 and in ADU next to nothing is clipped, and the sky is as far from 0 as its noise needs."""
    lines = [words[1:] for language, text in blocks(HANDOVER) if language == "sh" for words in commands(text)]
    made = [words for words in lines if "--output-dtype" in words]
    for words in made:
        run_skbgopt(words)
        image = read_image(f"integers/{Path(words[-2]).stem}_bgSubtracted.fits")[0]
        clipped = ((image == 0) | (image == 65535)) & (read_image(words[-2])[0] != 0)
        assert image.dtype == np.uint16 and np.mean(clipped) < 0.01
    assert [words[-2] for words in made] == ["stack.fits", "adu.fits"]


def test_readme_shows_what_a_reader_looks_for():
    """A picture, a script of ten lines at most, commands, a table with the command that makes it, and whom to cite."""
    text = (ROOT / "README.md").read_text()
    scripts = [block for language, block in blocks(ROOT / "README.md") if language == "python"]
    assert all(len(script.splitlines()) <= 10 for script in scripts)
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert pictures
    assert all((ROOT / path).stat().st_size < 500_000 for path in pictures)
    for word in ("skbgopt remove", "make bench-quality", "Sergio Díaz", "GPL-3.0-or-later"):
        assert word in text
    for target in re.findall(r"\]\((?!http)(.+?)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.usefixtures("rough_choice")
def test_the_picture_is_made_by_its_script(tmp_path, monkeypatch):
    """The script that makes the picture of README runs."""
    script = ROOT / "docs" / "make_images.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--rows", "80", "--output-dir", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    assert [path.name for path in tmp_path.iterdir()] == ["before_model_after.png"]
