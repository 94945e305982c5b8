"""Adam on everything, control points included: the published way to minimise the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import BackgroundLoss
from .solvers import Callback
from .splines import Spline, energy_sign, kernel, monomials, squared_distances


@dataclass(frozen=True)
class AdamResult:
    """What `minimize_adam` found: the spline with the lowest loss, that loss, the curve and the epochs."""

    spline: Spline
    loss: float
    curve: list[float]
    n_iter: int


# The published schedule: halve the rate after 50 epochs that gain less than 1e-4, not below 1e-4; stop after
# 100 epochs that gain less than 5e-5.
_RATE_PATIENCE, _RATE_GAIN, _LOWEST_RATE = 50, 1e-4, 1e-4
_STOP_PATIENCE = 100


def minimize_adam(
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    start: Spline,
    loss: BackgroundLoss,
    *,
    learning_rate: float = 0.001,
    max_iter: int = 1000,
    tol: float = 5e-5,
    callback: Callback | None = None,
) -> AdamResult:
    """Minimise the loss over control points, weights and tail by Adam, as published.

    Parameters
    ----------
    points : Tensor of shape (n_pixels, d)
    values, weights : Tensor of shape (n_pixels, n_channels)
    start : Spline
        In the dtype and on the device of the points.
    loss : BackgroundLoss
    learning_rate, max_iter, tol : float, int, float
        Adam's rate; epochs at most; the least gain that counts as progress for stopping.
    callback : callable, optional
        Called with the epoch and the loss; a true answer stops.
    """
    parameters = [p.clone().requires_grad_() for p in (start.centres, start.kernel_coef, start.tail_coef)]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=_RATE_PATIENCE, threshold=_RATE_GAIN, threshold_mode="abs",
        min_lr=min(_LOWEST_RATE, learning_rate),
    )  # fmt: skip
    tail = monomials(points, start.degree)
    curve: list[float] = []
    best, best_loss, reference, waited = parameters, float("inf"), float("inf"), 0
    for epoch in range(max_iter):
        optimizer.zero_grad(set_to_none=True)
        centres, kernel_coef, tail_coef = parameters
        # The exact 0 at r = 0 has no gradient through sqrt and log; a distance of 1e-6 of the frame has.
        phi = kernel(squared_distances(points, centres) + 1e-12, start.order)
        value = loss(values, phi @ kernel_coef + tail @ tail_coef, weights)
        current = float(value.detach())
        curve.append(current)
        if current < best_loss:
            best, best_loss = [p.detach().clone() for p in parameters], current
        waited = 0 if current < reference - tol else waited + 1
        reference = min(reference, current) if waited == 0 else reference
        if waited >= _STOP_PATIENCE or (callback is not None and callback(epoch, current)):
            break
        value.backward()
        optimizer.step()
        schedule.step(current)
    centres, kernel_coef, tail_coef = (p.detach() for p in best)
    return AdamResult(Spline(centres, kernel_coef, tail_coef, start.order, start.degree), best_loss, curve, len(curve))


def interpolate(centres: Tensor, values: Tensor, order: int, degree: int, regularisation: float = 0.1) -> Spline:
    """Return the spline through values at the control points, the published start of Adam.

    Solves [[K + s reg I, T], [T', 0]] [w, v] = [values, 0], in the least squares sense where points coincide.
    """
    gram = kernel(squared_distances(centres, centres), order)
    tail = monomials(centres, degree)
    n, k = tail.shape
    ridge = energy_sign(order) * regularisation * torch.diag_embed(torch.ones_like(gram[0]))
    top = torch.cat([gram + ridge, tail], dim=1)
    bottom = torch.cat([tail.T, tail.new_zeros(k, k)], dim=1)
    right = torch.cat([values, values.new_zeros(k, values.shape[1])])
    solution = torch.linalg.pinv(torch.cat([top, bottom])) @ right
    return Spline(centres, solution[:n], solution[n:], order, degree)
