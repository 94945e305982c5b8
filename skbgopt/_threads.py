"""Which part of the work runs on how many threads.

Bands of an image, and fits that do not wait for each other, are worked on by all cores at once: numpy and torch let go
of the interpreter meanwhile. A single fit runs on one thread: its matrices are small, threads that wait for each other
there cost more than they gain as soon as another process is busy, and its result must not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

# Threads that torch took before this thread was limited to one, 0 where it is not limited; a new thread begins so.
_spare: ContextVar[int] = ContextVar("_spare", default=0)


class _Limit:
    """The limit of the whole process, which the first to ask for it sets and the last to need it lifts."""

    def __init__(self):
        self._lock = Lock()
        self._n_inside = 0
        self._most = 1
        self._limiter: Any = None

    def enter(self, n_threads: int) -> None:
        """Set the limit in a thread in which torch took so many."""
        with self._lock:
            if self._n_inside == 0:
                # torch carries its own linear algebra, which only torch can limit.
                self._limiter, self._most = _controller().limit(limits=1), 1
            self._n_inside += 1
            # A thread that began under the limit knows no other number.
            self._most = max(self._most, n_threads)
            torch.set_num_threads(1)

    def leave(self, n_threads: int) -> None:
        """Let torch take as many in this thread as it took; new threads begin with what the last to leave sets."""
        with self._lock:
            self._n_inside -= 1
            is_last = self._n_inside == 0
            if is_last:
                self._limiter.restore_original_limits()
            torch.set_num_threads(self._most if is_last else n_threads)


_limit = _Limit()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let numpy's and torch's linear algebra take one thread."""
    if _spare.get():
        yield
        return
    before = torch.get_num_threads()
    _limit.enter(before)
    token = _spare.set(before)
    try:
        yield
    finally:
        _spare.reset(token)
        _limit.leave(before)


@cache
def _controller() -> ThreadpoolController:
    # At first use, when the libraries that it is to control have been loaded.
    return ThreadpoolController()


def thread_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of each item, in order, on as many threads as torch takes, or took before `single_threaded`.

    So OMP_NUM_THREADS, torch.set_num_threads and the limits of joblib's workers hold here too.
    """
    items = list(items)
    with single_threaded():
        n_threads = min(_spare.get(), len(items))
        if n_threads < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads, initializer=_begin_limited) as pool:
            return list(pool.map(function, items))


def _begin_limited() -> None:
    """Let a new thread be as limited as the one that waits for it."""
    torch.set_num_threads(1)
    _spare.set(1)
