"""What the command `skbgopt` refuses, and how it fails."""

import os
import pty
import re
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skbgopt import BackgroundSplineRegressor, write_image
from skbgopt.cli import _run
from skbgopt.cli._outputs import all_or_none
from tests.cli.command import FAST, forked, names, run
from tests.faults.killing import end


@pytest.fixture
def wrong_files(galaxy, folder):
    """Inputs that cannot be processed."""
    height, width = galaxy.image.shape[:2]
    Path("text.fits").write_text("this is no image")
    Path("empty.fits").write_bytes(b"")
    Path("file").write_text("not a directory")
    fits.PrimaryHDU().writeto("no_image.fits")
    write_image("constant.fits", np.full((80, 120), 7.0, dtype=np.float32))
    write_image("zeros.fits", np.zeros((80, 120), dtype=np.float32))
    write_image("five.fits", np.repeat(galaxy.image, 2, axis=2)[:, :, :5])
    write_image("small_mask.xisf", np.ones((10, 10), dtype=np.float32))
    write_image("black_mask.xisf", np.zeros((height, width), dtype=np.float32))
    write_image("adu_mask.fits", np.full((height, width), 1000.0, dtype=np.float32))
    write_image("odd.fits", galaxy.image[:-1, :, 0], cards={"BAYERPAT": "RGGB"})
    write_image("xtrans.fits", galaxy.image[:, :, 0], cards={"BAYERPAT": "GGRGGBGGBGGRBRGRBG"})
    write_image("there_bgModel.fits", galaxy.image)
    write_image("there.fits", galaxy.image)
    Path("link_bgModel.fits").symlink_to(folder / "link.fits")
    write_image("link.fits", galaxy.image)
    write_image("circle.fits", galaxy.image)
    Path("circle_bgModel.fits").symlink_to("circle_bgModel.fits")
    write_image("nowhere.fits", galaxy.image)
    Path("nowhere_bgModel.fits").symlink_to("no/such/file.fits")
    Path("folder_bgModel.fits").mkdir()
    write_image("folder.fits", galaxy.image)
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("missing.fits", "No such file or directory: missing.fits"),
        (".", "Is a directory: ."),
        ("-", "No such file or directory: -"),
        ("text.fits", "text.fits is none of them"),
        ("empty.fits", "it is empty"),
        ("no_image.fits", "no_image.fits"),
        ("constant.fits", "usable"),
        ("zeros.fits", "9600 missing"),
        ("galaxy.fits -m small_mask.xisf", "160 x 240 x 3, but small_mask.xisf has 10 x 10"),
        ("galaxy.fits -m black_mask.xisf", "38400 weight 0"),
        ("galaxy.fits -m adu_mask.fits", "from 0 (ignore) to 1 (use)"),
        ("galaxy.fits -m missing.xisf", "No such file or directory: missing.xisf"),
        ("galaxy.fits -m text.fits", "text.fits is none of them"),
        ("there.fits", "there_bgModel.fits exists: pass --overwrite"),
        ("link.fits --overwrite", "is an input itself"),
        ("circle.fits --overwrite", "Too many levels of symbolic links: circle_bgModel.fits"),
        ("nowhere.fits", "is a link into a directory that does not exist: nowhere_bgModel.fits"),
        ("folder.fits --overwrite", "Is a directory: folder_bgModel.fits"),
        ("galaxy.fits file", "Not a directory: file"),
        ("galaxy.fits file/deeper", "Not a directory: file"),
        ("galaxy.fits --save-model galaxy.fits --overwrite", "is an input itself"),
        ("galaxy.fits -dq 2", "skbgopt: --quantile must be a float in the range (0.0, 1.0]. Got 2.0 instead."),
        ("galaxy.fits -N 0", "--n-control-points must be an int"),
        ("galaxy.fits -tm 0.5 -tM 0.4", "--threshold-min must be below --threshold-max"),
        ("galaxy.fits -N many", "'many' is not a valid integer"),
        ("galaxy.fits --smoothing much", "'much' is neither a number nor 'auto'"),
        ("galaxy.fits -i square", "'random', 'grid'"),
        ("galaxy.fits --device abacus", "abacus"),
        ("galaxy.fits -tm 0.9999", "outside the thresholds"),
        ("galaxy.fits --hdu 5", "5"),
        ("there.fits --output-dtype uint16 --output-scale 0", "0 is no finite number above 0"),
        ("there.fits --output-dtype uint16 --output-scale nan", "nan is no finite number above 0"),
        ("there.fits --output-dtype uint16 --pedestal inf", "inf is no finite number."),
        ("five.fits --format xisf", "XISF images of 1 or 3 channels"),
        ("odd.fits", "even height and width, got 159 x 240"),
        ("xtrans.fits", "2 x 2 Bayer patterns only"),
        ("galaxy.fits --quantil 0.9", "--quantile"),
        ("", "Missing argument 'INPUT'"),
        ("galaxy.fits a b", "unexpected extra argument"),
    ],
)
def test_wrong_input_is_one_sentence(wrong_files, arguments, words):
    """Exit code 2, one line on stderr, for a wrong flag before any report, no traceback, and no file is written."""
    before = names(wrong_files)
    result = run("remove", *arguments.split(), code=2)
    assert words in result.stderr
    assert re.fullmatch(r"skbgopt: .+\n", result.stderr)
    assert result.stdout == "" or "skbgopt: --" not in result.stderr
    assert names(wrong_files) == before


