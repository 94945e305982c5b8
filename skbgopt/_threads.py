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
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

# Threads that torch took before it was limited to one; a new thread begins with none.
_spare: ContextVar[int] = ContextVar("_spare", default=1)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let numpy's and torch's linear algebra take one thread."""
    before = torch.get_num_threads()
    # torch carries its own linear algebra, which only torch can limit.
    torch.set_num_threads(1)
    token = _spare.set(max(before, _spare.get()))
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        _spare.reset(token)
        torch.set_num_threads(before)


@cache
def _controller() -> ThreadpoolController:
    # At first use, when the libraries that it is to control have been loaded.
    return ThreadpoolController()


def thread_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of each item, in order, on as many threads as torch takes, or took before `single_threaded`.

    So OMP_NUM_THREADS, torch.set_num_threads and the limits of joblib's workers hold here too.
    """
    items = list(items)
    n_threads = min(max(torch.get_num_threads(), _spare.get()), len(items))
    with single_threaded():
        if n_threads < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(function, items))
