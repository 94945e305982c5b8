"""Where the images of a batch are worked on: here, in processes beside, or on a cluster."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker

from joblib import effective_n_jobs

from skbgopt.cli._frames import Record, Task, new_record, process_frame


def run_tasks(tasks: list[Task], n_jobs: int, scheduler: str | None) -> Generator[Record, None, None]:
    """Yield the record of each task, in the order in which they end."""
    # No more processes than images, for each takes seconds to start; a single one would gain nothing.
    n_jobs = min(effective_n_jobs(n_jobs), len(tasks))
    if scheduler is not None:
        yield from _on_cluster(tasks, scheduler)
    elif n_jobs == 1:
        yield from map(process_frame, tasks)
    else:
        yield from _in_processes(tasks, n_jobs)


def _in_processes(tasks: list[Task], n_jobs: int) -> Generator[Record, None, None]:
    from joblib import Parallel, delayed

    waiting = iter([replace(task, parent=os.getpid()) for task in tasks])
    at_work: dict[str, Task] = {}

    def hand_out():
        for task in waiting:
            at_work[str(task.job.input_path)] = task
            yield delayed(process_frame)(task)

    while True:
        # joblib's processes share the cores: each takes as many threads as there are cores for it.
        parallel = Parallel(n_jobs, "loky", return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
        try:
            with ExitStack() as stack:
                with _signals_held_back():
                    records = stack.enter_context(_ended_quietly(parallel(hand_out())))
                for record in records:
                    del at_work[record["input"]]
                    yield record
            return
        except Exception as error:
            # Errors of images do not come here: a process has died, and joblib tells neither which one nor of what.
            if not at_work:
                raise
            yield from (_lost(task, error) for task in at_work.values())
            at_work.clear()


@contextmanager
def _ended_quietly(records: Generator[Record, None, None]) -> Iterator[Generator[Record, None, None]]:
    """Close joblib's generator without its warning of the tasks that are given up: the batch says so itself."""
    try:
        yield records
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*You could benefit from adjusting", category=UserWarning)
            records.close()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold back the signals that end a batch: processes that start meanwhile are never sent them.

    Ctrl-C is for all processes of a terminal. The batch answers it and ends the others, which would complain, each
    with a traceback, even while Python itself starts.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python starts a process of its own before the first of ours, and would let the signals through again after it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_cluster(tasks: list[Task], scheduler: str) -> Generator[Record, None, None]:
    """Yield as `run_tasks`. The cluster gives the tasks of a lost worker to another one."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise ValueError("--scheduler needs dask.distributed: pip install 'skbgopt[dask]'.") from None
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise ValueError(f"--scheduler found no dask.distributed cluster at {scheduler!r}: {error}.") from None
    # The records say what happened, in a sentence instead of a traceback.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with client:
        # joblib's backend for dask would do, were it not that its lists of results wait for ever for a task that
        # the cluster gives up.
        futures = dict(zip(client.map(process_frame, tasks, pure=False), tasks, strict=True))
        for future in as_completed(list(futures)):
            task = futures.pop(future)
            try:
                yield future.result()
            except CancelledError:
                yield new_record(task.job, "the cluster is gone: use --resume with another one")
            except Exception as error:
                yield _lost(task, error)


def _lost(task: Task, error: BaseException) -> Record:
    return new_record(task.job, f"its process ended, killed or out of memory ({type(error).__name__}): use --resume")
