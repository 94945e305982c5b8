"""The pieces of the benchmark of quality: its measures tell what they say, its frames hold what was added."""

import json

import bench_quality
import numpy as np
import pytest
import quality_frames
from quality_frames import ADDED_SHAPES, FrameSpec, added_gradient, fingerprint, frame_specs
from quality_measures import KnownSky, block_reduce, measure, real_light
from quality_methods import NamedMethod, find_methods
from quality_summary import summarise

NOISE = np.array([2.0, 0.5])


@pytest.fixture
def sky():
    """A sloping sky of two channels with a square object of ten sigma, a star, and excluded columns."""
    truth = np.linspace(10, 20, 192)[:, None, None] * np.ones((192, 256, 2))
    objects = np.zeros((192, 256, 2))
    objects[64:128, 80:160] = 10 * NOISE
    objects[30, 30] = 1e5
    excluded = np.zeros((192, 256), dtype=bool)
    excluded[:, :16] = True
    return KnownSky.of_objects(truth + objects, truth, excluded, NOISE, objects)


def test_the_truth_is_a_perfect_model(sky):
    """All five measures are zero."""
    assert measure(sky.truth, sky) == {"left": 0, "bias": 0, "sky_bias": 0, "eaten": 0, "worst_local": 0}


def test_a_model_that_takes_half_of_the_object_eats_half(sky):
    """Light eaten is 0.5, and minus 0.5 where as much is added; stars count neither as object nor as light."""
    objects = np.where(sky.image - sky.truth > 1e4, 0, sky.image - sky.truth)
    assert measure(sky.truth + 0.5 * objects, sky)["eaten"] == pytest.approx(0.5)
    assert measure(sky.truth - 0.5 * objects, sky)["eaten"] == pytest.approx(-0.5)


def test_the_object_is_found_and_the_star_is_not(sky):
    """The object's pixels are its blocks less rounded corners."""
    where = sky.object_pixels
    assert not where[:64].any() and not where[128:].any() and not where[:, :80].any() and not where[:, 160:].any()
    assert where[64:128, 80:160].mean() >= 0.8


def test_a_constant_offset_is_bias_and_nothing_of_the_gradient(sky):
    """It has the sign of model - truth and the unit of the noise, of the channel where it is largest."""
    found = measure(sky.truth + np.array([0.5, -0.5]), sky)
    assert found["bias"] == pytest.approx(-1.0)
    assert found["left"] == pytest.approx(0, abs=1e-12)
    assert found["worst_local"] == pytest.approx(1.0)


def test_the_bias_of_the_sky_is_that_beside_the_objects(sky):
    """An offset of two sigma under an object and of one beside it."""
    model = sky.truth + NOISE * np.where(sky.object_pixels, 2.0, 1.0)[:, :, None]
    found = measure(model, sky)
    assert found["sky_bias"] == pytest.approx(1.0)
    share = sky.object_pixels.sum() / (~sky.excluded).sum()
    assert found["bias"] == pytest.approx(1.0 + share)


def test_where_all_is_object_no_bias_of_the_sky_is_known(sky):
    """It is None then, as the summary takes it."""
    all_object = KnownSky(sky.image, sky.truth, sky.excluded, sky.noise, np.full_like(sky.light, 1e3))
    assert measure(sky.truth, all_object)["sky_bias"] is None


def test_no_model_leaves_all_of_the_gradient(sky):
    """A flat model leaves 1."""
    assert measure(np.full_like(sky.truth, 15.0), sky)["left"] == pytest.approx(1.0)


def test_an_error_where_the_sky_is_excluded_does_not_count(sky):
    """All measures stay zero."""
    model = sky.truth.copy()
    model[:, :16] += 100
    assert set(measure(model, sky).values()) == {0.0}


def test_the_worst_local_error_is_that_of_one_block(sky):
    """An error of three sigma in one block of 64 pixels is found, in the other channel too."""
    model = sky.truth.copy()
    model[128:, 64:128, 0] -= 3 * NOISE[0]
    assert measure(model, sky)["worst_local"] == pytest.approx(3.0)


def test_a_level_that_is_not_known_is_free(sky):
    """An offset changes nothing, there is no bias, and an eaten object shows nevertheless."""
    level_free = KnownSky(sky.image, sky.truth, sky.excluded, sky.noise, sky.light, level_known=False)
    objects = np.where(sky.image - sky.truth > 1e4, 0, sky.image - sky.truth)
    found = measure(sky.truth + 7.0 + 0.5 * objects, level_free)
    assert found["bias"] is None and found["sky_bias"] is None
    assert found["eaten"] == pytest.approx(0.5)


@pytest.mark.parametrize("spoil", [lambda model: model[:-1], lambda model: np.where(model > 15, np.nan, model)])
def test_a_model_of_another_shape_or_with_nan_is_refused(sky, spoil):
    """It is an error, not a good or bad figure."""
    with pytest.raises(ValueError, match="finite model"):
        measure(spoil(sky.truth), sky)


def test_blocks_of_too_few_pixels_have_no_value():
    """Less than half of a block, at the edge or in the midst, is NaN; half is enough."""
    values = np.arange(10.0)[:, None, None] * np.ones((10, 4, 1))
    values[0:3, :, :] = np.nan
    medians = block_reduce(values, 4, np.nanmedian)[:, 0, 0]
    np.testing.assert_array_equal(medians, [np.nan, 5.5, 8.5])


