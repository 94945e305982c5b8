"""The commands `skbgopt batch` and `skbgopt apply`."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from skbgopt import BackgroundSplineRegressor, read_image, write_image
from skbgopt.cli import _batch, _frames
from skbgopt.cli._expand import input_files
from skbgopt.smoothing import SMOOTHING_PATH
from tests.cli.command import FAST, REPORT, names, report_of, results_of, run


def test_a_batch_writes_what_remove_writes(lights):
    """The pixels of each result are those of a run of its own, and the report has a line for each image."""
    run("batch", "lights", "-o", "flat", *FAST)
    records = report_of("flat")
    assert list(records) == [f"light{n}.fits" for n in range(4)]
    assert names("flat") == results_of(*(f"light{n}" for n in range(4)))
    run("remove", lights / "light3.fits", "single", *FAST)
    for role in ("bgModel", "bgSubtracted"):
        np.testing.assert_array_equal(*(read_image(f"{at}/light3_{role}.fits")[0] for at in ("flat", "single")))


def test_the_record_says_what_was_done(lights):
    """Outputs, parameters, the range of the model and the noise of the sky, in the image's units."""
    run("batch", "lights/light1.fits", "-o", "flat", *FAST)
    record = report_of("flat")["light1.fits"]
    image, _ = read_image("lights/light1.fits")
    model = BackgroundSplineRegressor(n_control_points=16, smoothing=1e-4).fit(image)
    assert (record["status"], record["error"], record["warnings"]) == ("done", None, [])
    assert record["gradient_removed"] == pytest.approx([np.ptp(model.predict(image))])
    assert record["smoothing"] == 1e-4
    assert record["noise"] == pytest.approx(model.noise_)
    assert record["parameters"]["n_control_points"] == 16 and record["seconds"] > 0
    assert all(Path(output).is_file() for output in record["outputs"]) and len(record["outputs"]) == 2
    header = read_image(record["outputs"][0])[1].header
    assert header["BGKEY"] == record["hash"]


def test_the_record_says_which_smoothing_was_chosen(lights):
    """Of "auto", as remove --json; that of a model that is applied; none of an image that failed."""
    run("batch", "lights/light0.fits", "missing.fits", "-o", "flat", "-N", "16", code=1)
    records = report_of("flat")
    model = BackgroundSplineRegressor(n_control_points=16).fit(read_image("lights/light0.fits")[0])
    assert records["light0.fits"]["smoothing"] == model.smoothing_
    assert records["missing.fits"]["smoothing"] is None
    told = json.loads(run("remove", "lights/light0.fits", "one", "-N", "16", "--json", "--save-model", "z.npz").stdout)
    assert told["smoothing"] == model.smoothing_ and list(told) == list(records["light0.fits"])
    run("apply", "z.npz", "lights/light1.fits", "-o", "applied")
    assert report_of("applied")["light1.fits"]["smoothing"] == model.smoothing_


def test_the_pages_name_all_keys_of_a_record(lights):
    """--help and the page on batches."""
    run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    page = (Path(__file__).parents[2] / "docs/howto/batches.md").read_text()
    for key in report_of("flat")["light0.fits"]:
        assert f"`{key}`" in page and key in run("batch", "--help").stdout


def test_a_failure_does_not_stop_the_others(lights):
    """Exit code 1, the sentence on stderr and in the report, all others are done."""
    (lights / "light1.fits").write_text("no image")
    result = run("batch", "lights", "missing.fits", "-o", "flat", *FAST, code=1)
    records = report_of("flat")
    assert Counter(record["status"] for record in records.values()) == {"done": 3, "failed": 2}
    assert "none of them" in records["light1.fits"]["error"]
    assert result.stderr.splitlines() == [
        f"skbgopt: {record['input']}: {record['error']}" for record in records.values() if record["error"]
    ]
    assert "3 done, 0 skipped, 2 failed; report: flat/" in result.stdout
    assert names("flat") == results_of("light0", "light2", "light3")


def test_resume_skips_what_is_done(lights, pixels):
    """Only what failed or is new is worked on; the report keeps one line for each image."""
    (lights / "light1.fits").write_text("no image")
    run("batch", "lights", "-o", "flat", *FAST, code=1)
    before = report_of("flat")
    write_image("lights/light1.fits", pixels, overwrite=True)
    write_image("lights/light9.fits", pixels)
    result = run("batch", "lights", "-o", "flat", "--resume", *FAST)
    after = report_of("flat")
    assert "2 done, 3 skipped, 0 failed" in result.stdout
    assert all(after[name] == before[name] for name in ("light0.fits", "light2.fits", "light3.fits"))
    assert {record["status"] for record in after.values()} == {"done"} and len(after) == 5


