"""Batches that were cut off, or work at the same time: their report, their locks and what they leave."""

import json
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from skbgopt.cli import _batch
from skbgopt.cli._ledger import ledger, read_records
from tests.cli.command import FAST, names, run


def a_record(name, status, key="1"):
    """What the report asks of a record."""
    return {"input": name, "status": status, "hash": key, "outputs": []}


@pytest.mark.parametrize(
    "damage", ['{"input": "b", "st', '{"input": "b"}\n', '{"input": 5}\n', "7\n[]\nnull\n", "[" * 9999]
)
def test_a_report_that_was_damaged_is_mended(folder, damage):
    """The last whole line of each input remains, and what was cut off or is no record goes."""
    path = Path("report.jsonl")
    records = [a_record("a", "failed"), a_record("a", "done")]
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + damage)
    with ledger(path) as add:
        add(a_record("a", "skipped"))
        add(a_record("c", "done", "2"))
    assert [record["status"] for record in read_records(path).values()] == ["done", "done"]
    assert [json.loads(line)["input"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_reports_of_two_batches_at_once_lose_no_line(folder):
    """A batch appends to the file that another one, which ended meanwhile, has put in the old one's place."""
    path = Path("report.jsonl")
    path.write_text(json.dumps(a_record("b", "failed")) + "\n")
    with ledger(path) as first:
        first(a_record("a", "done"))
        with ledger(path) as second:
            second(a_record("b", "done", "2"))
        assert len(path.read_text().splitlines()) == 2
        first(a_record("c", "done", "3"))
    assert [record["status"] for record in read_records(path).values()] == ["done"] * 3


def test_a_report_written_by_many_at_once_is_whole(folder):
    """Batches that begin, append and end at the same time lose none of each other's lines."""

    def batch(number):
        for n in range(20):
            with ledger(Path("report.jsonl")) as add:
                add(a_record(f"{number} {n}", "failed"))
                add(a_record(f"{number} {n}", "done"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(batch, range(4)))
    assert [record["status"] for record in read_records(Path("report.jsonl")).values()] == ["done"] * 80


def test_leftovers_of_a_killed_batch_go_when_it_goes_on(lights):
    """Those of another batch, which may be at work, stay."""
    command = _batch.batch.make_context("batch", ["lights", "-o", "flat", *FAST])
    prefix = _batch._tasks(command, ("lights",), None)[0].job.prefix
    for name in (f"{prefix}abc", ".skbgopt-other"):
        Path("flat", name).mkdir(parents=True)
    run("batch", "lights", "-o", "flat", "--resume", *FAST)
    assert [name for name in names("flat") if name.startswith(".")] == [".skbgopt-other"]


def test_leftovers_of_a_killed_batch_go_when_another_begins(lights):
    """Known by a lock that nobody holds; those of a batch at work, of other machines and of a single image stay."""
    dead, alive, away = (f".skbgopt-{name}123456789ab-" for name in "012")
    left = [f"{dead}abc", f"{alive}abc", f"{away}abc", ".skbgopt-other"]
    for name in left:
        Path("flat", name).mkdir(parents=True)
    for prefix, machine in ((dead, platform.node()), (alive, platform.node()), (away, "elsewhere")):
        Path("flat", f"{prefix}lock").write_text(machine)
    with FileLock(f"flat/{alive}lock"):
        run("batch", "lights", "-o", "flat", *FAST)
        kept = sorted([*left[1:], f"{alive}lock", f"{away}lock"])
        assert [name for name in names("flat") if name.startswith(".")] == kept


def test_two_runs_of_one_batch_do_not_clear_away_each_others_files(lights):
    """The second is refused while the first is at work, another batch is not, and the lock goes with its run."""
    command = _batch.batch.make_context("batch", ["lights", "-o", "flat", *FAST])
    prefix = _batch._tasks(command, ("lights",), None)[0].job.prefix
    with _batch._the_only_run(Path("flat").absolute(), prefix):
        refused = run("batch", "lights", "-o", "flat", *FAST, code=2)
        assert "Another run of this batch is at work in" in refused.stderr and not names("flat")[1:]
        run("batch", "lights/light0.fits", "-o", "flat", *FAST)
    assert "3 done, 1 skipped" in run("batch", "lights", "-o", "flat", "--resume", *FAST).stdout
    assert not [name for name in names("flat") if name.startswith(".")]
