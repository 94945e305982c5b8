"""How the commands behave: help, settings files, log files, completion, wrong flags."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import numpy as np
import pytest

from skbgopt import write_image
from skbgopt.cli import command_line
from skbgopt.cli._options import DEFAULTS
from skbgopt.smoothing import SMOOTHING_PATH
from tests.cli.command import FAST, argument, names, run

COMMANDS = ["remove", "batch", "apply", "tune", "demo"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_groups_and_exit_codes(name):
    """Every option is below a heading, and the examples begin with the command itself."""
    text = run(name, "--help").stdout
    assert "Examples:\n" in text and f"  skbgopt {name} " in text
    assert "Exit codes: 0 done, 1 failed, 2 wrong input or usage, 130 interrupted." in " ".join(text.split())
    headings = [line for line in text.splitlines() if line.endswith("options:")]
    assert "Other options:" in headings and len(set(headings)) == len(headings)
    for param in command_line.commands[name].params:
        assert isinstance(param, click.Argument) or text.count(f"{param.opts[0]}") >= 1


@pytest.mark.parametrize("name", ["remove", "batch"])
def test_remove_and_batch_share_their_options(name):
    """Each parameter of the estimator is an option of both, with the same flags and default.

    But for the one that needs an image before.
    """
    options = {param.name: param for param in command_line.commands[name].params}
    assert ("warm_start" in options) == (name == "batch")
    for parameter, default in DEFAULTS.items() - {("warm_start", False)}:
        assert options[parameter].default == default
        assert options[parameter].opts == next(
            param.opts for param in command_line.commands["remove"].params if param.name == parameter
        )


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["remove", "a.fits", "--quantil", "0.9"], "--quantile"),
        (["remove", "a.fits", "--tresholdmin", "0.9"], "--threshold-min"),
        (["batch", "a.fits", "-o", "b", "--job", "2"], "--jobs"),
        (["remove", "a.fits", "--quite"], "--quiet"),
        (["remov", "a.fits"], "remove"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(folder, arguments, nearest):
    """Of flags and of commands."""
    result = run(*arguments, code=2)
    assert f"Did you mean '{nearest}'?" in result.stderr and result.stderr.count("\n") == 1


@pytest.fixture
def settings(galaxy, folder, monkeypatch):
    """Settings of the user, of the project, and in a file of their own."""
    home = folder / "home"
    home.mkdir()
    monkeypatch.setattr("click.get_app_dir", lambda name: str(home))
    (home / "skbgopt.toml").write_text("order = 3\nalpha = 2.0\nquantile = 0.9\n")
    Path("skbgopt.toml").write_text('alpha = 3.0\nquantile = 0.95\nmissing_values = "none"\nmask_objects = false\n')
    Path("mine.toml").write_text("quantile = 0.97\nn_control_points = 9\nmove_control_points = true\n")


def test_settings_of_the_nearer_file_win(settings):
    """The user's, then the project's, then --config, then flags."""
    result = run("remove", "galaxy.fits", "--config", "mine.toml", "-N", "16", "--smoothing", "1e-4")
    expected = {
        "order": "3", "alpha": "3.0", "quantile": "0.97", "n_control_points": "16", "missing_values": "None",
        "mask_objects": "False", "move_control_points": "True", "smoothing": "0.0001",
    }  # fmt: skip
    assert {name: argument(result, name) for name in expected} == expected


def test_a_preset_given_as_flag_wins_over_settings(settings):
    """As other flags do."""
    result = run("remove", "galaxy.fits", "--preset", "bgoptimizer", "-e", "20")
    assert (argument(result, "quantile"), argument(result, "level")) == ("0.95", "median")
    assert (argument(result, "order"), argument(result, "missing_values")) == ("2", "None")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "Cannot read the settings mine.toml: No such file or directory."),
        ("quantile = ", "The settings mine.toml are no TOML"),
        ("quantile = " + "[" * 3000, "The settings mine.toml are no TOML"),
        ("quantil = 0.9", "mine.toml have no parameter 'quantil': did you mean quantile?"),
        ("[quantile]\nred = 1", "The setting quantile in mine.toml must be a number"),
        ('format = "fits"', "mine.toml have no parameter 'format': only parameters of BackgroundSplineRegressor may"),
        ("n_control_points = 2.5", "n_control_points in mine.toml: '2.5' is not a valid integer"),
        ("n_control_points = true", "n_control_points in mine.toml: 'yes' is not a valid integer"),
        ('solver = "lm"', "solver in mine.toml: 'lm' is not one of 'mm', 'adam'"),
        ("quantile = 2", "skbgopt: quantile in mine.toml must be"),
        ('device = "abacus"', "use device='auto' or 'cpu'; device is set in mine.toml."),
        ("threshold_max = 0", "--threshold-min must be below threshold_max in mine.toml. Got 0.001 and 0.0"),
    ],
)
def test_wrong_settings_are_one_sentence(galaxy, text, words):
    """Exit code 2, and no report."""
    if text is not None:
        Path("mine.toml").write_text(text)
    result = run("remove", "galaxy.fits", "--config", "mine.toml", code=2)
    assert words in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("degree = 0", "skbgopt: degree in mine.toml must be at least 2 for order 4. Got 0 instead."),
        ("n_control_points = 9999", "or exclude less; n_control_points is set in mine.toml."),
    ],
)
def test_errors_of_the_fit_name_the_file_too(galaxy, text, words):
    """Where it sets what is wrong, and no flag does."""
    Path("mine.toml").write_text(text)
    assert words in run("remove", "galaxy.fits", "--config", "mine.toml", code=2).stderr
    flag = ["--degree", "0"] if "degree" in text else ["-N", "9999"]
    assert "mine.toml" not in run("remove", "galaxy.fits", "--config", "mine.toml", *flag, code=2).stderr


def test_flags_that_win_over_settings_are_named(settings):
    """Only what is set by a file is said to be."""
    result = run("remove", "galaxy.fits", "--config", "mine.toml", "-dq", "3", code=2)
    assert result.stderr.startswith("skbgopt: --quantile must be")
    Path("wrong.json").write_text('{"parameters": {"quantile": 3}}')
    result = run("remove", "galaxy.fits", "--params", "wrong.json", "--config", "mine.toml", code=2)
    assert result.stderr.startswith("skbgopt: quantile in wrong.json must be")


def test_the_log_file_has_all_that_is_said(galaxy):
    """Appended line by line with the time, also what --quiet keeps from the screen, and the error."""
    report = run("remove", "galaxy.fits", *FAST).stdout
    assert run("remove", "galaxy.fits", *FAST, "--overwrite", "--quiet", "--log-file", "log.txt").output == ""
    logged = Path("log.txt").read_text()
    assert all(f"INFO {name}" in logged and name in report for name in ("__/ Arguments", "Min loss:", "[Subtracted"))
    run("remove", "missing.fits", "--log-file", "log.txt", code=2)
    assert Path("log.txt").read_text().startswith(logged)
    assert Path("log.txt").read_text().endswith("ERROR skbgopt: No such file or directory: missing.fits\n")
    run("batch", "galaxy.fits", "-o", "flat", *FAST, "--log-file", "log.txt")
    assert "INFO 1 done, 0 skipped, 0 failed" in Path("log.txt").read_text()


def test_json_is_one_line(galaxy):
    """Of the fields of a batch's report; with it nothing else is on stdout."""
    result = run("remove", "galaxy.fits", *FAST, "--json")
    record = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1 and result.stderr == ""
    run("batch", "galaxy.fits", "-o", "flat", *FAST)
    other = json.loads(Path("flat/skbgopt-report.jsonl").read_text())
    assert list(record) == list(other)
    same = ("status", "parameters", "gradient_removed", "noise", "error")
    assert {name: record[name] for name in same} == {name: other[name] for name in same}
    assert record["outputs"] == ["galaxy_bgSubtracted.fits", "galaxy_bgModel.fits"]