@pytest.mark.parametrize("compress", [[], ["-c"]])
@pytest.mark.parametrize("suffix", [".fits", ".xisf", ".tif"])
def test_resume_skips_results_of_every_format(folder, pixels, suffix, compress):
    """Those of inputs of that format, and those that --format asks for; results of other settings are not skipped."""
    write_image(f"a{suffix}", pixels)
    write_image("b.fits", pixels)
    for name, options in ((f"a{suffix}", []), ("b.fits", ["--format", "tiff" if suffix == ".tif" else suffix[1:]])):
        command = ["batch", name, "-o", "flat", "--resume", *FAST, *options, *compress]
        run(*command)
        files = {path: path.stat().st_mtime_ns for path in Path("flat").glob(f"{name[0]}_*{suffix}")}
        assert "0 done, 1 skipped, 0 failed" in run(*command, "--overwrite").stdout
        assert len(files) == 2 and all(path.stat().st_mtime_ns == time for path, time in files.items())
        assert "1 done" in run(*command, "--overwrite", "--level", "zero").stdout


def test_resume_does_not_take_other_results_for_its_own(lights, pixels):
    """Results of another content or other settings stay and are named, but for --overwrite."""
    run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    for change in (["--alpha", "4"], ["--level", "zero"], ["--pedestal", "1"]):
        result = run("batch", "lights/light0.fits", "-o", "flat", "--resume", *FAST, *change, code=1)
        assert "exists: pass --overwrite" in result.stderr
    write_image("lights/light0.fits", pixels * 2, overwrite=True)
    run("batch", "lights/light0.fits", "-o", "flat", "--resume", *FAST, code=1)
    run("batch", "lights/light0.fits", "-o", "flat", "--resume", "--overwrite", *FAST)
    assert "1 skipped" in run("batch", "lights", "-o", "flat", "--resume", "--overwrite", *FAST).stdout


def test_without_resume_results_are_not_replaced(lights):
    """Also those of the very same batch."""
    run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    before = report_of("flat")
    result = run("batch", "lights/light0.fits", "-o", "flat", *FAST, code=1)
    assert "exists: pass --overwrite" in result.stderr
    # What was done stays said, but not of results that are gone.
    assert report_of("flat") == before
    os.remove("flat/light0_bgModel.fits")
    run("batch", "lights/light0.fits", "-o", "flat", *FAST, code=1)
    assert report_of("flat")["light0.fits"]["status"] == "failed"
    run("batch", "lights/light0.fits", "-o", "flat", "--overwrite", *FAST)


def test_resume_completes_a_half_written_pair(lights):
    """Where the batch was killed between two files, both are there after the next one."""
    run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    before = read_image("flat/light0_bgModel.fits")[0]
    os.remove("flat/light0_bgModel.fits")
    Path("flat", REPORT).unlink()
    run("batch", "lights/light0.fits", "-o", "flat", "--resume", *FAST)
    np.testing.assert_array_equal(read_image("flat/light0_bgModel.fits")[0], before)


def test_a_frame_that_a_lost_worker_has_written_is_done(lights):
    """A task that is given to a second worker finds the results of the first one, and leaves them."""
    run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    first = report_of("flat")["light0.fits"]
    command = _batch.batch.make_context("batch", ["lights/light0.fits", "-o", "flat", *FAST])
    (task,) = _batch._tasks(command, ("lights/light0.fits",), None)
    assert "exists: pass --overwrite" in _frames.process_frame(task)["error"]
    again = _frames.process_frame(_frames.replace(task, older=frozenset()))
    assert (again["status"], again["hash"], again["outputs"]) == ("done", first["hash"], first["outputs"])
    assert again["noise"] is None


def test_same_model_is_fitted_once_and_applied_to_all(lights):
    """--same-model with an image, with the model saved of it, and `skbgopt apply` give the same."""
    run("remove", "lights/light0.fits", "one", *FAST, "--save-model", "night.npz")
    run("batch", "lights", "-o", "image", "--same-model", "lights/light0.fits", *FAST)
    run("batch", "lights", "-o", "saved", "--same-model", "night.npz")
    run("apply", "night.npz", "lights", "-o", "applied")
    model = BackgroundSplineRegressor.load("night.npz")
    image, _ = read_image("lights/light2.fits")
    for place in ("image", "saved", "applied"):
        np.testing.assert_array_equal(read_image(f"{place}/light2_bgModel.fits")[0], model.predict(image))
        np.testing.assert_array_equal(read_image(f"{place}/light2_bgSubtracted.fits")[0], model.transform(image))
        assert report_of(place)["light2.fits"]["parameters"]["n_control_points"] == 16


