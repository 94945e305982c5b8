"""Where the study of a search lives: a database, or a journal in a file."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import event, make_url
from sqlalchemy.exc import SQLAlchemyError

# Seconds between signs of life of a running trial, and without one until it is taken for dead and tried again.
_HEARTBEAT = 10
_GRACE = 30
_RETRIES = 2
# sqlite locks its whole file for each writer; others wait so many seconds for it.
_SQLITE_WAIT = 60
# What the lines of Optuna's journals begin with.
_JOURNAL_BEGINS = b'{"op_code":'


def open_storage(storage: str | BaseStorage | None) -> BaseStorage | None:
    """Return the storage that a text names: a URL, or the path of a journal.

    That of a URL notices killed processes and tries their trials again.

    Raises
    ------
    ValueError, OSError
        If there is no such storage.
    """
    if not isinstance(storage, str):
        return storage
    if "://" not in storage:
        return _journal(storage)
    try:
        return _database(storage)
    except SQLAlchemyError:
        # Two processes made the tables at the same time, and one of them found them half there.
        time.sleep(1)
        return _database(storage)


@contextmanager
def explained(storage: str | BaseStorage | None) -> Iterator[None]:
    """Let what a database answers become a sentence."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
        if not isinstance(storage, str):
            raise
        source = error.__cause__ or error
        reason = " ".join(str(getattr(source, "orig", None) or source).split()).rstrip(".")
        raise ValueError(
            f"The 'storage' parameter of BackgroundSearchCV must be a database that can be written to, or the path of "
            f"a journal. Got {_without_password(storage)} instead: {reason}."
        ) from error


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string()
    except (SQLAlchemyError, ValueError):
        return f"{url.partition('://')[0]}://..."


def _journal(path: str) -> JournalStorage:
    file = Path(path)
    if "\0" in path or (file.exists() and not file.is_file()):
        raise _no_journal(path, "which is no regular file")
    if file.exists() and file.stat().st_size:
        with file.open("rb") as content:
            beginning = content.read(len(_JOURNAL_BEGINS))
        if beginning != _JOURNAL_BEGINS:
            raise _no_journal(path, "a file of another kind that is left as it is")
        _cut_torn_line(file)
    try:
        return JournalStorage(JournalFileBackend(path))
    except (ValueError, LookupError, TypeError) as error:
        raise _no_journal(path, "a journal with a line that is damaged: take that line out, or another file") from error


def _no_journal(path: str, came: str) -> ValueError:
    return ValueError(
        "The 'storage' parameter of BackgroundSearchCV must be a URL, such as sqlite:///search.db, or the path of a "
        f"journal. Got {path!r} instead, {came}."
    )


def _cut_torn_line(file: Path) -> None:
    """Cut off a last line that a power cut left half written; Optuna would read no more and append to it."""
    if _whole_length(file) == file.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(file))
    # Whoever writes holds it: then no line is half written because somebody is at it.
    lock.acquire()
    try:
        os.truncate(file, _whole_length(file))
    finally:
        lock.release()


def _whole_length(file: Path) -> int:
    """Return the length of a journal without a last line that is no JSON or has no end."""
    content = file.read_bytes()
    last = content.rfind(b"\n", 0, -1) + 1
    try:
        json.loads(content[last:])
    except ValueError:
        return last
    return len(content) if content.endswith(b"\n") else last


def _database(url: str) -> RDBStorage:
    is_sqlite = url.startswith("sqlite")
    if is_sqlite and make_url(url).database in (None, "", ":memory:"):
        raise ValueError(
            "The 'storage' parameter of BackgroundSearchCV must be a database that outlasts the process, not one in "
            f"memory. Got {url!r} instead: name a file, as in sqlite:///search.db, or leave it out."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": _SQLITE_WAIT}} if is_sqlite else None,
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES),
        )
    if is_sqlite:
        # Else two processes may read that the same trial waits, before either writes that it runs.
        event.listen(storage.engine, "connect", _leave_transactions)
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        storage.engine.dispose()
    return storage


def _leave_transactions(connection, _) -> None:
    """Keep Python's sqlite3 from beginning transactions of its own, which lock too late."""
    connection.isolation_level = None
