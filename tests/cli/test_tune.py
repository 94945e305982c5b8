"""`skbgopt tune`: what it finds, prints and saves, and that `skbgopt remove` does the same again."""

import io
import json
import os
import re
import shlex
import signal
import time
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from matplotlib.image import imread
from optuna.trial import TrialState, create_trial

from skbgopt import BackgroundSearchCV, BackgroundSplineRegressor, make_sky_image, read_image, write_image
from skbgopt.cli import command_line
from skbgopt.cli._options import DEFAULTS, PRESETS, removal_flags
from skbgopt.cli._ranges import ranges_and_values
from skbgopt.cli._tuning import _progress, _refused
from skbgopt.model_selection import cross_val_score_image
from skbgopt.model_selection._space import PUBLISHED, as_distributions
from skbgopt.model_selection._storage import open_storage
from tests.cli.command import argument, forked, names, run
from tests.faults.killing import end

pytestmark = pytest.mark.usefixtures("quick_reference")
QUICK = {"n_control_points": 9, "order": 2, "mask_objects": False}
QUICK_FLAGS = ["-N", "9", "-O", "2", "--mask-objects", "no"]
RANGES = ["--param", "smoothing=1e-6:1:log", "--param", "quantile=0.9:1.0"]
SPACE = {"smoothing": (1e-6, 1.0, "log"), "quantile": (0.9, 1.0)}
FRAME = make_sky_image("oiii", shape=(96, 128), random_state=0)


@pytest.fixture
def oiii(folder):
    """A small frame as ``oiii.fits`` in the current directory."""
    write_image("oiii.fits", FRAME.image)


def tune(*arguments, n_trials=3, code=0):
    """Run a quick search."""
    return run("tune", *QUICK_FLAGS, "--trials", n_trials, *arguments, code=code)


def command_in(result):
    """The words of the command that the report ends with."""
    lines = result.stdout.splitlines()
    return shlex.split(lines[lines.index("__/ Command \\__________") + 1])


# The setting found


def test_the_report_says_why_a_better_score_was_not_taken():
    """With its trial and the margin that it lacks; nothing where the best score was taken."""

    def sentences(scores, taken):
        """What is said of three trials, the second of which was cut short."""
        table = {"state": ["COMPLETE", "PRUNED", "COMPLETE"], "mean_test_score": np.array(scores)}
        return list(_refused(SimpleNamespace(cv_results_=table, margin_=0.5), taken))

    (sentence,) = sentences([-0.5, -0.1, -0.4], -0.5)
    assert sentence.startswith("Trial 3 scored -0.40000") and "by 50% in every fold" in sentence
    assert not sentences([-0.5, -0.1, -0.4], -0.4)


def test_the_score_of_the_setting_given_is_its_own(oiii):
    """Also where the choices do not hold it; and what is kept is what was given."""
    result = tune("oiii.fits", "--smoothing", 1e-4, "--param", "smoothing=1e8,1e9")
    scores = cross_val_score_image(BackgroundSplineRegressor(**QUICK, smoothing=1e-4), FRAME.image)
    assert f"Score of the setting given: {scores.mean():.5f}\n" in result.stdout
    assert "--smoothing 0.0001" in shlex.join(command_in(result))


def test_the_published_values_are_those_of_the_preset():
    """A search begins with the same numbers that the command line has."""
    assert PUBLISHED.items() <= PRESETS["bgoptimizer"].items()


def test_remove_does_what_was_found(oiii):
    """The printed command and --params remove the background that the search itself fits, to the last bit."""
    result = tune("oiii.fits", *RANGES, "--save", "best.json")
    search = BackgroundSearchCV(BackgroundSplineRegressor(**QUICK), SPACE, n_trials=3, random_state=0)
    expected = search.fit(FRAME.image).predict(FRAME.image)
    words = command_in(result)
    assert words[:3] == ["skbgopt", "remove", "oiii.fits"]
    run(*words[1:], "printed")
    run("remove", "--params", "best.json", "oiii.fits", "saved")
    for directory in ("printed", "saved"):
        np.testing.assert_array_equal(read_image(f"{directory}/oiii_bgModel.fits")[0], expected)