def test_debug_adds_the_traceback(folder):
    """--debug shows where an error comes from."""
    result = run("remove", "missing.fits", "--debug", code=2)
    assert "Traceback" in result.stderr and result.stderr.endswith("directory: missing.fits\n")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "MemoryError"),
        (RuntimeError("lost"), 1, "RuntimeError: lost"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_failing_second_file_leaves_none(galaxy, monkeypatch, error, code, words, overwrite):
    """Both outputs or none, and an earlier result stays as it was."""
    if overwrite:
        run("remove", "galaxy.fits", "--quiet", *FAST)
    before = {name: Path(name).read_bytes() for name in names(".")}
    create = _run.create_image

    @contextmanager
    def fail_on_model(path, *arguments, **options):
        with create(path, *arguments, **options) as image:
            yield image
        if "bgModel" in Path(path).name:
            raise error

    monkeypatch.setattr(_run, "create_image", fail_on_model)
    result = run("remove", "galaxy.fits", *FAST, *["--overwrite"] * overwrite, "-N", "12", code=code)
    assert words in result.stderr.splitlines()[-1]
    assert {name: Path(name).read_bytes() for name in names(".")} == before


def test_all_or_none_takes_back_what_was_moved(folder):
    """If the second file cannot be put in place, the first one goes again."""
    (folder / "second").mkdir()
    targets = [folder / "first", folder / "second"]
    with pytest.raises(OSError), all_or_none(targets) as staged:
        for written in staged.values():
            written.write_text("new")
    assert names(folder) == ["second"]


def test_warnings_are_single_lines(galaxy, monkeypatch):
    """A warning from the library is shown without its place in the code."""

    def warn(*_):
        warnings.warn("Look\nhere.", stacklevel=2)

    monkeypatch.setattr(_run, "_evaluate", warn)
    assert run("remove", "galaxy.fits", *FAST).stderr == "warning: Look here.\n"


def test_installed_command_end_to_end(galaxy, folder):
    """The entry point itself: exit codes, streams, no progress bar where stderr is no terminal."""
    call = [sys.executable, "-c", "from skbgopt.cli import main; main()", "remove"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*call, "galaxy.fits", "out", *FAST], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert names("out") == ["galaxy_bgModel.fits", "galaxy_bgSubtracted.fits"]
    assert end(forked(["remove", "missing.fits"], stdout="said", stderr="errors")) == 2
    assert Path("said").read_text() == ""
    assert Path("errors").read_text() == "skbgopt: No such file or directory: missing.fits\n"


def test_an_output_directory_is_no_file_name(folder, galaxy):
    """A file name given for the directory is refused, and nothing is made."""
    write_image("frame.fits", galaxy.image)
    result = run("remove", "frame.fits", "flat.fits", *FAST, code=2)
    assert "OUTPUT_DIR is a directory" in result.stderr
    assert not (folder / "flat.fits").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("remove galaxy.fits out --save-model new/../galaxy.fits --overwrite", "is an input itself"),
        ("remove galaxy.fits out --report new/../galaxy.fits --overwrite", "is an input itself"),
        ("remove galaxy.fits new/..", "exists: pass --overwrite"),
        ("remove galaxy.fits out --log-file out/../galaxy.fits", "is no text"),
        ("batch galaxy.fits -o out --report out/../galaxy.fits", "is no report of skbgopt batch"),
        ("tune galaxy.fits --save new/../galaxy.fits --overwrite", "is an input itself"),
    ],
)
def test_ways_round_through_new_directories_lead_to_no_input(galaxy, folder, arguments, words):
    """What a path leads to is looked at before its directories are made, and is what it leads to afterwards."""
    Path("galaxy_bgModel.fits").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert words in run(*arguments.split(), code=2).stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("remove galaxy.fits out --params best.json --save-model best.json", "The output best.json is an input"),
        ("remove galaxy.fits out --config my.toml --report my.toml", "The output my.toml is an input"),
        ("remove galaxy.fits -p --report skbgopt.toml", "The output skbgopt.toml is an input"),
        ("tune @list.txt --save list.txt", "The output list.txt is an input"),
        ("tune galaxy.fits --storage new.log --save new.log", "The output new.log is an input"),
        ("tune galaxy.fits --storage sqlite:///new.db --picture new.db", "The output new.db is an input"),
        ("remove galaxy.fits out --params best.json --log-file ./best.json", "--log-file best.json is an input"),
        ("batch @list.txt -o out --log-file list.txt", "--log-file list.txt is an input"),
        ("tune galaxy.fits --storage new.log --log-file new.log", "--log-file new.log is an input"),
        ("batch galaxy.fits galaxy_bgModel.fits -o .", "galaxy_bgModel.fits has the name of a result of"),
        ("batch galaxy.fits -o . --same-model galaxy_bgModel.fits", "galaxy_bgModel.fits has the name of a result of"),
        ("apply galaxy_bgModel.fits galaxy.fits -o .", "galaxy_bgModel.fits has the name of a result of"),
        ("batch galaxy.fits -o . -m galaxy_bgModel.fits", "galaxy_bgModel.fits has the name of a result of"),
    ],
)
def test_no_file_that_is_read_is_written_over(galaxy, folder, arguments, words):
    """Settings, lists, storages, and images that other images' results would replace: nothing is written at all."""
    Path("best.json").write_text('{"parameters": {"order": 3}}')
    for name in ("my.toml", "skbgopt.toml"):
        Path(name).write_text("order = 3\n")
    Path("list.txt").write_text("galaxy.fits\n")
    shutil.copy("galaxy.fits", "galaxy_bgModel.fits")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    overwrite = [] if "--log-file" in arguments else ["--overwrite"]
    result = run(*arguments.split(), *overwrite, code=2)
    assert words in result.stderr and result.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("remove galaxy.fits out --log-file out/galaxy_bgModel.fits", "has the name of an image"),
        ("remove galaxy.fits out --log-file link", "has the name of an image"),
        ("remove galaxy.fits out -p --log-file out/galaxy_preview.png", "has the name of an image"),
        ("remove galaxy.fits out --save-model a --log-file ./new/../a", "is an output as well"),
        ("remove galaxy.fits out --report a.html --log-file a.html", "is an output as well"),
        ("batch galaxy.fits -o out --report a --log-file a", "is an output as well"),
        ("batch galaxy.fits -o out --log-file out/skbgopt-report.jsonl", "is an output as well"),
        ("tune galaxy.fits --save a.json --log-file a.json", "is an output as well"),
        ("tune galaxy.fits --picture a --log-file a", "is an output as well"),
    ],
)
def test_a_log_that_is_an_output_as_well_is_refused(galaxy, folder, arguments, words):
    """With one sentence, before the log or anything else is written."""
    Path("link").symlink_to("out/galaxy_bgSubtracted.fits")
    before = names(".")
    result = run(*arguments.split(), "--overwrite", code=2)
    assert words in result.stderr and result.stderr.count("\n") == 1 and names(".") == before