def test_a_log_file_that_cannot_be_written_is_one_sentence(galaxy):
    """Before any work."""
    result = run("remove", "galaxy.fits", "--log-file", "no/log.txt", code=2)
    assert "No such file or directory" in result.stderr and result.stderr.count("\n") == 1
    assert names(".") == ["galaxy.fits"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_flags(folder, shell):
    """The lines of `skbgopt --help` switch it on, and it knows the flags."""
    assert f"_SKBGOPT_COMPLETE={shell}_source skbgopt" in run("--help").stdout
    call = [sys.executable, "-c", "from skbgopt.cli import main; main()"]
    words = {"COMP_WORDS": "skbgopt remove --qua", "COMP_CWORD": "--qua" if shell == "fish" else "2"}
    environment = {**os.environ, "_SKBGOPT_COMPLETE": f"{shell}_complete", **words}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert "--quantile" in done.stdout and "--order" not in done.stdout


def test_help_and_reports_are_not_coloured(galaxy):
    """No escape codes, even where colours are allowed."""
    for arguments in (["--help"], ["remove", "--help"], ["remove", "galaxy.fits", *FAST]):
        result = click.testing.CliRunner().invoke(command_line, arguments, color=True)
        assert result.exit_code == 0 and "\x1b" not in result.output


@pytest.mark.parametrize(
    ("on_terminal", "no_color", "expected"),
    [
        (True, None, "\x1b[31mskbgopt: No such command 'remov'. Did you mean 'remove'? See 'skbgopt --help'.\x1b[0m"),
        (True, "", "\x1b[31mskbgopt"),
        (True, "1", "skbgopt: No such"),
        (False, None, "skbgopt: No such"),
    ],
)
def test_errors_are_red_on_a_terminal(folder, on_terminal, no_color, expected):
    """But not where NO_COLOR is set."""
    reader, writer = pty.openpty() if on_terminal else os.pipe()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    if no_color is not None:
        environment["NO_COLOR"] = no_color
    call = [sys.executable, "-c", "from skbgopt.cli import main; main()", "remov"]
    subprocess.run(call, env=environment, stderr=writer, check=False)
    assert os.read(reader, 1000).decode().startswith(expected)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--learning-rate 0.1", "--learning-rate has no effect here: it counts with --solver adam."),
        ("--solver adam -e 3 --smoothing 1", "--smoothing has no effect here: it counts with --solver mm."),
        (
            "--preset bgoptimizer -e 3 --mask-objects yes",
            "--mask-objects has no effect here: it counts with --solver mm.",
        ),
        ("--pedestal 100", "--pedestal has no effect here: it counts with an integer --output-dtype."),
        ("--seed 1", "--seed has no effect here: it counts with --init random or an integer --output-dtype."),
        ("--preview --save-model a.npz", "--save-model has no effect here: it counts without --preview."),
        ("--seed 1 --init random", None),
        ("--seed 1 --pedestal 100 --output-dtype uint16 --output-scale 60000", None),
        ("-B 4", None),
    ],
)
def test_options_without_effect_are_named(galaxy, options, expected):
    """By one warning for each; old scripts' -B is let pass."""
    preset = [] if "adam" in options or "preset" in options else FAST
    result = run("remove", "galaxy.fits", "--quiet", *preset, *options.split())
    found = [line for line in result.stderr.splitlines() if "has no effect" in line]
    assert found == ([] if expected is None else [f"warning: {expected}"])


