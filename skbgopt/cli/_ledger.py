"""The report of a batch: a line of JSON for each image, written as each one ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from skbgopt._atomic import replacing

Record = dict[str, Any]
_BEGINNING = b'{"input": '
# What is asked of an old record.
_NEEDED = {"input", "status", "hash", "outputs"}


def read_records(path: Path) -> dict[str, Record]:
    """Return the last record of each input; a line that was cut off, or is no record, counts as not there.

    Raises
    ------
    ValueError
        If the file is no such report.
    """
    _check_is_regular(path)
    content = _content(path)
    if content and not content.startswith(_BEGINNING):
        raise ValueError(f"{path} is no report of skbgopt batch and is not appended to: give another --report.")
    return {record["input"]: record for record in map(_record, content.splitlines()) if record is not None}


def _check_is_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ValueError(f"The report {path} is no regular file: give another --report.")


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("input"), str) and record.keys() >= _NEEDED
    return record if is_record else None


@contextmanager
def ledger(path: Path) -> Iterator[Callable[[Record], None]]:
    """Give a function that adds a record; in the end the file holds one line for each input, the last one."""
    _check_is_regular(path)
    # Of "new/../name" there is nothing to look at until the directory "new" is made.
    path = Path(os.path.realpath(path))
    before = read_records(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # So that a report that cannot be written to is known before the work.
    with _locked(path):
        pass

    def add(record: Record) -> None:
        if _stays(before.get(record["input"]), record):
            return
        with _locked(path) as file:
            # The last line may have been cut off.
            start = b"\n" if _content(path)[-1:] not in (b"", b"\n") else b""
            file.write(start + json.dumps(record).encode() + b"\n")

    try:
        yield add
    finally:
        with _locked(path):
            _rewrite(path)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open a report to append to it, or to replace it, while no other batch does."""
    while True:
        with path.open("ab") as file:
            _lock(file)
            # Who had it before may have replaced it.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


def _lock(file: BinaryIO) -> None:
    """Wait for the lock of a file, which goes when it is closed; some systems have none."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        pass


def _stays(old: Record | None, record: Record) -> bool:
    """Return whether the results of the old record are still there, of which the new one tells less."""
    if old is None or record["status"] == "done" or old["status"] == "failed" or old["hash"] != record["hash"]:
        return False
    # As where a batch is not to overwrite them.
    return record["status"] == "skipped" or all(Path(output).exists() for output in old["outputs"])


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _rewrite(path: Path) -> None:
    records = read_records(path)
    if len(records) == len(_content(path).splitlines()):
        return
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records.values()), encoding="utf-8")
