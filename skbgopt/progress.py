"""A progress bar for fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .solvers import Callback


@contextmanager
def fit_progress(verbose: int, max_iter: int) -> Iterator[Callback | None]:
    """Yield the callback that draws a progress bar with the loss, or None where nothing is to be drawn."""
    if not verbose:
        yield None
        return
    with tqdm(total=max_iter, desc="fit", unit="step", leave=False) as bar:

        def advance(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.6f}", refresh=False)
            bar.update(step + 1 - bar.n)

        yield advance