def test_settings_without_effect_are_let_pass(settings):
    """Files of settings are for all runs: only flags are meant for this one."""
    assert "effect" not in run("remove", "galaxy.fits", "--preset", "bgoptimizer", "-e", "3", "--quiet").stderr


def test_a_mask_that_leaves_little_is_named(galaxy):
    """With the reasons, and what white means; not where half is left."""
    weights = np.zeros(galaxy.image.shape[:2], dtype=np.float32)
    weights[:, :100] = 1
    write_image("mask.fits", weights)
    result = run("remove", "galaxy.fits", *FAST, "--quiet", "-m", "mask.fits")
    (line,) = (line for line in result.stderr.splitlines() if "is fitted" in line)
    assert line.startswith("warning: Only 43% of the image is fitted: of 38400 pixels excluded: ")
    assert line.endswith("22400 weight 0; a mask is white where the sky is.")
    weights[:, :140] = 1
    write_image("mask.fits", weights, overwrite=True)
    result = run("remove", "galaxy.fits", *FAST, "--quiet", "--overwrite", "-m", "mask.fits")
    assert "is fitted" not in result.stderr


def test_a_fit_that_runs_out_of_steps_is_named(galaxy):
    """In the record of --json as well."""
    result = run("remove", "galaxy.fits", *FAST, "-e", "2", "--json")
    (warning,) = json.loads(result.stdout)["warnings"]
    assert "ended at max_iter=2" in warning and result.stderr == f"warning: {warning}\n"


