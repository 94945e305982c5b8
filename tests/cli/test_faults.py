"""What goes wrong around the command: kills, signals, full and read-only disks, files that change."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from skbgopt import read_image, write_image
from skbgopt.cli import _run
from tests.cli.command import FAST, forked, names, run
from tests.faults.killing import end, kill_batch, kill_remove, make_inputs, processes_of, spawned

# A frame's results take about 450 kB each.
LITTLE = 200_000


def test_a_batch_killed_at_random_moments_loses_nothing(galaxy, folder):
    """Eight of the kills of `make faults`."""
    # What it imports, its copies need not import again.
    run("batch", "galaxy.fits", "-o", "imports", *FAST)
    kill_batch(folder, 8, forked, n_frames=4)


def test_remove_killed_at_random_moments_leaves_whole_files(folder):
    """Each result is the older or the newer one."""
    kill_remove(folder, 6, forked)


def wait_for(condition, seconds=120):
    """Wait until something holds."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last
        time.sleep(0.001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["remove", "batch"])
def test_signals_end_the_command_politely(galaxy, folder, command, number):
    """In the middle of the work: one sentence, 128 + the signal's number, no file but the report."""
    out = folder / "out"
    out.mkdir()
    arguments = {"remove": ["remove", "galaxy.fits", "out"], "batch": ["batch", "galaxy.fits", "-o", "out"]}[command]
    pid = forked(arguments, stderr="errors")
    wait_for(lambda: list(out.glob(".skbgopt-*")))
    os.killpg(pid, number)
    assert end(pid) == 128 + number
    assert re.fullmatch(r"\n?skbgopt: interrupted.*\n", Path("errors").read_text())
    assert [name for name in names(out) if name != "skbgopt-report.jsonl"] == []
    assert names(folder) == ["errors", "galaxy.fits", "out"]


def test_ctrl_c_ends_a_batch_and_its_processes(folder):
    """It is for all of them: one sentence, none is left, and nothing half done."""
    make_inputs(folder / "lights", 30)
    pid = spawned(["batch", "lights", "-o", "out", "--jobs", "2", "--quiet", *FAST], stderr="errors")
    report = folder / "out" / "skbgopt-report.jsonl"
    wait_for(lambda: report.exists() and report.read_text().count("\n") > 2)
    os.killpg(pid, signal.SIGINT)
    assert end(pid) == 130
    wait_for(lambda: not processes_of(pid))
    said = Path("errors").read_text()
    assert re.fullmatch(r"skbgopt: interrupted after \d+ of 30 images; --resume goes on.\n", said)
    assert len(list((folder / "out").glob("*.fits"))) % 2 == 0
    assert [name for name in names("out") if name.startswith(".")] == []


def test_nohup_is_heeded(galaxy, folder):
    """A signal that is to be ignored is."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        pid = forked(["remove", "galaxy.fits", "out", *FAST])
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(lambda: list(folder.glob("out/.skbgopt-*")))
    os.killpg(pid, signal.SIGHUP)
    assert end(pid) == 0 and len(names("out")) == 2


@contextmanager
def file_size_limit(nbytes):
    """Let files grow to so many bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def mounted(path, options):
    """Mount a file system in memory, where that is allowed."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


# Where a writer does not tell which error it met.
NO_ROOM = "No room for all of the results"
WAYS = [
    ["--format", "fits"],
    ["--format", "fits", "--compress"],
    ["--format", "xisf"],
    ["--format", "tiff"],
    ["--output-dtype", "uint32", "--output-scale", "1e9"],
]


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_where_files_cannot_grow_none_is_left(galaxy, folder, options):
    """One sentence that names the directory, exit code 1, and what was there stays."""
    run("remove", "galaxy.fits", "out", *FAST, *options, "--quiet")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    for arguments in (["out", "--overwrite", "--level", "zero"], ["new"]):
        with file_size_limit(LITTLE):
            result = run("remove", "galaxy.fits", *arguments, *FAST, *options, "--quiet", code=1)
        assert result.stderr in (
            f"skbgopt: {reason}: {Path(arguments[0]).absolute()}\n" for reason in ("File too large", NO_ROOM)
        )
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert names(".") == ["galaxy.fits", "out"]


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_on_a_full_disk_nothing_is_left(galaxy, folder, options):
    """Also not the first of two files."""
    run("remove", "galaxy.fits", "out", *FAST, *options, "--quiet")
    size = sum(path.stat().st_size for path in Path("out").iterdir())
    with mounted(folder / "disk", f"size={size - 8192}"):
        result = run("remove", "galaxy.fits", "disk/out", *FAST, *options, "--quiet", code=1)
        assert result.stderr in (
            f"skbgopt: {reason}: {folder}/disk/out\n" for reason in ("No space left on device", NO_ROOM)
        )
        assert names("disk") == []


def test_a_batch_on_a_full_disk_keeps_what_is_whole(galaxy, folder):
    """The images for which there is no room fail, and are in the report."""
    for n in range(3):
        write_image(f"light{n}.fits", galaxy.image)
    with mounted(folder / "disk", "size=1200k"):
        result = run("batch", "light0.fits", "light1.fits", "-o", "disk", *FAST, code=1)
        assert "1 done, 0 skipped, 1 failed" in result.stdout and "No space left on device" in result.stderr
        assert names("disk") == ["light0_bgModel.fits", "light0_bgSubtracted.fits", "skbgopt-report.jsonl"]
        assert read_image("disk/light0_bgModel.fits")[0].shape == galaxy.image.shape


def test_a_full_disk_under_the_log_is_one_warning(galaxy):
    """The results count more than the log."""
    result = run("remove", "galaxy.fits", "out", *FAST, "--quiet", "--log-file", "/dev/full")
    assert result.stderr == "warning: The log file /dev/full ends here: [Errno 28] No space left on device.\n"
    assert len(names("out")) == 2


@pytest.mark.parametrize("arguments", [["galaxy.fits", "disk"], ["galaxy.fits", "disk/deeper"]])
def test_a_read_only_directory_is_one_sentence(galaxy, folder, arguments):
    """Exit code 2, before the work."""
    with mounted(folder / "disk", "ro"):
        result = run("remove", *arguments, *FAST, code=2)
    assert re.fullmatch(
        r"skbgopt: (Read-only file system|No permission to write to the directory).*disk.*\n", result.stderr
    )
    assert result.stdout == ""


def meddle_while_reading(monkeypatch, meddle, after):
    """Do something to the input before or after its pixels are read."""
    opened = _run.open_input

    def open_input(*arguments):
        source = opened(*arguments)

        def during(read):
            def meddled(*given):
                if not after:
                    meddle(source.path)
                result = read(*given)
                if after:
                    meddle(source.path)
                return result

            return read and meddled

        return _run.replace(source, read=during(source.read), copy_to=during(source.copy_to))

    monkeypatch.setattr(_run, "open_input", open_input)


def grow(path):
    """Add to a file, as a program that still writes it."""
    with open(path, "ab") as file:
        file.write(bytes(2880))


def cut(path):
    """Cut off half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def exchange(path):
    """Put another image in the place of a file."""
    write_image(path, read_image(path)[0][::2], overwrite=True)