def test_a_search_needs_no_stderr(oiii, monkeypatch):
    """In a service there may be none."""
    monkeypatch.setattr("skbgopt.cli._tuning.sys", SimpleNamespace(stderr=None))
    assert json.loads(tune("oiii.fits", *RANGES, "--json").stdout)["parameters"]


def test_what_is_saved_is_what_json_prints(oiii):
    """One line of JSON, with the whole setting, the score and the numbers of trials."""
    result = tune("oiii.fits", *RANGES, "--save", "best.json", "--json")
    found, saved = json.loads(result.stdout), json.loads(Path("best.json").read_text())
    assert result.stdout.count("\n") == 1 and result.stderr == ""
    assert found == saved
    assert list(found["parameters"]) == list(DEFAULTS)
    assert found["searched"] == ["quantile", "smoothing"]
    assert found["trials"] == {"complete": 3, "pruned": 0, "fail": 0}
    assert found["score"] <= 0
    assert sum(found["importances"].values()) == pytest.approx(1)


def test_the_same_seed_finds_the_same(oiii):
    """By default 0."""
    seeds = [], ["--seed", 0], ["--seed", 1]
    first, again, other = (json.loads(tune("oiii.fits", *RANGES, *seed, "--json", n_trials=4).stdout) for seed in seeds)
    assert first["parameters"] == again["parameters"]
    assert other["parameters"]["random_state"] == 1


def test_masks_and_several_images(oiii):
    """Several images are searched in the mean, each with the mask, and the command is that of a batch."""
    write_image("-other.fits", FRAME.image[::-1])
    mask = np.ones(FRAME.image.shape, dtype=np.float32)
    mask[:30] = 0
    write_image("mask.fits", mask)
    result = tune("oiii.fits", "./-other.fits", *RANGES, "-m", "mask.fits", "--hdu", 0)
    assert shlex.join(command_in(result)).startswith(
        "skbgopt batch oiii.fits ./-other.fits -o . --mask mask.fits --hdu 0 "
    )
    search = BackgroundSearchCV(BackgroundSplineRegressor(**QUICK), SPACE, n_trials=3, random_state=0, refit=False)
    search.fit([FRAME.image, FRAME.image[::-1]], sample_weight=[mask, mask])
    assert f"Score of the best setting: {search.best_score_:.5f}, of trial {search.best_index_ + 1}\n" in result.stdout


def test_the_picture(oiii):
    """A page of the study as PNG, for one image and for several."""
    tune("oiii.fits", *RANGES, "--picture", "page.png", "--quiet")
    tune("oiii.fits", "oiii.fits", *RANGES, "--picture", "mean.png", "--quiet")
    for name in ("page.png", "mean.png"):
        pixels = imread(name)
        assert min(pixels.shape[:2]) > 500 and np.ptp(pixels) > 0.9


def test_failed_trials_are_told(oiii):
    """With the first reason."""
    result = run("tune", "oiii.fits", "--trials", 6, "--param", "n_control_points=9,5000", "--smoothing", 1e-3)
    assert re.search(r" [1-5] failed\nThe first that failed: Only \d+ reduced pixels are usable", result.stdout)
    assert result.stderr == ""


# What is searched


def context(*arguments):
    """The context of a call."""
    return command_line.commands["tune"].make_context("tune", ["a.fits", *map(str, arguments)])


