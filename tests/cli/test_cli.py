"""The command `skbgopt`: its options, the published commands, and what it prints."""

import re
import subprocess
import sys
from time import perf_counter

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, __version__, make_sky_image, read_image, write_image
from skbgopt.cli._options import DEFAULTS, PRESETS
from skbgopt.cli._report import number_format, statistics_line
from tests.cli.command import FAST, argument, names, run

LANDSCAPE = "integration_cielo_h_LinearFit_v2.xisf"
LANDSCAPE_MASK = "integration_cielo_h_LinearFit_mask_v2.xisf"
NARROWBAND = "masterLight_BIN-1_3358x2536_EXPOSURE-300.00s_FILTER-{}_Mono_drizzle2x.xisf"


def test_defaults_are_the_estimators():
    """The table in the command's options repeats the estimator's own defaults."""
    parameters = BackgroundSplineRegressor().get_params()
    parameters.pop("verbose")
    assert parameters == DEFAULTS


def test_presets_name_parameters_of_the_estimator():
    """Every preset is a set of parameters that the estimator accepts."""
    for preset in PRESETS.values():
        assert set(preset) <= set(DEFAULTS)
        BackgroundSplineRegressor(**preset)._validate_params()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["remove", "--help"], ["tune", "--help"], ["demo", "-h"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments):
    """Help and version answer without torch, scikit-learn, astropy, matplotlib, scipy or numpy."""
    script = (
        "import sys, skbgopt.cli\n"
        "try:\n    skbgopt.cli.main()\n"
        "finally:\n    print('HEAVY', sorted(set(sys.modules) & "
        "{'torch', 'sklearn', 'astropy', 'matplotlib', 'scipy', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_the_module_is_the_command():
    """``python -m skbgopt`` does what ``skbgopt`` does, where the scripts are not on the path."""
    done = subprocess.run([sys.executable, "-m", "skbgopt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == run("--version").stdout == f"skbgopt, version {__version__}\n"


def test_help_takes_less_than_half_a_second():
    """The fastest of five calls, so that a busy machine does not count."""

    def seconds():
        start = perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from skbgopt.cli import main; main()", "remove", "--help"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


def test_version():
    """--version prints the package's."""
    assert __version__ in run("--version").stdout


@pytest.fixture(scope="module")
def published_frames(tmp_path_factory):
    """Frames like those of the seed page, under its names."""
    folder = tmp_path_factory.mktemp("published")
    landscape = make_sky_image("landscape", shape=(300, 450), random_state=0)
    write_image(folder / LANDSCAPE, landscape.image)
    write_image(folder / LANDSCAPE_MASK, (~landscape.mask).astype(np.uint8) * 255)
    for name, kind in (("Ha", "ha"), ("O3G", "oiii"), ("S2R", "sii")):
        frame = make_sky_image(kind, shape=(300, 450), random_state=0)
        write_image(folder / NARROWBAND.format(name), frame.image)
    return folder


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            f"-dq 0.95 -N 64 -m {LANDSCAPE_MASK} -N 64 -i grid -e 2000 {LANDSCAPE}",
            {"quantile": "0.95", "n_control_points": "64", "max_iter": "2000", "mask": LANDSCAPE_MASK},
        ),
        (
            f"{NARROWBAND.format('Ha')} -c -dq 0.98 -tM 0.6 -e 2000",
            {"quantile": "0.98", "threshold_max": "0.6", "compress": "True"},
        ),
        (
            f"{NARROWBAND.format('O3G')} -c -dq 0.995 -tM 0.8 -e 2000",
            {"quantile": "0.995", "threshold_max": "0.8", "compress": "True"},
        ),
        (
            f"{NARROWBAND.format('S2R')} -c -dq 0.98 -tM 0.6 -e 2000",
            {"quantile": "0.98", "threshold_max": "0.6", "compress": "True"},
        ),
    ],
)
def test_published_commands_run_as_printed(published_frames, monkeypatch, arguments, expected):
    """Each command of the seed page removes a background, XISF in and out."""
    monkeypatch.chdir(published_frames)
    result = run("remove", *arguments.split())
    assert {name: argument(result, name) for name in expected} == expected
    source = next(word for word in arguments.split() if word.endswith(".xisf") and "mask" not in word)
    image, _ = read_image(source)
    corrected, background = (
        read_image(source.replace(".xisf", f"_{role}.xisf"))[0] for role in ("bgSubtracted", "bgModel")
    )
    assert corrected.shape == background.shape == image.shape
    assert np.isfinite(background).all()
    assert np.ptp(background) < np.ptp(image)
    kept = image - corrected - background
    assert np.abs(kept - np.median(kept, axis=(0, 1))).max() < 1e-5 * image.max()


