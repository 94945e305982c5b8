"""What the command `skbgopt` reads and writes: images, masks, raw mosaics, previews, the demo."""

import os
import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from astropy.io import fits

from skbgopt import BackgroundSplineRegressor, __version__, read_image, write_image
from skbgopt.cli._expand import input_files
from skbgopt.cli._mosaic import join_mosaic, split_mosaic
from skbgopt.cli._options import DEFAULTS
from skbgopt.cli._outputs import output_suffix, split_suffix
from tests.cli.command import FAST, forked, names, run
from tests.faults.killing import end

OUTPUTS = ["{}_bgModel.{}", "{}_bgSubtracted.{}"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_outputs_keep_shape_and_header(folder, frame, dtype):
    """Both files hold float32 (float64 for float64), the input's cards, and say what was done."""
    scale = 60000 if dtype == np.uint16 else 1
    write_image(folder / "sky.fits", (frame.image * scale).astype(dtype), cards={"OBJECT": "M 31"})
    run("remove", "sky.fits", "new/folder", *FAST)
    assert names("new/folder") == ["sky_bgModel.fits", "sky_bgSubtracted.fits"]
    for role, name in (("model", "bgModel"), ("subtracted", "bgSubtracted")):
        image, metadata = read_image(f"new/folder/sky_{name}.fits")
        header = fits.getheader(f"new/folder/sky_{name}.fits")
        assert image.shape == frame.image.shape
        assert image.dtype == (np.float64 if dtype == np.float64 else np.float32)
        assert metadata.header["OBJECT"] == header["OBJECT"] == "M 31"
        assert (header["BGROLE"], header["BGN"], header["BGORDER"]) == (role, 16, DEFAULTS["order"])
        assert header["BGSMOOTH"] == 1e-4
        assert header["BGSOFT"] == f"skbgopt {__version__}"
        assert "n_control_points=16" in "".join(header["HISTORY"])


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".xisf", ".tif"])
def test_results_of_wide_integers_have_no_stairs(folder, suffix):
    """They are written in float64, in bands and not, in every format."""
    y, x = np.mgrid[:100, :150]
    sky = 1.5e9 + 20.0 * x - 10.0 * y
    write_image(f"sky{suffix}", np.rint(sky + np.random.default_rng(0).normal(0, 20, sky.shape)).astype(np.uint32))
    run("remove", f"sky{suffix}", "-N", "16", "--smoothing", "1e-2")
    model = read_image(f"sky_bgModel{suffix}")[0]
    assert model.dtype == np.float64 and np.std(model - sky) < 2


def test_the_files_are_the_estimators_results(galaxy):
    """The command writes what predict and transform return."""
    run("remove", "galaxy.fits", *FAST)
    model = BackgroundSplineRegressor(n_control_points=16, smoothing=1e-4).fit(galaxy.image)
    np.testing.assert_array_equal(read_image("galaxy_bgModel.fits")[0], model.predict(galaxy.image))
    np.testing.assert_array_equal(read_image("galaxy_bgSubtracted.fits")[0], model.transform(galaxy.image))


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (np.float32, ["-m", "mask.fits"]),
        (np.float64, ["--correction", "divide", "--level", "zero"]),
        (np.uint16, []),
        (np.uint8, []),
        (np.int32, []),
    ],
)
def test_bands_and_memory_give_the_same(folder, frame, dtype, options):
    """Plain FITS, which is worked on in bands, and gzipped FITS, which is not, have equal results."""
    scaled = np.minimum(frame.image * 4000, 255) if np.dtype(dtype).kind in "iu" else frame.image
    weights = np.linspace(0, 1, scaled[:, :, 0].size, dtype=np.float32).reshape(scaled.shape[:2])
    write_image("mask.fits", weights)
    for suffix in (".fits", ".fits.gz"):
        write_image(f"sky{suffix}", scaled.astype(dtype), cards={"DATAMAX": 1.0})
        run("remove", f"sky{suffix}", *FAST, *options)
    for role in ("bgSubtracted", "bgModel"):
        (plain, header), (packed, other) = (read_image(f"sky_{role}{suffix}") for suffix in (".fits", ".fits.gz"))
        np.testing.assert_array_equal(plain, packed)
        assert [card.image for card in header.header.cards if "input" not in str(card.value)] == [
            card.image for card in other.header.cards if "input" not in str(card.value)
        ]


