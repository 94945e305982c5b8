"""Where the images of `skbgopt batch` are worked on: processes beside, and clusters."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import dask
import distributed
import numpy as np
import pytest

from skbgopt import read_image
from skbgopt.cli import _workers
from skbgopt.cli._ledger import read_records
from tests.cli.command import FAST, REPORT, make_lights, names, report_of, results_of, run
from tests.faults.killing import end, processes_of, spawned


def wait_for(condition, seconds=60):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def has_records(number):
    """Whether the report of the batch has so many lines."""
    return Path("flat", REPORT).exists() and len(read_records(Path("flat", REPORT))) >= number


@contextmanager
def meanwhile(action):
    """Do something in another thread, when the batch has some results."""

    def act():
        wait_for(lambda: has_records(2))
        action()

    thread = Thread(target=act)
    thread.start()
    yield
    thread.join()


def worker_of(pid):
    """One of the processes that do the work of a batch."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes())


def whole_pairs():
    """The times of the files of complete pairs of results."""
    times = {path.name: path.stat().st_mtime_ns for path in Path("flat").glob("*.fits")}
    pairs = Counter(name.split("_")[0] for name in times)
    return {name: when for name, when in times.items() if pairs[name.split("_")[0]] == 2}


@pytest.mark.parametrize(("images", "wanted", "begun"), [(4, "9", [4]), (4, "2", [2]), (1, "-1", [])])
def test_no_more_processes_than_images(lights, monkeypatch, images, wanted, begun):
    """One image is worked on by the batch itself."""
    seen = []

    def in_one(tasks, n_jobs):
        seen.append(n_jobs)
        yield from map(_workers.process_frame, tasks)

    monkeypatch.setattr(_workers, "_in_processes", in_one)
    run("batch", *(f"lights/light{n}.fits" for n in range(images)), "-o", "flat", "--jobs", wanted, *FAST)
    assert seen == begun


def test_killed_and_resumed_each_output_is_made_once(folder, pixels):
    """Where kill -9 takes the batch alone, its processes end too; what was there is not touched again."""
    make_lights(folder, pixels, 16)
    batch = spawned(["batch", "lights", "-o", "flat", "--jobs", "2", "--quiet", *FAST])
    wait_for(lambda: has_records(3))
    os.kill(batch, signal.SIGKILL)
    assert end(batch) == -signal.SIGKILL
    wait_for(lambda: not processes_of(batch))
    before = whole_pairs()
    assert 6 <= len(before) < 32
    result = run("batch", "lights", "-o", "flat", "--resume", *FAST)
    assert "0 failed" in result.stdout and "0 skipped" not in result.stdout
    assert before.items() <= whole_pairs().items()
    assert names("flat") == results_of(*(f"light{n}" for n in range(16)))
    assert len(report_of("flat")) == 16


def test_a_warm_start_gives_practically_the_same_backgrounds(folder, pixels):
    """As a cold one within a tenth of the noise, here and in processes beside."""
    make_lights(folder, pixels, 3)
    for out, options in (("cold", []), ("1", ["--warm-start"]), ("2", ["--warm-start", "--jobs", "2"])):
        run("batch", "lights", "-N", "16", "-o", out, *options)
    for jobs in ("1", "2"):
        for name, record in report_of(jobs).items():
            assert record["parameters"]["warm_start"] and record["status"] == "done"
            cold, warm = (read_image(f"{out}/{Path(name).stem}_bgModel.fits")[0] for out in ("cold", jobs))
            assert np.sqrt(np.mean((warm - cold) ** 2)) < 0.1 * record["noise"][0]


def test_the_batch_alone_answers_signals(folder, pixels):
    """Its processes are never sent those of Ctrl-C and of a terminal that closes: they work on, and say nothing."""
    make_lights(folder, pixels, 24)

    def send():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker_of(os.getpid()), number)

    with meanwhile(send):
        result = run("batch", "lights", "-o", "flat", "--jobs", "2", *FAST)
    assert "24 done, 0 skipped, 0 failed" in result.stdout and result.stderr == ""


def test_a_killed_process_does_not_stop_the_others(folder, pixels):
    """Its images fail with a sentence; the rest is done, and --resume makes up for it."""
    make_lights(folder, pixels, 24)
    with meanwhile(lambda: os.kill(worker_of(os.getpid()), signal.SIGKILL)):
        run("batch", "lights", "-o", "flat", "--jobs", "2", *FAST, code=1)
    records = report_of("flat")
    lost = [record for record in records.values() if record["status"] == "failed"]
    # Those at work, and those whose results were on their way: how many depends on how busy the machine is.
    assert len(records) == 24 and 1 <= len(lost) <= 6
    assert all("its process ended" in record["error"] for record in lost)
    assert {record["status"] for record in records.values()} == {"done", "failed"}
    run("batch", "lights", "-o", "flat", "--resume", *FAST)
    assert {record["status"] for record in report_of("flat").values()} <= {"done", "skipped"}
    assert names("flat") == results_of(*(f"light{n}" for n in range(24)))


def test_an_interruption_between_two_records_is_one_sentence(folder, pixels, monkeypatch):
    """Processes beside are at work then, and joblib would warn of what they do not finish."""
    make_lights(folder, pixels, 6)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("skbgopt.cli._batch._tell", interrupted)
    result = run("batch", "lights", "-o", "flat", "--jobs", "2", *FAST, code=130)
    assert result.stderr == "skbgopt: interrupted after 1 of 6 images; --resume goes on.\n"


@pytest.fixture
def quickly_started():
    """Workers of clusters begin as copies of one process, which has imported for all of them."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        distributed.utils.get_mp_context()
        multiprocessing.set_forkserver_preload(["distributed", "skbgopt.cli._frames"])
        yield


@pytest.mark.usefixtures("quickly_started")
def test_a_cluster_that_loses_a_worker_writes_every_frame_once(folder, pixels):
    """--scheduler: one of two workers is killed in the middle, its tasks go to the other, and none fails."""
    make_lights(folder, pixels, 16)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    )
    before = {}
    with cluster, distributed.Client(cluster) as client:
        workers = client.run(os.getpid)

        def kill():
            before.update(whole_pairs())
            os.kill(next(iter(workers.values())), signal.SIGKILL)

        with meanwhile(kill):
            run("batch", "lights", "-o", "flat", "--scheduler", cluster.scheduler_address, *FAST)
        lost = [address for address in workers if address not in client.scheduler_info()["workers"]]
        assert lost == [next(iter(workers))]
    assert 4 <= len(before) < 32, "in the middle"
    assert before.items() <= whole_pairs().items(), "once"
    assert [record["status"] for record in report_of("flat").values()] == ["done"] * 16
    assert names("flat") == results_of(*(f"light{n}" for n in range(16)))


def test_a_cluster_that_goes_away_is_named(folder, pixels):
    """Each image that is left has its line in the report, and the batch ends."""
    make_lights(folder, pixels, 30)
    cluster = distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs=50,
    )
    with cluster, meanwhile(cluster.close):
        result = run("batch", "lights", "-o", "flat", "--scheduler", cluster.scheduler_address, *FAST, code=1)
    records = report_of("flat").values()
    lost = [record for record in records if record["status"] == "failed"]
    assert len(records) == 30 and 1 <= len(lost) <= 28
    assert all(record["error"] == "the cluster is gone: use --resume with another one" for record in lost)
    assert "Traceback" not in result.stderr