def test_outputs_are_no_pipes(galaxy, folder):
    """Neither a page nor a report, as where /dev/stdout is one; a log may be."""
    reader, writer = os.pipe()
    pipe = f"/dev/fd/{writer}"
    for arguments in (["remove", "galaxy.fits", "out"], ["batch", "galaxy.fits", "-o", "out"]):
        assert f"{pipe} is no regular file" in run(*arguments, *FAST, "--report", pipe, code=2).stderr
    run("remove", "galaxy.fits", "out", "-p", "--quiet", "--log-file", pipe)
    assert b"INFO Writing out/galaxy_preview.png" in os.read(reader, 1 << 16)
    os.close(reader)
    os.close(writer)


def test_two_outputs_of_one_name_are_refused(folder, galaxy):
    """A model saved under the name of a result would overwrite it."""
    write_image("frame.fits", galaxy.image)
    result = run("remove", "frame.fits", *FAST, "--save-model", "./frame_bgModel.fits", code=2)
    assert "same path" in result.stderr


def test_older_results_stay_when_one_cannot_be_replaced(folder):
    """If the second of two files cannot take its place, the first is the older one again."""
    first, second = folder / "first", folder / "second"
    first.write_text("older")
    with pytest.raises(OSError), all_or_none([first, second]) as staged:
        staged[first].write_text("newer")
        second.mkdir()
        staged[second].write_text("newer")
    assert first.read_text() == "older"


