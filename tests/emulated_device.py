"""A device that is not there: tensors of the CPU that remember where they would be."""

import torch
from torch.overrides import TorchFunctionMode


class EmulatedDevice(TorchFunctionMode):
    """Fails where "cuda" or "mps" would: at operands on two devices, numpy of a tensor there, float64 on mps.

    Inside, what goes to the device by ``to`` or ``device=`` is marked, and so is what comes of it. Tensors of no
    dimension may be anywhere, as in torch.
    """

    def __init__(self, name):
        super().__init__()
        self.device = torch.device(name)
        self.n_tensors = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self._attribute(func, args)
        if name == "numpy" and self._is_here(args[0]):
            raise TypeError(f"can't convert {self.device.type} device type tensor to numpy")
        if name == "cpu":
            return self._marked(args[0].clone() if self._is_here(args[0]) else args[0], False)
        if name == "to":
            return self._moved(func, *args, **kwargs)
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = "cpu"
        operands = args[0] if name == "__getitem__" else (args, kwargs)
        if len({self._is_here(tensor) for tensor in tensors_in(operands) if tensor.dim()}) > 1:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        here = any(map(self._is_here, tensors_in(operands)))
        if wanted is not None:
            here = torch.device(wanted).type == self.device.type
        return self._marked(func(*args, **kwargs), here)

    def _attribute(self, func, args):
        name, here = getattr(func.__self__, "__name__", ""), self._is_here(args[0])
        if name == "is_cpu":
            return not here
        if name == "device" and here:
            return self.device
        return self._marked(func(*args), here)

    def _moved(self, func, tensor, *places, **kwargs):
        here, inside = self._is_here(tensor), []
        for place in (*places, *kwargs.values()):
            if isinstance(place, torch.Tensor):
                here = self._is_here(place)
            elif isinstance(place, str | torch.device):
                here, place = torch.device(place).type == self.device.type, "cpu"
            inside.append(place)
        moved = func(tensor, *inside)
        return self._marked(moved.clone() if moved is tensor and here != self._is_here(tensor) else moved, here)

    def _is_here(self, tensor):
        return getattr(tensor, "is_on_emulated_device", False)

    def _marked(self, found, here):
        for tensor in tensors_in(found):
            tensor.is_on_emulated_device = here
            self.n_tensors += here
            if here and self.device.type == "mps" and tensor.dtype == torch.float64:
                raise TypeError("the MPS framework doesn't support float64")
        return found


def tensors_in(found):
    """Each tensor in nested sequences and dictionaries."""
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, list | tuple | dict):
        for part in found.values() if isinstance(found, dict) else found:
            yield from tensors_in(part)