@pytest.mark.parametrize(
    ("text", "space", "values"),
    [
        ("quantile=0.9:1", {"quantile": (0.9, 1.0)}, {}),
        ("smoothing=1e-7:10:log", {"smoothing": (1e-7, 10.0, "log")}, {}),
        ("smoothing=auto,1e-3", {"smoothing": ["auto", 1e-3]}, {}),
        ("order=2:4", {"order": (2, 4)}, {}),
        ("order=2,3,4", {"order": [2, 3, 4]}, {}),
        ("degree=none,2", {"degree": [None, 2]}, {}),
        ("mask-objects=yes,no,auto", {"mask_objects": [True, False, "auto"]}, {}),
        ("move_control_points=yes", {}, {"move_control_points": True}),
        ("missing_values=none", {}, {"missing_values": None}),
        ("n_control_points=20", {}, {"n_control_points": 20}),
    ],
)
def test_forms_of_ranges(folder, text, space, values):
    """Values are those of the parameter's own flag, and have their types."""
    found = ranges_and_values(context(), ["n_control_points=1:2"] * text.startswith("n_c") + [text])
    assert repr(found) == repr((space, values))


def test_what_is_held_is_not_searched(oiii):
    """A flag or a single value takes its parameter out of the default space; beside ranges there is nothing else."""
    found = json.loads(tune("oiii.fits", "--param", "quantile=0.97", "--json", n_trials=2).stdout)
    default = as_distributions(None, BackgroundSplineRegressor())
    assert set(found["searched"]) == set(default) - {"n_control_points", "order", "quantile"}
    assert found["parameters"]["quantile"] == 0.97
    found = json.loads(tune("oiii.fits", "--param", "n_control_points=9:12", "--smoothing", 1e-3, "--json").stdout)
    assert found["searched"] == ["n_control_points"]
    held = [word for name in default for word in ("--param", f"{name}={DEFAULTS[name]}")]
    assert "All that would be searched is held at a value" in tune("oiii.fits", *held, code=2).stderr


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"smoothing": 1.2345678901234567e-05, "order": 2, "init": "random", "random_state": 3},
        {"missing_values": None, "mask_objects": True, "move_control_points": True, "degree": 2, "loss_scale": 0.001},
    ],
)
def test_flags_come_back_as_the_parameters(folder, parameters):
    """What is printed as flags is read as the same setting, also where settings files say otherwise."""
    Path("skbgopt.toml").write_text(
        'order = 3\ndegree = 1\nmissing_values = "none"\nmask_objects = false\nmove_control_points = true\n'
    )
    wanted = {**DEFAULTS, **parameters}
    flags = removal_flags(wanted, context())
    read = context(*flags).params
    compared = (DEFAULTS.keys() & read.keys()) - {"random_state"}
    assert {name: read[name] for name in compared} == {name: wanted[name] for name in compared}
    assert ("--seed" in flags) == (wanted["init"] == "random")


# The saved setting


def test_flags_win_over_params_and_params_over_settings(oiii):
    """On either side of --config, for remove and batch; a preset is a flag."""
    Path("skbgopt.toml").write_text("order = 3\nquantile = 0.9\nalpha = 2.0\ndegree = 3\n")
    Path("mine.toml").write_text("quantile = 0.93\n")
    parameters = {"order": 2, "quantile": 0.95, "n_control_points": 9, "smoothing": 1e-3, "degree": None}
    Path("best.json").write_text(json.dumps({"parameters": parameters}))
    expected = {"order": "4", "quantile": "0.95", "alpha": "2.0", "n_control_points": "9", "degree": "None"}
    for k, files in enumerate(["--params best.json --config mine.toml", "--config mine.toml --params best.json"]):
        result = run("remove", "oiii.fits", f"out{k}", *files.split(), "-O", 4)
        assert {name: argument(result, name) for name in expected} == expected
    run("batch", "oiii.fits", "-o", "batch", "--params", "best.json", "-O", 4)
    record = json.loads(Path("batch/skbgopt-report.jsonl").read_text())
    assert {name: str(record["parameters"][name]) for name in expected} == expected
    result = run("remove", "oiii.fits", "preset", "--params", "best.json", "--preset", "bgoptimizer", "-e", 20)
    assert (argument(result, "n_control_points"), argument(result, "degree")) == ("32", "None")