def test_a_file_that_appears_meanwhile_is_not_replaced(galaxy, monkeypatch):
    """What is there is looked at once more before the results take their places."""
    fit = BackgroundSplineRegressor.fit_prepared

    def fit_while_another_writes(self, prepared):
        Path("out/galaxy_bgModel.fits").write_text("mine")
        return fit(self, prepared)

    monkeypatch.setattr(BackgroundSplineRegressor, "fit_prepared", fit_while_another_writes)
    result = run("remove", "galaxy.fits", "out", *FAST, code=2)
    assert result.stderr == "skbgopt: The output out/galaxy_bgModel.fits exists: pass --overwrite to replace it.\n"
    assert names("out") == ["galaxy_bgModel.fits"] and Path("out/galaxy_bgModel.fits").read_text() == "mine"


def test_a_terminal_is_no_image(folder):
    """Nothing is waited for."""
    main, other = pty.openpty()
    assert end(forked(["remove", "/dev/stdin"], stdin=os.ttyname(other), stderr="errors")) == 2
    assert Path("errors").read_text() == "skbgopt: /dev/stdin is no regular file: give an image file.\n"
    os.close(main)
    os.close(other)


def test_a_reader_that_goes_away_ends_the_run_quietly(galaxy, folder):
    """As in `skbgopt remove ... | head -1`: no sentence, no traceback, no file."""
    os.mkfifo("pipe")
    pid = forked(["remove", "galaxy.fits", "out", *FAST], stdout="pipe", stderr="errors")
    with open("pipe") as reader:
        reader.readline()
    assert (end(pid), Path("errors").read_text()) == (141, "")
    assert names(folder) == ["errors", "galaxy.fits", "pipe"]


def test_replaced_files_may_have_the_longest_names(folder):
    """Older results are kept aside under names of their own."""
    target = folder / ("x" * 255)
    target.write_text("older")
    with all_or_none([target]) as staged:
        staged[target].write_text("newer")
    assert target.read_text() == "newer" and names(folder) == [target.name]


def test_a_directory_that_is_gone(galaxy, tmp_path, monkeypatch):
    """The current directory has been deleted: a sentence says so, even where all paths are absolute."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = run("remove", tmp_path / "galaxy.fits", tmp_path / "out", *FAST, code=2)
    assert result.stderr == "skbgopt: The current directory has been deleted: change to another one.\n"
    assert not (tmp_path / "out").exists()
