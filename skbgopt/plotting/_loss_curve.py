"""How a fit went: `LossCurveDisplay`."""

from __future__ import annotations

import numpy as np

from ._drawing import single_axes
from ._fitted import check_model

# The loss is a logarithm: a curve that falls by less than this, a hundredth, is flat.
_LEAST_SPAN = 0.01


class LossCurveDisplay:
    """Show the loss that a solver minimised last, step by step.

    Parameters
    ----------
    loss_curve : array-like of shape (n_steps,)
    first_step : int, default=1
        Number of the first of them: with ``solver="mm"`` there are steps on wider scales before, whose losses
        cannot be compared.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    ax_ : matplotlib.axes.Axes
    line_ : matplotlib.lines.Line2D
    """

    def __init__(self, loss_curve, *, first_step=1):
        self.loss_curve = np.asarray(loss_curve, dtype=float)
        self.first_step = first_step

    @classmethod
    def from_estimator(cls, estimator, *, ax=None) -> LossCurveDisplay:
        """Draw the loss curve of a fitted estimator.

        Parameters
        ----------
        estimator : BackgroundSplineRegressor or PolyharmonicSplineRegressor
            Fitted.
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        LossCurveDisplay
        """
        check_model(estimator, "loss_curve_", cls.__name__)
        curve = estimator.loss_curve_
        return cls(curve, first_step=estimator.n_iter_ - len(curve) + 1).plot(ax)

    def plot(self, ax=None) -> LossCurveDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : LossCurveDisplay
        """
        self.ax_ = single_axes(ax, (7, 4.2))
        self.figure_ = self.ax_.figure
        steps = self.first_step + np.arange(len(self.loss_curve))
        marker = "o" if len(steps) <= 60 else ""
        (self.line_,) = self.ax_.plot(steps, self.loss_curve, marker=marker, markersize=4)
        self.ax_.locator_params(axis="x", integer=True)
        # The steps of a curve that is nearly flat are read in full.
        self.ax_.ticklabel_format(axis="y", useOffset=False)
        low, high = self.ax_.get_ylim()
        if high - low < _LEAST_SPAN:
            self.ax_.set_ylim((low + high - _LEAST_SPAN) / 2, (low + high + _LEAST_SPAN) / 2)
        self.ax_.set(xlabel="step", ylabel="loss")
        self.ax_.grid(alpha=0.3)
        if len(steps):
            self.ax_.set_title(f"Loss {self.loss_curve[-1]:.5g} after {steps[-1]} steps")
        return self
