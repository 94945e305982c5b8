"""Work on several threads."""

import threading

import pytest
import torch

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
