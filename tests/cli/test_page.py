"""The page of ``--report``: what it holds, that it needs no network, and how it behaves in a browser."""

import base64
import logging
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from skbgopt import BackgroundSplineRegressor, make_sky_image, write_image
from tests.cli.command import FAST, names, run

CHROMIUM = shutil.which("chromium")
# Without these it looks for news from its maker.
QUIET_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
VOID = {"meta", "img", "input", "link", "br"}


class Page(HTMLParser):
    """What is in a page: its elements, text, and whether they are closed in the order in which they were opened."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(Path(path).read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, *tags):
        """The texts directly in elements of these kinds."""
        return [data for tag, data in self.texts if tag in tags]

    def pictures(self):
        """The pictures as arrays of colours, by their alternative texts."""
        found = {}
        for tag, attributes in self.elements:
            if tag == "img":
                kind, data = re.fullmatch(r"data:image/(webp);base64,(\S+)", attributes["src"]).groups()
                found[attributes["alt"]] = imread(BytesIO(base64.b64decode(data)), format=kind)
        return found

    def row(self, name):
        """The cells of the first row of a table of this name."""
        cells = self.text("th", "td")
        return cells[cells.index(name) + 1 :]


def assert_needs_no_network(page):
    """No attribute names another place, no style imports one, and the browser is told to ask for none."""
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "a")
        for name, value in attributes.items():
            assert not re.match(r"\s*(\w+:)?//", value or ""), (tag, name)
            assert name not in ("src", "href", "srcset", "data", "action") or value.startswith("data:")
            assert not name.startswith("on")
    assert not any(re.search(r"@import|url\(|https?:", text) for text in page.text("style", "script"))
    (policy,) = (
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.fixture(autouse=True)
def _coarse_figures(monkeypatch):
    """They are drawn in a fraction of the time."""
    monkeypatch.setattr("skbgopt.cli._html._DPI", 30)


@pytest.fixture
def titles_only(monkeypatch):
    """The titles of the figures in their place, for what does not look at them."""
    monkeypatch.setattr("skbgopt.cli._html._figure", lambda title, _: f"<h2>{title}</h2>")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a frame of which the left half is masked."""
    folder = tmp_path_factory.mktemp("report")
    frame = make_sky_image("galaxy", shape=(160, 240), random_state=1)
    write_image(folder / "galaxy.fits", frame.image, cards={"BUNIT": "adu"})
    write_image(folder / "mask.fits", np.repeat([[0.0, 1.0]], 120, axis=1).repeat(160, axis=0).astype(np.float32))
    path = folder / "report.html"
    run("remove", folder / "galaxy.fits", folder / "out", "-m", folder / "mask.fits", "-N", "16", "--report", path)
    return path


def test_the_page_holds_everything_and_needs_no_network(report):
    """Pictures, figures, parameters and the command are in one well-formed file."""
    page = Page(report)
    assert_needs_no_network(page)
    pictures = page.pictures()
    assert list(pictures) == [
        "The image without its background", "The image as given",
        "The background", "Residuals", "Control points", "What the fit sees", "Choice of the smoothing",
        "Uncertainty", "Loss",
    ]  # fmt: skip
    assert all(np.ptp(colours[..., :3]) > 0.5 for colours in pictures.values())
    assert pictures["The image as given"].shape == pictures["The image without its background"].shape == (160, 240, 3)
    assert page.text("h1") == ["galaxy.fits"]
    (command,) = page.text("pre")
    assert command.startswith("skbgopt remove ") and command.endswith(f"-N 16 --report {report}")
    assert page.row("n_control_points")[0] == "16"
    assert page.row("weight 0")[:2] == [str(160 * 120), "50.00%"]
    assert "Channels, in adu" in page.text("strong")
    model = BackgroundSplineRegressor.load(saved(report))
    assert page.row("level of the background")[:3] == [f"{level:.5g}" for level in model.background_level_]
    assert page.row("noise of a pixel")[:3] == [f"{noise:.5g}" for noise in model.noise_]
    assert "Warnings" not in page.text("strong")


def saved(report):
    """The model and, in a folder beside the report's, the results of the same command without a report."""
    folder = report.parent
    path = folder / "model.npz"
    if not path.exists():
        options = ["-m", folder / "mask.fits", "-N", "16", "--save-model", path]
        run("remove", folder / "galaxy.fits", folder / "again", *options)
    return path


def test_the_results_are_those_without_a_page(report):
    """A report changes nothing else."""
    saved(report)
    for name in names(report.parent / "again"):
        same = {(report.parent / place / name).read_bytes() for place in ("out", "again")}
        assert len(same) == 1


@pytest.mark.usefixtures("titles_only")
def test_names_are_escaped(folder, frame):
    """A name that is HTML, or no UTF-8 at all, is shown and does nothing."""
    name = "<script>alert(1)<&\"'$nonce.fits"
    write_image(folder / name, frame.image)
    run("remove", name, *FAST, "--report", "page.html")
    page = Page("page.html")
    assert page.text("h1") == [name]
    assert [text for text in page.text("script") if "alert" in text] == []
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 1
    assert_needs_no_network(page)
    odd = folder / "odd\udcff.fits"
    # What is logged goes into the reports of parallel tests, which cannot hold such a name.
    write_image(odd, frame.image)
    logging.disable()
    try:
        run("remove", odd, *FAST, "-p", "--quiet", "--report", "odd.html")
    finally:
        logging.disable(logging.NOTSET)
    assert Page("odd.html").text("h1") == ["odd\\udcff.fits"]


