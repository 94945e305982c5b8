"""Work on several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from threadpoolctl import threadpool_info

from skbgopt._threads import single_threaded, thread_map


@pytest.fixture(params=[1, 3])
def n_threads(request):
    """Torch with so many threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_order(n_threads):
    """Whatever the number of threads, and for no item at all."""
    assert thread_map(lambda item: item**2, range(20)) == [item**2 for item in range(20)]
    assert thread_map(str, []) == []


def test_as_many_threads_as_torch_takes(n_threads):
    """Items that wait for each other end: so many are worked on at once."""
    together = threading.Barrier(n_threads, timeout=20)
    assert len(set(thread_map(lambda _: (together.wait(), threading.get_ident())[1], range(n_threads)))) == n_threads


def test_an_error_comes_through(n_threads):
    """The first error of an item is raised, and torch has its threads again."""
    with pytest.raises(ZeroDivisionError):
        thread_map(lambda item: 1 / item, [1, 0, 2])
    assert torch.get_num_threads() == n_threads


def test_one_thread_for_a_while(n_threads):
    """Inside it is one, afterwards as many as before, also after an error."""
    with pytest.raises(KeyError), single_threaded():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlapping_limits_are_lifted_by_the_last(first_out):
    """Whichever of two threads leaves first; a thread that began under the limit of the other is not left with it."""
    before, seen = threadpool_info(), []
    torch_before = torch.get_num_threads()
    torch.set_num_threads(3)
    entered, leave = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def work(k):
        with single_threaded():
            entered[k].set()
            leave[k].wait(20)
            seen.append(torch.get_num_threads())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for k, thread in enumerate(threads):
        thread.start()
        assert entered[k].wait(20)
    for k in (first_out, 1 - first_out):
        leave[k].set()
        threads[k].join()
    try:
        assert seen == [1, 1]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
        assert [part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"] == [
            part["num_threads"] for part in before if part["user_api"] == "blas"
        ]
    finally:
        torch.set_num_threads(torch_before)