def test_a_saved_model_may_have_any_name(lights):
    """It is known by what it holds; an image to fit is none."""
    run("remove", "lights/light0.fits", "one", *FAST, "--save-model", "z")
    run("apply", "z", "lights/light1.fits", "-o", "applied")
    run("batch", "lights/light1.fits", "-o", "same", "--same-model", "z")
    expected = BackgroundSplineRegressor.load("z").predict(read_image("lights/light1.fits")[0])
    for place in ("applied", "same"):
        np.testing.assert_array_equal(read_image(f"{place}/light1_bgModel.fits")[0], expected)
    assert "No such file or directory: y" in run("apply", "y", "lights", "-o", "flat", code=2).stderr


def test_a_model_whose_background_is_nowhere_finite_fails_in_a_sentence(lights):
    """Nothing is written, and the next image is tried."""
    run("remove", "lights/light0.fits", "one", *FAST, "--save-model", "night.npz")
    model = BackgroundSplineRegressor.load("night.npz")
    model.coef_ = model.coef_ * 1e300
    model.save("wild.npz")
    result = run("apply", "wild.npz", "lights", "-o", "applied", code=1)
    assert result.stderr.count("The model has no finite background here") == len(report_of("applied")) > 1
    assert names("applied") == [REPORT]


def test_a_model_is_not_applied_to_an_image_without_pixels(lights):
    """It fails with a sentence and leaves no files, the others are done."""
    run("remove", "lights/light0.fits", "one", *FAST, "--save-model", "night.npz")
    write_image("lights/light1.fits", np.full_like(read_image("lights/light1.fits")[0], np.nan), overwrite=True)
    result = run("apply", "night.npz", "lights", "-o", "applied", code=1)
    assert "There is nothing to subtract a background from: of" in result.stderr and "missing" in result.stderr
    assert names("applied") == results_of("light0", "light2", "light3")


def test_a_mask_among_the_frames_is_none_of_them(lights):
    """A directory may hold the mask of its frames."""
    mask = np.ones(read_image("lights/light0.fits")[0].shape[:2], dtype=np.uint8)
    write_image("lights/mask.fits", mask)
    assert "4 done, 0 skipped, 0 failed" in run("batch", "lights", "-m", "lights/mask.fits", "-o", "flat", *FAST).stdout


def test_apply_takes_what_a_model_leaves_open(lights):
    """--level and --correction replace the model's own; a flag of the fit is refused."""
    run("remove", "lights/light0.fits", "one", *FAST, "--save-model", "night.npz")
    run("apply", "night.npz", "lights/light0.fits", "-o", "zero", "--level", "zero")
    image, _ = read_image("lights/light0.fits")
    expected = BackgroundSplineRegressor.load("night.npz").set_params(level="zero").transform(image)
    np.testing.assert_array_equal(read_image("zero/light0_bgSubtracted.fits")[0], expected)
    result = run("batch", "lights", "-o", "flat", "--same-model", "night.npz", "--alpha", "3", code=2)
    assert "A saved model has its own alpha: leave these flags out." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("lights -o flat -dq 2", "--quantile must be"),
        ("lights -o flat -tm 1", "--threshold-min must be below"),
        ("lights -o flat --device abacus", "abacus"),
        ("lights -o flat --jobs 0", "--jobs must be 1 or more"),
        ("lights lights/light0.fit? -o flat.fits", "looks like a file"),
        ("nothing -o flat", "No such file or directory: "),
        ("nothing*.fits -o flat", "'nothing*.fits' has none"),
        (". -o flat", "'.' has none"),
        ("@list.txt -o flat", "No such file or directory: list.txt"),
        ("lights lights/../light0.fits -o flat", "results of the same name"),
        ("lights -o flat --report lights/light0.fits", "is no report of skbgopt batch"),
        ("lights -o flat --same-model nothing.npz", "No such file or directory: nothing.npz"),
        ("lights -o flat --report /dev/full", "/dev/full is no regular file"),
        ("lights -o flat --scheduler nowhere", "--scheduler found no dask.distributed cluster at 'nowhere'"),
        ("lights", "Missing option '-o' / '--output-dir'"),
        ("lights -o flat --resum", "--resume"),
    ],
)
def test_wrong_use_is_one_sentence(lights, arguments, words):
    """Exit code 2 before any image is worked on, and nothing is written."""
    before = names(".")
    result = run("batch", *arguments.split(), code=2)
    assert words in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""
    assert [name for name in names(".") if name != "flat"] == before
    assert not Path("flat").exists() or names("flat") in ([], [REPORT])


@pytest.mark.parametrize("names_of_two", [("a.fits", "a.xisf"), ("b.fits", "b.dat"), ("c.xisf", "c.tif"), ("d", "d.e")])
def test_inputs_whose_results_have_one_name_are_refused(folder, pixels, names_of_two):
    """Also where a name does not tell the format: the content decides on the results' suffix."""
    write_image("image.fits", pixels)
    for name in names_of_two:
        Path(name).write_bytes(Path("image.fits").read_bytes())
    result = run("batch", *names_of_two, "-o", "flat", "--overwrite", *FAST, code=2)
    assert "would have results of the same name" in result.stderr and not Path("flat").exists()


