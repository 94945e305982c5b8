"""The loss of a background model: robust, asymmetric, redescending [1]_.

Per pixel, with residuals r_c = value - model of the C channels,

    rho = mean_c |r_c| + kappa var_c(r) + alpha (mean_c (|r_c| - r_c) + B)
    loss = weighted mean over pixels of log(eps + rho)

E = mean |r| is the error, V = var_c the colour imbalance, O = mean(|r| - r) the overshoot (the model above the
pixel, which nature forbids: objects only add light) and B = mean over the image of (|f| - f) the model below the
floor. E + alpha O has slope 1 for pixels above the model and 1 + 2 alpha for pixels below it; the logarithm
lets the pull of a pixel fall as 1 / |r|, so that stars and nebulae lose their say.

As a lower envelope the overshoot stands beside the logarithm,

    loss = weighted mean over pixels of log(eps + E + kappa V) + alpha O / eps,

with the same slopes near the model; but pixels below keep their say, however far below they are.

References
----------
.. [1] S. Diaz, "bgoptimizer", 2021: the loss and its terms. The majoriser is ours, by the standard rules of
   D. R. Hunter and K. Lange, "A tutorial on MM algorithms", The American Statistician 58 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Shares(NamedTuple):
    """Weights as the loss takes them: each channel's share of its pixel, each pixel's share of the image."""

    share: Tensor
    total: Tensor

    @classmethod
    def of(cls, weights: Tensor | Shares) -> Shares:
        """Return the shares of weights (n_pixels, n_channels), or what already are shares."""
        if isinstance(weights, Shares):
            return weights
        total = weights.sum(dim=1)
        share = weights / total.clamp_min(torch.finfo(weights.dtype).tiny)[:, None]
        return cls(share, total / total.sum())


@dataclass(frozen=True)
class Quadratic:
    """The majoriser, sum over pixels and channels of curvature / 2 * d**2 - downhill * d + const for a change d.

    Attributes
    ----------
    curvature, downhill : Tensor of shape (n_pixels, n_channels)
        ``downhill`` is minus the gradient of the loss.
    """

    curvature: Tensor
    downhill: Tensor


@dataclass(frozen=True)
class BackgroundLoss:
    """The loss, its value and its quadratic majoriser.

    Parameters
    ----------
    eps : float
        Residuals well below it cost in proportion, those above it ever less: the scale of what counts as sky,
        in the units of the values.
    alpha : float
        Price of overshoot against undershoot; the model settles at the 1 / (2 + 2 alpha) quantile of the sky.
    colour : float
        kappa, the price of residuals that differ between channels.
    floor : bool
        Whether a model below 0 costs alpha B. Only for values that cannot be negative.
    rounding : float
        |r| is rounded off to a parabola within this share of eps. Each pixel is a cusp of the loss; wider ones leave
        the solver fewer places to rest at by chance, and cost at most half the share of eps.
    envelope : bool
        Whether the overshoot stands beside the logarithm.
    """

    eps: float
    alpha: float = 5.0
    colour: float = 1.0
    floor: bool = True
    rounding: float = 0.01
    envelope: bool = False

    def with_eps(self, eps: float) -> BackgroundLoss:
        """Return the same loss at another scale (used for annealing)."""
        return replace(self, eps=eps)

    def __call__(self, values: Tensor, model: Tensor, weights: Tensor | Shares) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        values, model : Tensor of shape (n_pixels, n_channels)
        weights : Tensor of shape (n_pixels, n_channels), or Shares
            Not negative. Their mean over channels weighs the pixel, their ratio the channels within it.
        """
        shares = Shares.of(weights)
        return (shares.total * self.of_pixels(values, model, shares)).sum()

    def of_pixels(self, values: Tensor, model: Tensor, weights: Tensor | Shares) -> Tensor:
        """Return the loss of each pixel, shape (n_pixels,)."""
        share, total = Shares.of(weights)
        _, spread, overshoot = self._parts(values - model, model, share, total)
        return self._of_parts(spread, overshoot)[:, 0]

    def majorise(self, values: Tensor, model: Tensor, weights: Tensor | Shares) -> tuple[Tensor, Quadratic]:
        """Return the loss at the model and the quadratic in f that lies above the loss and touches it there.

        By |r| <= r**2 / (2 |r_k|) + |r_k| / 2, by the tangent of the logarithm, and by the tangent of minus
        the squared mean residual in the colour term. (Where |r| is rounded off, the parabola itself.)
        """
        share, total = Shares.of(weights)
        residual = values - model
        mean, spread, overshoot = self._parts(residual, model, share, total)
        inverse = total[:, None] / spread
        pull = inverse * share
        price = self.alpha * (total[:, None] / self.eps * share if self.envelope else pull)
        slope = (pull + price) / residual.abs().clamp_min(self.rounding * self.eps)
        if self.colour and values.shape[1] > 1:
            curvature = slope + 2 * self.colour * pull
            downhill = curvature * residual - (price + 2 * self.colour * mean * pull)
        else:
            curvature = slope
            downhill = curvature * residual - price
        if self.floor:
            lift = self.alpha * inverse.sum() * total[:, None] / model.shape[1]
            size = model.abs().clamp_min(self.rounding * self.eps)
            curvature = curvature + lift / size
            downhill = downhill + lift * (1 - model / size)
        return (total * self._of_parts(spread, overshoot)[:, 0]).sum(), Quadratic(curvature, downhill)

    def _parts(self, residual: Tensor, model: Tensor, share: Tensor, total: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean residual over channels, what the logarithm is of, and O; each of shape (n_pixels, 1)."""
        mean = (share * residual).sum(dim=1, keepdim=True)
        size = (share * self._size(residual)).sum(dim=1, keepdim=True)
        overshoot = size - mean
        spread = self.eps + size
        if not self.envelope:
            spread = spread + self.alpha * overshoot
        if self.colour and residual.shape[1] > 1:
            spread = spread + self.colour * (share * (residual - mean) ** 2).sum(dim=1, keepdim=True)
        if self.floor:
            spread = spread + self.alpha * self._below_floor(model, total)
        return mean, spread, overshoot

    def _of_parts(self, spread: Tensor, overshoot: Tensor) -> Tensor:
        return spread.log() + self.alpha / self.eps * overshoot if self.envelope else spread.log()

    def _below_floor(self, model: Tensor, total: Tensor) -> Tensor:
        return (total[:, None] * (self._size(model) - model)).sum() / model.shape[1]

    def _size(self, values: Tensor) -> Tensor:
        """Return |values|, rounded off to a parabola near 0 that touches it at the rounding's width."""
        width = self.rounding * self.eps
        size = values.abs()
        return torch.where(size < width, (values * values) / (2 * width) + width / 2, size)