@pytest.mark.usefixtures("titles_only")
def test_warnings_of_the_run_are_on_the_page(galaxy, monkeypatch):
    """Each once, and escaped."""
    fit = BackgroundSplineRegressor.fit_prepared

    def complaining_fit(self, prepared):
        warnings.warn("Look <b>here</b>.", stacklevel=2)
        return fit(self, prepared)

    monkeypatch.setattr(BackgroundSplineRegressor, "fit_prepared", complaining_fit)
    run("remove", "galaxy.fits", *FAST, "--report", "page.html")
    page = Page("page.html")
    assert page.text("li") == ["Look <b>here</b>."]
    assert "Choice of the smoothing" not in page.text("h2") and "Loss" in page.text("h2")


def test_a_preview_has_a_page_too(galaxy, monkeypatch):
    """Without a fit: what would be fitted, what is excluded, and no slider."""
    monkeypatch.setattr(BackgroundSplineRegressor, "fit_prepared", None)
    run("remove", "-p", "galaxy.fits", "out", "--report", "out/page.html")
    assert names("out") == ["galaxy_preview.png", "page.html"]
    page = Page("out/page.html")
    assert list(page.pictures()) == ["What the fit sees"]
    assert int(page.row("missing")[0]) == (galaxy.image == 0).any(axis=2).sum()
    assert_needs_no_network(page)


@pytest.mark.usefixtures("titles_only")
def test_the_page_of_a_raw_mosaic_has_its_colours(folder):
    """The planes are named by their filters, and shown as red, green and blue."""
    planes = make_sky_image("galaxy", shape=(80, 120), n_channels=4, random_state=0).image
    raw = planes.reshape(80, 120, 2, 2).transpose(0, 2, 1, 3).reshape(160, 240)
    write_image(folder / "raw.fits", raw, cards={"BAYERPAT": "BGGR"})
    run("remove", "raw.fits", *FAST, "-dx", "4", "--report", "page.html")
    page = Page("page.html")
    assert [cell for cell in page.text("th") if cell in "RGB"] == list("BGGR")
    assert page.pictures()["The image as given"].shape == (80, 120, 3)


@pytest.mark.usefixtures("titles_only")
def test_results_and_page_are_written_together_or_not_at_all(galaxy, monkeypatch):
    """A page that cannot be made leaves no result behind."""
    before = names(".")
    run("remove", "galaxy.fits", "out", *FAST, "--report", "galaxy.fits", code=2)
    run("remove", "galaxy.fits", "out", *FAST, "--report", "out/galaxy_bgModel.fits", code=2)
    run("remove", "galaxy.fits", "out", "-p", "--report", "out/galaxy_preview.png", code=2)
    monkeypatch.setattr("skbgopt.cli._html._slider", lambda *_: 1 / 0)
    run("remove", "galaxy.fits", "out", *FAST, "--report", "page.html", code=1)
    assert names(".") == before
    Path("page.html").write_text("mine")
    result = run("remove", "galaxy.fits", "out", *FAST, "--report", "page.html", code=2)
    assert result.stderr == "skbgopt: The output page.html exists: pass --overwrite to replace it.\n"
    assert Path("page.html").read_text() == "mine"


def test_the_whole_image_counts_for_the_memory(galaxy):
    """With a page an image is not worked on in bands alone."""
    limit = ["--max-memory", "551MiB"]
    run("remove", "galaxy.fits", *FAST, *limit)
    result = run("remove", "galaxy.fits", "out", *FAST, *limit, "--report", "page.html", code=2)
    assert "of memory, --max-memory allows" in result.stderr
    assert result.stderr.endswith("allow more, or leave out --report.\n")


def screenshot(page, slider, folder):
    """The page with its slider at so many percent, as colours from 0 to 1."""
    flags = [*QUIET_FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1200,1000"]
    picture = folder / f"{slider}.png"
    command = [CHROMIUM, *flags, f"--screenshot={picture}", f"{page.as_uri()}#slider={slider}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return imread(picture)[:, :, :3]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
def test_the_slider_moves_in_a_browser(report, tmp_path):
    """Between two places of the slider the page changes from after to before, and nowhere else."""
    after, before = (screenshot(report, slider, tmp_path) for slider in (20, 80))
    assert after.shape == before.shape == (1000, 1200, 3)
    changed = (np.abs(after - before) > 0.05).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    # The pictures are as wide as the window but for its margins.
    left, right = (16 + share * (1200 - 32) for share in (0.2, 0.8))
    np.testing.assert_allclose([columns.min(), columns.max()], [left, right], atol=5)
    assert np.ptp(rows) > 700
    pictures = Page(report).pictures()
    for shown, name in ((before, "The image as given"), (after, "The image without its background")):
        expected = pictures[name][40:120, 80:160].mean(axis=(0, 1)) / 255
        corner = np.array([rows.min(), 16])
        (top, x), (bottom, end) = (corner + np.array(place) * (1200 - 32) / 240 for place in ((40, 80), (120, 160)))
        np.testing.assert_allclose(
            shown[int(top) : int(bottom), int(x) : int(end)].mean(axis=(0, 1)), expected, atol=0.02
        )