def test_inputs_of_one_stem_may_have_results_of_different_names(folder, pixels):
    """As a FITS and an XISF file, but not with --format."""
    write_image("a.fits", pixels)
    write_image("a.xisf", pixels)
    assert "2 done" in run("batch", "a.fits", "a.xisf", "-o", "flat", *FAST).stdout
    run("batch", "a.fits", "a.xisf", "-o", "one", "--format", "xisf", *FAST, code=2)


def test_a_warm_start_begins_with_the_image_before(lights, monkeypatch):
    """If it had the same shape; one that failed is passed over, and a batch that goes on begins cold."""
    write_image("lights/light1.fits", np.ones((80, 120), dtype=np.float32), overwrite=True)
    write_image("lights/light2.fits", read_image("lights/light2.fits")[0][:70], overwrite=True)
    remove, tried = _frames.run_removal, {}

    def run_removal(job, say):
        removal = remove(job, say)
        tried[job.input_path.name] = len(removal.model.smoothing_path_.smoothing)
        return removal

    monkeypatch.setattr(_frames, "run_removal", run_removal)
    options = ["lights/light0.fits", "lights/light1.fits", "lights/light3.fits", "lights/light2.fits", "-N", "16"]
    run("batch", *options, "-o", "flat", "--warm-start", code=1)
    assert tried["light0.fits"] == tried["light2.fits"] == len(SMOOTHING_PATH) > tried["light3.fits"]
    assert "3 skipped" in run("batch", *options, "-o", "flat", "--warm-start", "--resume", code=1).stdout


def test_a_warm_start_needs_a_choice(lights):
    """With a fixed smoothing it is named as without effect."""
    result = run("batch", "lights/light3.fits", "-o", "one", "--warm-start", *FAST)
    assert "--warm-start has no effect here" in result.stderr


def test_inputs_are_files_patterns_directories_and_lists(lights, folder):
    """Each image once, in the order given; hidden files, other files and earlier results are left out."""
    for name in ("light0_bgModel.fits", "light0_bgSubtracted.fits", ".hidden.fits", "notes.txt"):
        (lights / name).touch()
    Path("list.txt").write_text("# the best\nlights/light1.fits\n\nlights/light[23].fits\n")
    both = [lights / f"light{n}.fits" for n in range(4)]
    assert input_files(["lights"]) == input_files(["**/*.fits"]) == both
    assert input_files(["lights/light0.fits", "@list.txt", "lights"]) == both
    assert input_files(["lights/light3.fits", "lights/light?.fits"]) == [both[3], *both[:3]]
    (lights / "odd[1].fits").touch()
    assert input_files(["lights/odd[1].fits"]) == [lights / "odd[1].fits"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("@list.txt\n", "the list '@list.txt' names itself"),
        ("\n# nothing\n", "the list '@list.txt' names none"),
        ("\ufefflights\r\n", None),
    ],
)
def test_lists_of_any_content(lights, content, words):
    """One that names nothing or itself is refused; the mark at the beginning and other ends of lines are not names."""
    Path("list.txt").write_bytes(content.encode())
    if words is None:
        assert len(input_files(["@list.txt"])) == 4
    else:
        assert words in run("batch", "@list.txt", "-o", "flat", code=2).stderr


def test_warnings_of_an_image_are_in_its_record(lights, monkeypatch):
    """And on stderr, with the image's name."""

    def warn(*_):
        _frames.warnings.warn("Look\nhere.", stacklevel=2)
        raise ValueError("Lost.")

    monkeypatch.setattr(_frames, "run_removal", warn)
    result = run("batch", "lights/light0.fits", "-o", "flat", code=1)
    assert report_of("flat")["light0.fits"]["warnings"] == ["Look here."]
    path = lights / "light0.fits"
    assert result.stderr == f"warning: {path}: Look here.\nskbgopt: {path}: Lost.\n"


def test_interrupted_batch_says_how_to_go_on(lights, monkeypatch):
    """Exit code 130; what is done is in the report, and nothing half done is left."""
    process = _frames.run_removal

    def interrupted(job, say):
        if job.input_path.name == "light2.fits":
            raise KeyboardInterrupt
        return process(job, say)

    monkeypatch.setattr(_frames, "run_removal", interrupted)
    result = run("batch", "lights", "-o", "flat", *FAST, code=130)
    assert result.stderr == "skbgopt: interrupted after 2 of 4 images; --resume goes on.\n"
    assert list(report_of("flat")) == ["light0.fits", "light1.fits"]
    monkeypatch.undo()
    os.chdir(lights.parent)
    assert "2 done, 2 skipped" in run("batch", "lights", "-o", "flat", "--resume", *FAST).stdout
