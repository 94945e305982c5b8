"""How the commands behave: help, settings files, log files, completion, wrong flags."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import pytest

from skbgopt.cli import command_line
from skbgopt.cli._options import DEFAULTS
from tests.cli.command import FAST, argument, names, run

COMMANDS = ["remove", "batch", "apply", "demo"]


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
    """Each parameter of the estimator is an option of both, with the same flags and default."""
    options = {param.name: param for param in command_line.commands[name].params}
    for parameter, default in DEFAULTS.items():
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
        (["remov", "a.fits"], "remove"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(folder, arguments, nearest):
    """Of flags and of commands."""
    result = run(*arguments, code=2)
    assert f"'{nearest}'" in result.stderr and result.stderr.count("\n") == 1


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
        ("quantil = 0.9", "mine.toml have no parameter 'quantil': did you mean quantile?"),
        ("[quantile]\nred = 1", "The setting quantile in mine.toml must be a number"),
        ("n_control_points = 2.5", "'2.5' is not a valid integer"),
        ("n_control_points = true", "'yes' is not a valid integer"),
        ('solver = "lm"', "'lm' is not one of 'mm', 'adam'"),
        ("quantile = 2", "--quantile must be"),
    ],
)
def test_wrong_settings_are_one_sentence(galaxy, text, words):
    """Exit code 2, and no report."""
    if text is not None:
        Path("mine.toml").write_text(text)
    result = run("remove", "galaxy.fits", "--config", "mine.toml", code=2)
    assert words in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""


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


def test_nothing_is_coloured(galaxy):
    """So that NO_COLOR has nothing to switch off: no escape codes, even where colours are allowed."""
    for arguments in (["--help"], ["remove", "--help"], ["remove", "galaxy.fits", *FAST]):
        result = click.testing.CliRunner().invoke(command_line, arguments, color=True)
        assert result.exit_code == 0 and "\x1b" not in result.output


def test_json_holds_figures_and_warnings(galaxy):
    """One object on stdout: what the fit found, and what it warned of; nothing on stderr."""
    result = run("remove", "galaxy.fits", *FAST, "--json", "-tM", "0.25")
    record = json.loads(result.stdout)
    assert result.stderr == ""
    assert len(record["noise"]) == len(record["level_std"]) == len(record["reduced_chi2"]) == 3
    assert 0 <= record["overshoot_fraction"] <= 1
    assert record["excluded"]["outside the thresholds"] > 0
    assert any("outside the thresholds" in warning for warning in record["warnings"])


def test_warnings_are_lines_on_stderr(galaxy):
    """Without --json each is one line, even with --quiet, and the work is done."""
    result = run("remove", "galaxy.fits", *FAST, "--quiet", "-tM", "0.25")
    assert result.stdout == ""
    assert result.stderr.startswith("warning: ")
    assert len(result.stderr.splitlines()) == 1
    assert Path("galaxy_bgModel.fits").exists()
