"""Who is told of the steps of a fit: a progress bar, and scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from tqdm import tqdm

from .solvers import Callback

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's, which is not there."""

    def with_callbacks(method):  # type: ignore[no-redef]
        """Return the method as it is."""
        return method


@contextmanager
def fit_steps(estimator) -> Iterator[Callback]:
    """Yield the function that the solver calls with each step and its loss; a true answer stops the fit.

    It draws the progress bar that ``verbose`` asks for, and begins and ends a task for each step of which
    callbacks of scikit-learn (``estimator.set_callbacks``, 1.9 and later) are told. Once one of those has asked to
    stop, the stages that are left stop at their first step. Several threads may call it.
    """
    context = estimator._init_callback_context(max_subtasks=None) if hasattr(estimator, "set_callbacks") else None
    if context is not None:
        context.call_on_fit_task_begin(estimator=estimator)
    stopped, lock = False, Lock()
    with tqdm(desc="fit", unit="step", leave=False, disable=not estimator.verbose) as bar:

        def step(_: int, loss: float) -> bool:
            nonlocal stopped
            with lock:
                bar.set_postfix(loss=f"{loss:.6f}", refresh=False)
                bar.update()
                if context is not None:
                    task = context.subcontext(task_name="step")
                    task.call_on_fit_task_begin(estimator=estimator)
                    stopped = bool(task.call_on_fit_task_end(estimator=estimator)) or stopped
                return stopped

        yield step
    if context is not None:
        context.call_on_fit_task_end(estimator=estimator)
