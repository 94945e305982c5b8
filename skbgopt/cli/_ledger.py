"""The report of a batch: a line of JSON for each image, written as each one ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skbgopt._atomic import replacing

Record = dict[str, Any]
_BEGINNING = b'{"input": '


def read_records(path: Path) -> dict[str, Record]:
    """Return the last record of each input; a line that was cut off counts as not there.

    Raises
    ------
    ValueError
        If the file is no such report.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"The report {path} is no regular file: give another --report.")
    content = _content(path)
    if content and not content.startswith(_BEGINNING):
        raise ValueError(f"{path} is no report of skbgopt batch and is not appended to: give another --report.")
    records = {}
    for line in content.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records[record["input"]] = record
    return records


@contextmanager
def ledger(path: Path) -> Iterator[Callable[[Record], None]]:
    """Give a function that adds a record; in the end the file holds one line for each input, the last one."""
    # Of "new/../name" there is nothing to look at until the directory "new" is made.
    path = Path(os.path.realpath(path))
    before = read_records(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_off = _content(path)[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if cut_off else "")

        def add(record: Record) -> None:
            if _stays(before.get(record["input"]), record):
                return
            file.write(json.dumps(record) + "\n")
            file.flush()

        try:
            yield add
        finally:
            file.flush()
            _rewrite(path)


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
    # Else it stays the file to which another batch may be appending.
    if len(records) == len(_content(path).splitlines()):
        return
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records.values()), encoding="utf-8")