def test_a_saved_model_takes_no_params(oiii):
    """It has its own, and they would be ignored."""
    run("remove", "oiii.fits", *QUICK_FLAGS, "--smoothing", 1e-3, "--save-model", "model.npz")
    Path("best.json").write_text('{"parameters": {"order": 2}}')
    result = run("batch", "oiii.fits", "-o", "b", "--same-model", "model.npz", "--params", "best.json", code=2)
    assert "A saved model has its own params: leave these flags out." in result.stderr


# Storages


def states(storage):
    """States of the trials in a storage, none before there is a study."""
    opened = open_storage(storage)
    return [trial.state.name for study in opened.get_all_studies() for trial in opened.get_all_trials(study._study_id)]


def start(storage, n_trials):
    """Begin the same search in another process."""
    return forked(["tune", "oiii.fits", *QUICK_FLAGS, *RANGES, "--trials", n_trials, "--storage", storage, "--quiet"])


def test_a_killed_search_goes_on_and_two_share_the_rest(oiii):
    """After kill -9 two processes do the trials that are missing, and no more."""
    storage = "search.log"
    killed = start(storage, 100_000)
    while states(storage).count("COMPLETE") < 2:
        assert os.waitpid(killed, os.WNOHANG) == (0, 0)
        time.sleep(0.1)
    os.kill(killed, signal.SIGKILL)
    assert end(killed) == -signal.SIGKILL
    n_trials = len(states(storage)) + 20
    other = start(storage, n_trials)
    result = tune("oiii.fits", *RANGES, "--storage", storage, n_trials=n_trials)
    assert end(other) == 0
    done = [state for state in states(storage) if state != "RUNNING"]
    # At the end each of the two may finish one more.
    assert n_trials <= len(done) <= n_trials + 1
    assert int(re.search(r"^(\d+) trials: ", result.stdout, re.MULTILINE)[1]) in (n_trials, n_trials + 1)


def test_trials_are_counted_in_all(oiii):
    """A second run adds those that are missing; other ranges are another study; a name of one's own is refused."""
    given = ["--storage", "sqlite:///search.db", "--study-name", "mine"]
    assert "\n2 trials: 2 complete" in tune("oiii.fits", *RANGES, *given, n_trials=2).stdout
    assert "\n3 trials: 3 complete" in tune("oiii.fits", *RANGES, *given, n_trials=3).stdout
    result = tune("oiii.fits", "--param", "smoothing=1e-3:1", *given, code=2)
    assert "The study 'mine' in this storage holds another search" in result.stderr