@pytest.mark.parametrize("size", ["2GB", "1.5 GiB", "900000K", "1000000000"])
def test_max_memory_that_suffices_changes_nothing(galaxy, size):
    """The result is that without a limit."""
    run("remove", "galaxy.fits", "free", *FAST)
    run("remove", "galaxy.fits", "limited", *FAST, "--max-memory", size)
    results = [read_image(f"{where}/galaxy_bgModel.fits")[0] for where in ("free", "limited")]
    np.testing.assert_array_equal(*results)


def test_max_memory_is_checked_before_pixels_are_read(folder, monkeypatch):
    """A large image that is not there in full needs more than allowed: less in bands, most to fit every pixel."""
    header = fits.PrimaryHDU(np.broadcast_to(np.float32(0), (3, 10_000, 10_000))).header.tostring().encode()
    with open("large.fits", "wb") as file:
        file.write(header)
        file.truncate(len(header) + 12 * 10**8 + 2880)
    cases = {"1.8 GB": ["1.5GB"], "6.6 GB": ["2GB", "-c"], "48.6 GB": ["2GB", "-dx", "1"]}
    for needed, options in cases.items():
        result = run("remove", "large.fits", "out", "--max-memory", *options, code=2)
        assert f"large.fits needs {needed} of memory, --max-memory allows" in result.stderr
    assert names(".") == ["large.fits"]


@pytest.mark.parametrize(("file_format", "suffix"), [("xisf", "xisf"), ("tiff", "tif"), ("fits", "fits")])
def test_format_of_the_outputs(galaxy, file_format, suffix):
    """--format chooses it."""
    run("remove", "galaxy.fits", "out", "--format", file_format, "-c", *FAST)
    assert names("out") == [pattern.format("galaxy", suffix) for pattern in OUTPUTS]
    assert all(read_image(Path("out") / name)[1].format == file_format for name in names("out"))


def test_names_keep_dots_and_double_suffixes():
    """Only the suffix of an image format is cut off, and it is kept where it fits the format."""
    assert split_suffix(Path("a/300.00s_Ha.xisf")) == ("300.00s_Ha", ".xisf")
    assert split_suffix(Path("raw.FITS.fz")) == ("raw", ".FITS.fz")
    assert split_suffix(Path("raw.dat")) == ("raw", "")
    assert output_suffix(Path("raw.fits.fz"), "fits", None) == ".fits.fz"
    assert output_suffix(Path("raw.fit"), "fits", "xisf") == ".xisf"
    assert output_suffix(Path("raw.dat"), "tiff", None) == ".tif"


def test_saved_model_predicts_the_written_background(galaxy):
    """--save-model writes what BackgroundSplineRegressor.load reads."""
    run("remove", "galaxy.fits", *FAST, "--save-model", "models/sky.npz")
    model = BackgroundSplineRegressor.load("models/sky.npz")
    np.testing.assert_array_equal(model.predict(galaxy.image), read_image("galaxy_bgModel.fits")[0])


def test_overwrite_replaces_the_outputs(galaxy):
    """A second run needs --overwrite."""
    run("remove", "galaxy.fits", *FAST)
    before = read_image("galaxy_bgModel.fits")[0]
    run("remove", "galaxy.fits", *FAST, "--smoothing", "1", "--overwrite")
    assert not np.array_equal(before, read_image("galaxy_bgModel.fits")[0])


def test_max_memory_counts_what_lies_beside_the_pixels(folder, frame):
    """An XISF file of many properties and few pixels."""
    write_image("sky.xisf", frame.image)
    _, metadata = read_image("sky.xisf")
    metadata.xisf.elements.append(Element("Property", {"id": "long", "type": "String"}))
    metadata.xisf.elements[-1].text = "x" * 20_000_000
    write_image("long.xisf", frame.image, metadata)
    run("remove", "sky.xisf", *FAST, "--max-memory", "700MB")
    assert "long.xisf needs 738" in run("remove", "long.xisf", *FAST, "--max-memory", "700MB", code=2).stderr


def test_hdu_by_number_and_name(folder, frame):
    """--hdu chooses among the images of a FITS file."""
    planes = np.moveaxis(frame.image, -1, 0)
    extension = fits.ImageHDU(planes[1], name="GREEN")
    fits.HDUList([fits.PrimaryHDU(planes[0]), extension]).writeto("two.fits")
    run("remove", "two.fits", "number", "--hdu", "1", *FAST)
    run("remove", "two.fits", "name", "--hdu", "GREEN", *FAST)
    results = [read_image(f"{where}/two_bgModel.fits")[0] for where in ("number", "name")]
    np.testing.assert_array_equal(*results)