def test_verbose_prints_each_step_and_smoothing(galaxy):
    """All that the report prints, and more."""
    plain = run("remove", "galaxy.fits", "-N", "16").stdout
    lines = run("remove", "galaxy.fits", "-N", "16", "--overwrite", "--verbose").stdout.splitlines()
    steps = [int(line.split()[1]) for line in lines if line.startswith("Step 0")]
    assert steps == list(range(steps[0], steps[0] + len(steps))) and len(steps) > plain.count("\nStep 0")
    tried = [line for line in lines if line.startswith("Smoothing ") and "score" in line]
    assert len(tried) == len(SMOOTHING_PATH) and "+- 0.0000" in "".join(tried)


def test_a_batch_prints_as_much_as_it_is_asked_to(galaxy, folder):
    """A line of JSON for each image, as in the report; a line for people; or nothing."""
    write_image("constant.fits", np.ones((80, 120), dtype=np.float32))
    images = ["galaxy.fits", "constant.fits"]
    result = run("batch", *images, "-o", "json", *FAST, "--json", code=1)
    assert result.stdout == Path("json/skbgopt-report.jsonl").read_text()
    lines = run("batch", *images, "-o", "verbose", *FAST, "--verbose", code=1).stdout.splitlines()
    assert re.fullmatch(
        rf"{folder}/galaxy.fits: done in [\d.]+ seconds, gradient removed: ([\d.e-]+ ?){{3}}, noise: .*", lines[0]
    )
    assert lines[1:] == ["1 done, 0 skipped, 1 failed; report: verbose/skbgopt-report.jsonl"]
    assert run("batch", *images, "-o", "quiet", *FAST, "--quiet", "--verbose", code=1).stdout == ""
    run("remove", "galaxy.fits", "one", *FAST, "--save-model", "night.npz", "--quiet")
    lines = run("apply", "night.npz", "galaxy.fits", "-o", "applied", "--json").stdout.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["done"]


def test_the_log_of_a_batch_has_a_line_for_each_image(galaxy):
    """Also where the screen has none."""
    run("batch", "galaxy.fits", "-o", "flat", *FAST, "--quiet", "--log-file", "log.txt")
    assert "galaxy.fits: done in" in Path("log.txt").read_text()


@pytest.mark.parametrize("name", ["galaxy.fits", "night.npz"])
def test_the_log_is_not_appended_to_other_files(galaxy, name):
    """An image or a model given by mistake stays as it is."""
    run("remove", "galaxy.fits", "one", *FAST, "--save-model", "night.npz", "--quiet")
    before = Path(name).read_bytes()
    result = run("remove", "galaxy.fits", *FAST, "--log-file", name, code=2)
    assert result.stderr == f"skbgopt: --log-file {name} is no text and is not appended to: give another name.\n"
    assert Path(name).read_bytes() == before


def test_json_holds_the_figures_of_the_fit(galaxy):
    """And its warnings, in one object on stdout."""
    record = json.loads(run("remove", "galaxy.fits", *FAST, "--json", "-tM", "0.25").stdout)
    assert len(record["noise"]) == len(record["level_std"]) == len(record["reduced_chi2"]) == 3
    assert 0 <= record["overshoot_fraction"] <= 1
    assert record["excluded"]["outside the thresholds"] > 0
    assert any("outside the thresholds" in warning for warning in record["warnings"])