def test_every_published_flag_is_accepted(galaxy):
    """All short flags of the published command, with their values, are reported as given."""
    flags = "-c -dx 4 -df mean -dq 0.98 -N 20 -O 2 -tm 0.002 -tM 0.9 -i random -e 50 -a 4 -B 3 -lr 0.01"
    result = run("remove", *flags.split(), "--seed", 1, "--smoothing", "1e-3", "galaxy.fits", "out")
    expected = {
        "compress": "True", "downscale_factor": "4", "downscale_func": "mean", "quantile": "0.98",
        "n_control_points": "20", "order": "2", "threshold_min": "0.002", "threshold_max": "0.9",
        "init": "random", "max_iter": "50", "alpha": "4.0", "batch_size": "3 (no effect)",
        "learning_rate": "0.01", "random_state": "1", "smoothing": "0.001",
    }  # fmt: skip
    assert {name: argument(result, name) for name in expected} == expected
    assert names("out") == ["galaxy_bgModel.fits", "galaxy_bgSubtracted.fits"]


def test_report_has_the_published_parts(galaxy):
    """The parts of the report come in the published order, with the versions and the files."""
    report = run("remove", "galaxy.fits", *FAST, "--preset", "bgoptimizer", "-e", "200").stdout
    parts = [
        "__/ Arguments \\__________", "__/ Environment \\__________", "__/ Preprocessing \\__________",
        "[Original    ] Min / Median / Max = [", "[Delinearized] Min", "[Downscaled  ] Min",
        "__/ Background modeling \\__________", "Fitting spline...", "Epoch 00100 - loss: ", "Done in ",
        "Min loss: ", "__/ Full-size background model & subtracted image \\__________", "Elapsed ",
        "[Bg (linear) ] Min", "[Subtracted  ] Min", "__/ Saving output files \\__________",
        "Writing galaxy_bgSubtracted.fits... done.", "Writing galaxy_bgModel.fits... done.",
    ]  # fmt: skip
    positions = [report.index(part) for part in parts]
    assert positions == sorted(positions)
    assert re.search(r"^torch +: \d", report, re.MULTILINE)


def test_statistics_line_looks_as_published_and_marks_negative_minima():
    """Four decimals for stretched values, a word for a negative minimum, more digits for faint data."""
    statistics = np.array([[-0.0034, 0.1], [0.25, 0.25], [1.0, 1.0]])
    assert statistics_line("Subtracted", statistics) == (
        "[Subtracted  ] Min / Median / Max = [-0.0034 0.1000] / [0.2500 0.2500] / [1.0000 1.0000]  (negative)"
    )
    assert number_format(statistics) == ".4f"
    assert number_format(1e4 * statistics) == ".1f"
    assert number_format(1e-3 * statistics) == ".7f"
    assert number_format(1e-9 * statistics) == ".5g"
    assert number_format(0 * statistics) == ".5g"


def test_preset_and_explicit_options(galaxy):
    """The preset sets the published defaults; an option given explicitly wins over it, first or last."""
    explicit = ["-N", "24", "--preset", "bgoptimizer", "-e", "20", "--solver", "adam"]
    result = run("remove", "galaxy.fits", *explicit)
    assert argument(result, "n_control_points") == "24"
    assert argument(result, "max_iter") == "20"
    for name in ("order", "quantile", "loss_scale", "init", "smoothing"):
        assert argument(result, name) == str(PRESETS["bgoptimizer"][name])


def test_an_option_given_as_its_default_wins_over_the_preset(galaxy):
    """Also the value that happens to be the command's default is an explicit one."""
    result = run("remove", "galaxy.fits", "--preset", "bgoptimizer", *FAST, "--solver", "mm")
    assert argument(result, "solver") == "mm"


@pytest.mark.parametrize(("word", "value"), [("auto", "auto"), ("yes", "True"), ("no", "False")])
def test_mask_objects_takes_words(galaxy, word, value):
    """Yes and no stand for the estimator's True and False."""
    result = run("remove", "galaxy.fits", *FAST, "--mask-objects", word, "--move-control-points")
    assert argument(result, "mask_objects") == value
    assert argument(result, "move_control_points") == "True"


def test_last_of_a_repeated_flag_counts(galaxy):
    """As in the published commands, where -N is given twice."""
    result = run("remove", "galaxy.fits", "-N", "9", *FAST, "-N", "18")
    assert argument(result, "n_control_points") == "18"


def test_quiet_prints_nothing(galaxy):
    """--quiet leaves errors and warnings only."""
    result = run("remove", "galaxy.fits", "--quiet", *FAST)
    assert result.stdout == result.stderr == ""