def test_an_interrupted_search_says_how_it_goes_on(oiii, monkeypatch):
    """Exit code 130, nothing written."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(BackgroundSearchCV, "fit", interrupt)
    result = tune("oiii.fits", "--save", "best.json", code=130)
    assert (
        result.stderr == "skbgopt: interrupted, no output was written; with --storage the same command would go on.\n"
    )
    assert "the same command goes on" in tune("oiii.fits", "--storage", "search.log", code=130).stderr
    assert names(".") == ["oiii.fits"]


class Terminal(io.StringIO):
    """A screen."""

    def isatty(self):
        """Say that it is one."""
        return True


@pytest.mark.parametrize(("screen", "wanted"), [(Terminal, True), (Terminal, False), (io.StringIO, True)])
def test_the_progress_line_shows_the_best_score(screen, wanted):
    """On a terminal only, and not with --quiet; trials of earlier runs are counted."""
    study, drawn = optuna.create_study(), screen()
    study.add_trials([create_trial(value=loss) for loss in (0.25, 0.125)])
    study.add_trial(create_trial(state=TrialState.PRUNED, value=0.01))
    with redirect_stderr(drawn), _progress(4, wanted) as show:
        show(study, study.trials[1])
    text = drawn.getvalue()
    assert ("3/4" in text and "best=-0.12500" in text) == (screen is Terminal and wanted)
    assert text == "" or screen is Terminal


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "Missing argument 'INPUTS...'"),
        ("missing.fits", "No such file or directory"),
        ("text.txt", "text.txt is none of them"),
        ("oiii.fits --param", "requires an argument"),
        ("oiii.fits --param quantile", "--param takes NAME=LOW:HIGH"),
        ("oiii.fits --param quantile=", "--param takes NAME=LOW:HIGH"),
        ("oiii.fits --param quantil=0.9:1", "--param knows no parameter 'quantil': did you mean quantile?"),
        ("oiii.fits --param warm_start=yes,no", "--param knows no parameter 'warm_start': it takes parameters of"),
        ("oiii.fits --param quantile=1:0.9", "--param takes LOW < HIGH, got quantile=1:0.9."),
        ("oiii.fits --param quantile=0.9:1:exp", "NAME=LOW:HIGH:log"),
        ("oiii.fits --param smoothing=0:1:log", "0 < LOW < HIGH of a logarithmic range"),
        ("oiii.fits --param smoothing=auto:1", "ranges of numbers, got smoothing=auto:1: give a list"),
        ("oiii.fits --param order=2:2.5", "'2.5' is not a valid integer"),
        ("oiii.fits --param init=grid,square", "'square' is not one of 'random', 'grid'"),
        ("oiii.fits --param quantile=0.9:2", "--quantile must be a float in the range (0.0, 1.0]. Got 2.0 instead."),
        ("oiii.fits --param quantile=2", "--quantile must be a float in the range (0.0, 1.0]. Got 2.0 instead."),
        ("oiii.fits --trials 0", "--trials must be an int in the range [1, inf). Got 0 instead."),
        ("oiii.fits --timeout 0", "--timeout must be a float in the range (0.0, inf)"),
        ("oiii.fits --jobs 0", "must be 1 or more, or -1 for one for each core, got 0."),
        ("oiii.fits --seed many", "'many' is neither a whole number nor 'none'"),
        ("oiii.fits --storage sqlite:///no/a.db", "--storage must be a database that can be written to"),
        ("oiii.fits --storage text.txt", "--storage must be a URL"),
        ("oiii.fits --storage no/search.log", "No such file or directory: no/search.log"),
        ("oiii.fits --save there.json", "there.json exists: pass --overwrite"),
        ("oiii.fits --save oiii.fits --overwrite", "is an input itself"),
        ("oiii.fits --save a.json --picture a.json", "Two outputs have the same path"),
        ("oiii.fits -m small.fits", "A mask must have the image's height and width"),
        (
            "oiii.fits --trials 1 -N 5000 --param n_control_points=5000:6000",
            "All 1 trials of BackgroundSearchCV failed",
        ),
        ("oiii.fits --params text.txt", "The settings text.txt are no JSON"),
        ("oiii.fits --params none.json", "Cannot read the settings none.json: No such file or directory."),
        ("oiii.fits --params there.json", "The settings there.json have no 'parameters'"),
        ("oiii.fits --params unknown.json", "have no parameter 'quantil': did you mean quantile?"),
        ("oiii.fits --params list.json", "The setting quantile in list.json must be a number"),
        (
            "oiii.fits --params wrong.json",
            "quantile in wrong.json must be a float in the range (0.0, 1.0]. Got 3.0 instead.",
        ),
        ("oiii.fits --params deep.json", "The settings deep.json are no JSON"),
    ],
)
def test_wrong_input_is_one_sentence(oiii, arguments, words):
    """Exit code 2, one line on stderr, no traceback, no file."""
    Path("text.txt").write_text("this is no image\n" * 50)
    Path("there.json").write_text("[]")
    Path("unknown.json").write_text('{"parameters": {"quantil": 0.9}}')
    Path("list.json").write_text('{"parameters": {"quantile": [0.9]}}')
    Path("wrong.json").write_text('{"parameters": {"quantile": 3}}')
    Path("deep.json").write_text("[" * 100_000)
    write_image("small.fits", np.ones((10, 10), dtype=np.float32))
    before = {name: Path(name).read_bytes() for name in names(".")}
    result = run("tune", *arguments.split(), code=2)
    assert words in result.stderr
    assert result.stderr.startswith("skbgopt: ") and result.stderr.count("\n") == 1
    assert {name: Path(name).read_bytes() for name in names(".")} == before