def test_missing_value_none_uses_zeros(folder):
    """Zeros are pixels like others with --missing-value none, and come back as they are without it."""
    rng = np.random.default_rng(0)
    image = (rng.normal(0, 5, size=(120, 160)) + np.linspace(-20, 20, 160)).round().astype(np.float32)
    write_image("sky.fits", image)
    run("remove", "sky.fits", "kept", *FAST)
    run("remove", "sky.fits", "used", *FAST, "--missing-value", "none", "-tm", "-1")
    assert (read_image("kept/sky_bgSubtracted.fits")[0][image == 0] == 0).all()
    assert (read_image("used/sky_bgSubtracted.fits")[0][image == 0] != 0).any()


@pytest.mark.parametrize(
    "make_mask",
    [
        lambda used: used.astype(np.float32),
        lambda used: used.astype(np.uint8) * 255,
        lambda used: used.astype(np.uint16) * 65535,
        lambda used: np.repeat(used[:, :, None].astype(np.float32), 3, axis=2),
    ],
    ids=["float", "uint8", "uint16", "one for each channel"],
)
def test_white_of_the_mask_is_used(galaxy, make_mask):
    """What a black part of the mask hides does not matter, whatever the type of the mask."""
    used = np.ones(galaxy.image.shape[:2], dtype=bool)
    used[40:90, 60:130] = False
    write_image("mask.xisf", make_mask(used))
    painted = galaxy.image.copy()
    painted[~used] = 0.9
    write_image("painted.fits", painted)
    run("remove", "galaxy.fits", *FAST, "-m", "mask.xisf")
    run("remove", "painted.fits", *FAST, "-m", "mask.xisf")
    models = [read_image(f"{name}_bgModel.fits")[0] for name in ("galaxy", "painted")]
    np.testing.assert_allclose(*models, rtol=1e-6)


def test_bounds_of_an_xisf_mask_are_its_black_and_white(galaxy):
    """A mask of floats from 0 to 65535 that says so is the one from 0 to 1."""
    weights = np.linspace(0, 1, galaxy.image[:, :, 0].size, dtype=np.float32).reshape(galaxy.image.shape[:2])
    write_image("one.xisf", weights)
    write_image("counts.xisf", weights * 65535)
    assert read_image("counts.xisf")[1].xisf.bounds == (0, 65535)
    for name in ("one", "counts"):
        run("remove", "galaxy.fits", name, *FAST, "-m", f"{name}.xisf")
    models = [read_image(f"{where}/galaxy_bgModel.fits")[0] for where in ("one", "counts")]
    np.testing.assert_allclose(*models, rtol=1e-5)


def test_colour_mask_on_a_mono_image_is_averaged(folder, frame):
    """Three channels of one mask are the mask."""
    write_image("mono.fits", frame.image[:, :, 0])
    weights = np.linspace(0, 1, frame.image[:, :, 0].size, dtype=np.float32).reshape(frame.image.shape[:2])
    write_image("grey.xisf", weights)
    write_image("colour.xisf", np.repeat(weights[:, :, None], 3, axis=2))
    run("remove", "mono.fits", "grey", *FAST, "-m", "grey.xisf")
    run("remove", "mono.fits", "colour", *FAST, "-m", "colour.xisf")
    models = [read_image(f"{where}/mono_bgModel.fits")[0] for where in ("grey", "colour")]
    np.testing.assert_array_equal(*models)


def test_mosaic_planes_join_to_the_mosaic():
    """Joining undoes splitting."""
    mosaic = np.arange(24).reshape(4, 6)
    planes = split_mosaic(mosaic)
    assert planes[0, 0].tolist() == [0, 1, 6, 7]
    np.testing.assert_array_equal(join_mosaic(planes), mosaic)


def test_raw_mosaic_is_fitted_by_colour_planes(folder, frame):
    """A step between the colour planes stays out of the noise: each plane has its own background."""
    planes = frame.image[:, :, [0, 1, 1, 2]] * np.array([1, 2, 2, 3], dtype=np.float32)
    mosaic = join_mosaic(planes)
    write_image("raw.fits", mosaic, cards={"BAYERPAT": "RGGB"})
    write_image("mask.fits", np.ones(mosaic.shape, dtype=np.float32))
    result = run("remove", "raw.fits", *FAST, "-m", "mask.fits")
    assert "raw RGGB mosaic" in result.stdout
    background, metadata = read_image("raw_bgModel.fits")
    assert metadata.bayer_pattern == "RGGB"
    expected = BackgroundSplineRegressor(n_control_points=16, smoothing=1e-4).fit(planes).predict(planes)
    np.testing.assert_allclose(background, join_mosaic(expected), rtol=1e-6)


