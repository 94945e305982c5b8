"""The pages are built without a warning, lead nowhere wrong, and what they say holds."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from skbgopt.cli._options import DEFAULTS, PRESETS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = shutil.ignore_patterns("_build", "auto_examples", "reference", "__pycache__")


class Page(HTMLParser):
    """Links and anchors of a page, and the texts of the links."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self._texts = [], set(), {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Take note of a tag."""
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in ("a", "link") and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script") and given.get("src"):
            self.links.append(given["src"])

    def local_links(self):
        """Path and anchor of the links that lead to a page or file of ours."""
        parts = [urlsplit(link) for link in self.links]
        return [(unquote(part.path), part.fragment) for part in parts if not part.scheme and not part.netloc]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages built with warnings as errors, the gallery not executed, and nothing written into the sources."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(DOCS, folder / "docs", ignore=MADE)
    for name in ("examples", "skbgopt", "tests"):
        (folder / name).symlink_to(ROOT / name)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-t",
        "quick",
        folder / "docs",
        folder / "html",
    ]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    built = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert built.returncode == 0, built.stderr
    return folder / "html"


def pages_of(site):
    """The pages, without what the theme keeps beside them."""
    return [path for path in site.rglob("*.html") if "_static" not in path.parts]


def test_links_lead_to_pages_and_anchors_that_are_there(site):
    """No dead link within the pages: files and anchors exist. (The quick build has no pictures of the gallery.)"""
    pages = {path: Page(path) for path in pages_of(site)}
    assert len(pages) > 60
    dead = []
    for path, page in pages.items():
        for target, anchor in page.local_links():
            there = (path.parent / target).resolve() if target else path
            if "sphx_glr" in target and there.suffix == ".png":
                continue
            found = pages.get(there)
            if not there.exists() or (anchor and found is not None and anchor not in found.anchors):
                dead.append(f"{path.relative_to(site)}: {target}#{anchor}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site):
    """The pages need no network: scripts, styles and pictures are local."""
    loads = re.compile(r"<(?:script|img)[^>]*src=\"(?:https?:)?//|<link[^>]*stylesheet[^>]*href=\"(?:https?:)?//")
    assert [path.name for path in pages_of(site) if loads.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "question, words",
    [
        ("How do I protect a nebula?", "Protect a nebula"),
        ("How do I tune it?", "BackgroundSearchCV"),
        ("How do I run 500 frames?", "skbgopt batch"),
    ],
)
def test_the_first_page_answers_in_one_click(site, question, words):
    """What new users ask is a link of the first page."""
    first = (site / "index.html").read_text(encoding="utf-8")
    targets = re.findall(rf"href=\"([^\"#]+)[^\"]*\"><span[^>]*>{re.escape(question)}", first)
    assert len(targets) == 1
    text = re.sub(r"<[^>]+>", "", (site / targets[0]).read_text(encoding="utf-8"))
    assert words in text


def test_formulas_are_drawn_by_the_browser(site):
    """Formulas are MathML, not source."""
    assert (site / "guide" / "model.html").read_text(encoding="utf-8").count("<math") >= 10


def test_the_table_of_flags_is_that_of_the_command():
    """The page for those who come from bgoptimizer lists the preset's values and the defaults."""
    text = (DOCS / "howto" / "bgoptimizer.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(-\S+)` \| `(\w+)` \| (\S+) \| (\S+) \|$", text, flags=re.MULTILINE)
    assert {name: (old, new) for _, name, old, new in rows} == {
        name: (str(old), str(DEFAULTS[name])) for name, old in PRESETS["bgoptimizer"].items()
    }


def test_pictures_of_the_guide_are_made_by_examples():
    """Each picture that a page takes from the gallery belongs to an example that is there."""
    pages = [*DOCS.glob("guide/*.md"), *DOCS.glob("howto/*.md"), DOCS / "index.md"]
    taken = {name for page in pages for name in re.findall(r"sphx_glr_(plot_\w+?)_\d{3}\.png", page.read_text())}
    assert len(taken) >= 6
    assert taken <= {path.stem for path in (ROOT / "examples").glob("plot_*.py")}