def test_the_light_of_a_real_object_is_above_the_sky_around_it():
    """The blocks' sky is zero, whatever its level."""
    image = np.random.default_rng(0).normal(800, 1, (160, 160, 1))
    image[64:96, 64:96] += 40
    light = real_light(image, np.ones(1))[:, :, 0]
    assert light[4:6, 4:6] == pytest.approx(40, abs=1)
    assert np.delete(light, [4, 5], axis=0) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("shape", ADDED_SHAPES)
def test_an_added_gradient_has_the_range_asked_for(shape):
    """The mean of the channels spans it, and nothing is taken from the sky."""
    gradient = added_gradient(shape, (60, 90, 3), 5, np.full(3, 30.0))
    assert np.ptp(gradient.mean(axis=2)) == pytest.approx(30, rel=1e-5)
    assert (gradient.min(axis=(0, 1)) == 0).all()
    assert added_gradient(shape, (60, 90), 5, np.full(1, 30.0)).shape == (60, 90)


@pytest.mark.skipif(not quality_frames.DATA.is_dir(), reason="real images are not in ../shared/data")
def test_a_real_sky_is_the_file_plus_the_gradient():
    """What is missing stays as it was and is excluded; elsewhere the difference is the truth."""
    weak, strong = (FrameSpec("ngc6976", 10, shape="linear", strength=s).make() for s in (10.0, 30.0))
    base = weak.image - weak.truth
    assert (weak.image[weak.excluded] == 0).all() and weak.excluded.any()
    used = ~weak.excluded
    np.testing.assert_allclose((strong.image - strong.truth)[used], base[used], atol=1e-6)
    np.testing.assert_allclose(np.ptp(weak.truth), 10 * weak.noise[0], rtol=1e-5)
    assert weak.object_pixels.any() and not weak.level_known


def test_frames_are_the_same_at_every_run_and_differ_by_seed():
    """Their fingerprint says so, which the cache relies on."""
    first, again, other = (fingerprint(FrameSpec("oiii", seed, rows=48).make()) for seed in (1, 1, 2))
    assert first == again != other


def test_a_row_of_a_rival_is_taken_from_the_cache(tmp_path):
    """It runs once for a frame; ours, without a key, runs every time; another frame or version runs anew."""
    calls = []

    def method(name, key):
        def make():
            calls.append(name)
            return lambda image, mask: image

        return NamedMethod(name, make, key)

    spec, other = frame_specs(["oiii"], 48, [1, 2], [])
    for _ in range(2):
        row = bench_quality.run_frame(spec, [method("rival", "1.0"), method("ours", None)], tmp_path)
    assert calls == ["rival", "ours", "ours"]
    assert row["methods"]["rival"]["left"] == row["methods"]["ours"]["left"]
    bench_quality.run_frame(spec, [method("newer", "1.1")], tmp_path)
    bench_quality.run_frame(other, [method("rival", "1.0")], tmp_path)
    assert calls[3:] == ["newer", "rival"]


def test_the_summary_compares_with_the_best_rival_of_each_frame():
    """Ratios are to another rival on each frame; light eaten to that rival's and to the least."""

    def row(default, sep, seiza):
        methods = zip(("default", "sep 64", "seiza rbf"), (default, sep, seiza), strict=True)
        found = {name: {"left": left, "eaten": eaten, "bias": None} for name, (left, eaten) in methods}
        return {"sky": "made", "kind": "ha", "methods": found}

    table = [row((0.1, -0.02), (0.2, 0.3), (0.9, 0.01)), row((0.8, 0.02), (0.9, 0.03), (0.2, 0.1))]
    record = summarise(table)[-1]
    assert record["group"] == "made, all"
    assert record["over_rival"] == pytest.approx((0.5 * 4) ** 0.5)
    assert record["over_rival_worst"] == pytest.approx(4)
    assert record["max_eaten"] == pytest.approx(0.02)
    assert record["max_eaten_rival"] == pytest.approx(0.3) and record["eaten_more_rival"] == 0
    assert record["max_eaten_least"] == pytest.approx(0.03) and record["eaten_more_least"] == 1
    assert record["over_published"] is None and record["max_bias"] is None and record["max_sky_bias"] is None


def test_what_is_missing_is_named(monkeypatch):
    """A rival whose program is not there is no error."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    found, missing = find_methods(["sep 64", "sextractor 64"], {})
    assert [method.name for method in found] == ["sep 64"]
    assert "source-extractor" in missing["sextractor 64"]


def test_a_method_that_fails_is_reported():
    """Its row holds the error and the others go on."""
    spec = FrameSpec("oiii", 1, rows=48)
    record = bench_quality.run_method(NamedMethod("broken", lambda: lambda image, mask: image[:-1]), spec.make())
    assert "no finite model" in record["error"] and "left" not in record


def test_the_command_writes_rows_and_summary(tmp_path, capsys):
    """From options to JSON, with ours under other parameters beside a rival."""
    options = ["--rows", "64", "--seeds", "3", "--kinds", "galaxy", "--methods", "default", "sep 64"]
    path = tmp_path / "quality.json"
    bench_quality.main([*options, "--set", "n_control_points=9", "smoothing=0.01", "--json", str(path)])
    written = json.loads(path.read_text())
    (frame,) = written["frames"]
    assert set(frame["methods"]) == {"default", "sep 64"} and frame["rows"] == 64
    assert written["set"] == {"n_control_points": 9, "smoothing": 0.01}
    ratio = frame["methods"]["default"]["left"] / frame["methods"]["sep 64"]["left"]
    assert written["summary"][-1]["over_rival"] == pytest.approx(ratio)
    assert "galaxy 3" in capsys.readouterr().out