@pytest.mark.parametrize("suffix", [".fits", ".xisf", ".tif"])
@pytest.mark.parametrize("after", [False, True], ids=["before the pixels are read", "after"])
@pytest.mark.parametrize("meddle", [grow, cut, exchange, Path.unlink])
def test_a_file_that_changes_while_it_is_read_has_no_results(galaxy, monkeypatch, meddle, after, suffix):
    """One sentence with its name, exit code 2, no file; of what was read, nobody knows what it is."""
    write_image(f"light{suffix}", galaxy.image)
    meddle_while_reading(monkeypatch, meddle, after)
    result = run("remove", f"light{suffix}", "out", *FAST, code=2)
    assert re.fullmatch(rf"skbgopt: .*light{suffix}.*\n", result.stderr)
    assert not Path("out").exists()


def test_a_mask_that_changes_while_a_batch_runs_is_noticed(galaxy, monkeypatch):
    """The images after that fail: they would bear the hash of the mask that is gone."""
    write_image("mask.fits", (galaxy.image[..., 0] > 0).astype("f4"))
    write_image("light1.fits", galaxy.image)
    removed = []

    def remove(job, say):
        removed.append(run_removal(job, say))
        grow(job.mask)
        return removed[-1]

    from skbgopt.cli import _frames

    run_removal = _frames.run_removal
    monkeypatch.setattr(_frames, "run_removal", remove)
    result = run("batch", "galaxy.fits", "light1.fits", "-m", "mask.fits", "-o", "out", *FAST, code=1)
    assert "1 done, 0 skipped, 1 failed" in result.stdout
    assert "mask.fits was changed while it was read" in result.stderr


def test_a_reader_of_a_batch_that_goes_away_ends_it_quietly(galaxy, folder):
    """As in `skbgopt batch ... --verbose | head -1`."""
    for n in range(4):
        write_image(f"light{n}.fits", galaxy.image)
    os.mkfifo("pipe")
    pid = forked(["batch", "light*.fits", "-o", "out", "--verbose", *FAST], stdout="pipe", stderr="errors")
    with open("pipe") as reader:
        reader.readline()
    assert (end(pid), Path("errors").read_text()) == (141, "")
    assert [name for name in names("out") if name.startswith(".")] == []
    assert len(names("out")) % 2 == 1


def test_a_full_disk_under_the_output_is_one_sentence(galaxy, folder):
    """As in `skbgopt ... > /dev/full`: exit code 1, and no file."""
    assert end(forked(["remove", "galaxy.fits", *FAST], stdout="/dev/full", stderr="errors")) == 1
    assert Path("errors").read_text() == "skbgopt: No space left on device: standard output\n"
    assert names(folder) == ["errors", "galaxy.fits"]
    for arguments in (["remove", "--help"], ["--version"]):
        with open("/dev/full", "w") as full:
            call = [sys.executable, "-c", "from skbgopt.cli import main; main()", *arguments]
            done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "skbgopt: No space left on device\n")
