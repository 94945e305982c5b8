"""What the choice of the smoothing saw: `SmoothingPathDisplay`."""

from __future__ import annotations

import numpy as np

from ._drawing import single_axes
from ._fitted import check_model


class SmoothingPathDisplay:
    """Show the scores of the smoothings that ``smoothing="auto"`` tried on held-out sky, and its choice.

    Parameters
    ----------
    smoothing, score, standard_error : array-like of shape (n_smoothings,)
        Scores are higher for the better; the standard errors are those of the difference from the best score.
    best : int
        Index of the choice.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    ax_ : matplotlib.axes.Axes
    """

    def __init__(self, smoothing, score, standard_error, best):
        self.smoothing, self.score, self.standard_error = (
            np.asarray(part, dtype=float) for part in (smoothing, score, standard_error)
        )
        self.best = int(best)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None) -> SmoothingPathDisplay:
        """Draw the path of an estimator that was fitted with ``smoothing="auto"``.

        Parameters
        ----------
        estimator : BackgroundSplineRegressor
            Fitted.
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        SmoothingPathDisplay

        Raises
        ------
        ValueError
            If the estimator chose nothing, as where dust fills the frame, or was loaded from a file.
        """
        check_model(estimator, "smoothing_path_", cls.__name__)
        path = estimator.smoothing_path_
        if path is None:
            raise ValueError(
                f"{cls.__name__} shows what smoothing='auto' tried with solver='mm', but this estimator tried nothing "
                "(it has another smoothing or solver, or dust fills the frame) or was loaded from a file, which keeps "
                "no path: fit it with those to another image."
            )
        return cls(path.smoothing, path.score, path.standard_error, path.best).plot(ax)

    def plot(self, ax=None) -> SmoothingPathDisplay:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : SmoothingPathDisplay
        """
        self.ax_ = single_axes(ax, (7, 4.2))
        self.figure_ = self.ax_.figure
        self.ax_.errorbar(self.smoothing, self.score, self.standard_error, marker="o", markersize=5, capsize=3)
        chosen = self.smoothing[self.best]
        self.ax_.plot(
            chosen, self.score[self.best], "o", markersize=14, markerfacecolor="none", color="tab:red",
            markeredgewidth=2, label=f"chosen: {chosen:.3g}",
        )  # fmt: skip
        self.ax_.set_xscale("log")
        self.ax_.set(xlabel="smoothing (bends easily to the left, hardly to the right)")
        self.ax_.set(ylabel="score on held-out sky (higher is better)", title="Choice of the smoothing")
        self.ax_.grid(alpha=0.3)
        self.ax_.legend()
        return self