def test_unknown_bayer_patterns_are_not_passed_over(folder, frame):
    """What looks like a mosaic of an unknown kind is fitted as one channel, and a warning says so."""
    write_image("raw.fits", frame.image[:, :, 0], cards={"BAYERPAT": "FOVEON"})
    assert "BAYERPAT is 'FOVEON', which names no colour" in run("remove", "raw.fits", *FAST).stderr


def test_a_change_of_format_names_what_is_lost_once(folder, frame):
    """Not once for each of the two results."""
    write_image("sky.xisf", frame.image)
    _, metadata = read_image("sky.xisf")
    metadata.xisf.attributes["imageType"] = "Light"
    write_image("sky.xisf", frame.image, metadata, overwrite=True)
    result = run("remove", "sky.xisf", *FAST, "--format", "fits")
    assert result.stderr == "warning: FITS cannot hold the XISF properties imageType; they are left out.\n"
    assert names(".") == ["sky.xisf", "sky_bgModel.fits", "sky_bgSubtracted.fits"]


def test_links_are_followed(galaxy, folder):
    """A result that is a link replaces the file behind it, whether there is one or not; the link stays."""
    Path("disk").mkdir()
    Path("disk/model.fits").write_text("older")
    Path("galaxy_bgModel.fits").symlink_to("disk/model.fits")
    Path("galaxy_bgSubtracted.fits").symlink_to("disk/new.fits")
    assert "exists: pass --overwrite" in run("remove", "galaxy.fits", *FAST, code=2).stderr
    run("remove", "galaxy.fits", *FAST, "--overwrite")
    assert names("disk") == ["model.fits", "new.fits"]
    assert Path("galaxy_bgModel.fits").is_symlink() and Path("galaxy_bgSubtracted.fits").is_symlink()
    assert read_image("disk/model.fits")[0].shape == read_image("disk/new.fits")[0].shape == galaxy.image.shape


def test_patterns_do_not_run_in_circles(galaxy, folder):
    """Links to directories above would give forty levels of two branches each."""
    Path("a/.hidden").mkdir(parents=True)
    for name in ("x", "y"):
        Path(f"a/{name}").symlink_to(folder / "a")
    for name in ("a/one.fits", "a/.two.fits", "a/.hidden/three.fits", "a/one_bgModel.fits"):
        Path(name).touch()
    assert input_files(["**/*.fits"]) == input_files(["**"]) == [folder / "a/one.fits", folder / "galaxy.fits"]
    assert input_files([f"{folder}/**/o*.fits"]) == input_files(["a/../[a]/*"]) == [folder / "a/one.fits"]


def test_names_may_hold_any_bytes(galaxy, folder):
    """Where the terminal has no character for a byte, its code is printed, and the work goes on."""
    name = "odd \udcff \U0001f600.fits"
    os.rename("galaxy.fits", name)
    Path("list.txt").write_bytes(os.fsencode(name))
    streams = {"stdout": "said", "stderr": "errors"}
    assert end(forked(["remove", name, "one", *FAST, "--log-file", "log"], **streams)) == 0
    assert end(forked(["batch", "@list.txt", "-o", "many", *FAST, "--verbose"], **streams)) == 0
    assert "odd \\udcff \U0001f600" in Path("said").read_text(encoding="utf-8")
    assert Path("log").read_text(encoding="utf-8").count("odd \\udcff \U0001f600") == 3
    assert Path("errors").read_text() == ""
    results = [f"odd \udcff \U0001f600_{role}.fits" for role in ("bgModel", "bgSubtracted")]
    assert (names("one"), names("many")) == (results, [*results, "skbgopt-report.jsonl"])


def test_preview_writes_a_picture_and_fits_nothing(galaxy, monkeypatch):
    """-p stops after the preprocessing part of the report."""
    monkeypatch.setattr(BackgroundSplineRegressor, "fit_prepared", None)
    result = run("remove", "galaxy.fits", "out", "-p", "-tM", "0.8")
    assert names("out") == ["galaxy_preview.png"]
    assert Path("out/galaxy_preview.png").read_bytes().startswith(b"\x89PNG")
    assert "Preprocessing" in result.stdout and "Background modeling" not in result.stdout


