"""Where tensors live."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def resolve_device(device: str) -> torch.device:
    """Return the torch device of a name; "auto" is cuda, then mps, then cpu, the first that works.

    Raises
    ------
    ValueError
        If a device that was named does not work here.
    """
    if device != "auto":
        try:
            return _working(device)
        except (RuntimeError, AssertionError, ImportError) as error:
            # PyTorch goes on with all devices that there are.
            reason = str(error).splitlines()[0].split(". ")[0]
            raise ValueError(
                f"The device {device!r} does not work here ({reason}): use device='auto' or 'cpu'."
            ) from None
    for name, there in (("cuda", torch.cuda.is_available), ("mps", torch.backends.mps.is_available)):
        if there():
            try:
                return _working(name)
            except (RuntimeError, AssertionError) as error:
                warnings.warn(f"The {name} device fails ({error}); fitting on the CPU.", RuntimeWarning, stacklevel=2)
    return torch.device("cpu")


def on_device(device: str, function: Callable[[torch.device], Result]) -> Result:
    """Return the function of the device of a name; where an automatic one fails, of the CPU, with a warning."""
    found = resolve_device(device)
    try:
        return function(found)
    except RuntimeError as error:
        if device != "auto" or found.type == "cpu":
            raise
        reason = str(error).splitlines()[0]
        warnings.warn(f"The {found.type} device fails ({reason}); fitting on the CPU.", RuntimeWarning, stacklevel=3)
        return function(torch.device("cpu"))


def _working(name: str) -> torch.device:
    torch.ones(1, device=name).sum().item()
    return torch.device(name)