def test_demo_on_a_made_frame(folder, monkeypatch):
    """The demo measures itself against the truth and draws the result."""
    monkeypatch.setattr("skbgopt.cli._demo._SHAPE", (160, 240))
    result = run("demo")
    assert names("demo") == sorted(
        ["frame.fits", "frame.xisf", "frame_before_model_after.png"]
        + [pattern.format("frame", suffix) for pattern in OUTPUTS for suffix in ("fits", "xisf")]
    )
    left = [float(share) for share in re.findall(r"([\d.]+) % of the gradient is left", result.stdout)]
    assert len(left) == 2 and max(left) < 60
    assert "constant background leaves 100 %" in result.stdout


def test_demo_on_the_users_image(galaxy):
    """`skbgopt demo IMAGE` works on a user's file, and again only if that is allowed."""
    for again in ([], ["--overwrite"]):
        assert run("demo", "galaxy.fits", "--output-dir", "pictures", "--quiet", *again).output == ""
    assert names("pictures") == sorted(
        ["galaxy_before_model_after.png"] + [pattern.format("galaxy", "fits") for pattern in OUTPUTS]
    )


@pytest.mark.parametrize("name", ["frame.xisf", "frame_before_model_after.png", "frame_bgModel.fits"])
def test_demo_replaces_no_file_of_the_users(folder, monkeypatch, name):
    """What has the name of one of its own is named, and stays."""
    monkeypatch.setattr("skbgopt.cli._demo._SHAPE", (160, 240))
    Path(name).write_text("mine")
    result = run("demo", "--output-dir", ".", "--quiet", code=2)
    assert result.stderr == f"skbgopt: The output {name} exists: pass --overwrite to replace it.\n"
    assert Path(name).read_text() == "mine"


@pytest.mark.parametrize("suffix", [".fits", ".xisf", ".tif"])
def test_integers_on_request(folder, frame, suffix):
    """The mean of dithered integers is the float, missing pixels stay 0, and what is clipped is counted."""
    options = ["--output-dtype", "uint16", "--output-scale", "60000", "--pedestal", "100"]
    write_image(f"sky{suffix}", frame.image)
    run("remove", f"sky{suffix}", "floats", *FAST)
    result = run("remove", f"sky{suffix}", "integers", *FAST, *options)
    again = run("remove", f"sky{suffix}", "again", *FAST, *options)
    assert "of 115200 values clipped" in result.stdout and "of 115200 values clipped" in again.stdout
    name = f"sky_bgSubtracted{suffix}"
    (floats, _), (integers, _), (same, _) = (read_image(f"{place}/{name}") for place in ("floats", "integers", "again"))
    assert integers.dtype == np.uint16
    np.testing.assert_array_equal(integers, same)
    assert ((integers == 0) == (floats == 0)).all()
    error = (integers - (floats * 60000.0 + 100))[(floats != 0) & (floats < 1)]
    assert np.abs(error).max() <= 1.5 and abs(error.mean()) < 0.01


def test_clipped_integers_are_counted(folder, frame):
    """Without a scale all pixels of a faint image round to few values; those above 255 are clipped."""
    write_image("sky.fits", frame.image * np.float32(1e4))
    result = run("remove", "sky.fits", *FAST, "--output-dtype", "uint8")
    n_clipped = int(re.search(r"(\d+) of 115200 values clipped", result.stdout)[1])
    run("remove", "sky.fits", "floats", *FAST)
    floats = read_image("floats/sky_bgSubtracted.fits")[0]
    assert n_clipped == ((floats >= 255.5) | (floats < -0.5)).sum() > 0
    assert "warning" not in result.stderr


def test_steps_that_hide_the_noise_are_a_warning(galaxy):
    """As those of an image from 0 to 1 without a scale; with one nothing is said."""
    words = "steps of uint16, and faint light is lost: choose a larger --output-scale"
    assert words in run("remove", "galaxy.fits", "lost", *FAST, "--output-dtype", "uint16").stderr
    scaled = run("remove", "galaxy.fits", "kept", *FAST, "--output-dtype", "uint16", "--output-scale", 65535)
    assert words not in scaled.stderr


def test_the_quietest_channel_is_the_first_whose_noise_is_lost(folder, frame):
    """Also where the steps do no harm to the others."""
    write_image("sky.fits", frame.image * np.float32([5e4, 5e4, 5e2]))
    result = run("remove", "sky.fits", *FAST, "--output-dtype", "uint16")
    assert "steps of uint16, and faint light is lost" in result.stderr


def test_much_that_is_clipped_is_a_warning(galaxy):
    """Also where the report is not printed."""
    flags = ["--output-dtype", "uint8", "--output-scale", 1e9]
    result = run("remove", "galaxy.fits", *FAST, *flags, "--quiet")
    assert "100% of the values of galaxy_bgModel.fits are clipped: choose another --output-scale" in result.stderr
