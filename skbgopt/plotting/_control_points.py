"""Where the control points of a spline stand: `ControlPointsDisplay`."""

from __future__ import annotations

import numpy as np

from .._validation import as_channels, is_missing
from ._drawing import MASKED, OBJECTS, draw_masks, draw_picture, single_axes
from ._fitted import check_model, masked_pixels, object_pixels, select
from ._panels import AsinhStretch, mask_panel, panel, panel_factor, picture, shown_channels, sky_difference

_LEVELS = 9


class ControlPointsDisplay:
    """Show the control points of a background over the image, with the contour lines of the background.

    Parameters
    ----------
    control_points : array-like of shape (n_control_points, 2)
        Rows and columns in pixels; a pixel's centre is at its index.
    image, background : array-like of shape (height, width) or (height, width, n_channels)
        Linear. The contours are those of the mean of the background's channels.
    mask, objects : array-like of bool, shape (height, width), optional
        What was left out of the fit, True = excluded: hatched and outlined.
    missing_values : float or None, default=0
        Pixels of the image that equal it are missing, as non-finite ones are; None for none.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    ax_ : matplotlib.axes.Axes
    """

    def __init__(self, control_points, image, background, *, mask=None, objects=None, missing_values=0):
        image, background = np.asarray(image), np.asarray(background)
        self.control_points = np.asarray(control_points, dtype=float)
        self.factor = panel_factor(image.shape)
        shown = shown_channels(as_channels(image).shape[2], None)
        self.image = panel(as_channels(image)[:, :, shown], self.factor, is_missing(image, missing_values))
        self.background = panel(background, self.factor).mean(axis=2)
        self.mask, self.objects = (
            None if part is None else mask_panel(np.asarray(part), self.factor) for part in (mask, objects)
        )

    @classmethod
    def from_estimator(cls, estimator, X, *, mask=None, sample_weight=None, ax=None) -> ControlPointsDisplay:
        """Draw the control points of a fitted estimator over an image.

        Parameters
        ----------
        estimator : BackgroundSplineRegressor
            Fitted.
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image. If it has another size than the one fitted, the frame is laid on it.
        mask, sample_weight
            As in ``fit``; what they exclude is hatched.
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        ControlPointsDisplay
        """
        check_model(estimator, "control_points_", cls.__name__)
        selection = select(estimator, X, mask, sample_weight, cls.__name__)
        scale = np.array(selection.shape) / estimator.image_shape_[:2]
        display = cls(
            (estimator.control_points_ + 0.5) * scale - 0.5,
            selection.image,
            estimator.predict(X),
            mask=masked_pixels(selection),
            objects=object_pixels(estimator, selection.shape),
            missing_values=selection.missing_values,
        )
        return display.plot(ax)

    def plot(self, ax=None) -> ControlPointsDisplay:
        """Draw the image, the contour lines and the points.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : ControlPointsDisplay
        """
        rows, columns = self.background.shape
        figsize = (9, min(9.0, 9 * rows / columns + 0.5))
        self.ax_ = single_axes(ax, figsize)
        self.figure_ = self.ax_.figure
        measured = np.isfinite(self.image).all(axis=2)
        if self.mask is not None and not self.mask.all():
            measured &= ~self.mask
        difference = sky_difference(self.image, measured)
        draw_picture(self.ax_, picture(difference, AsinhStretch.of_sky(difference[measured])), self.factor)
        draw_masks(self.ax_, [(self.mask, MASKED), (self.objects, OBJECTS)], self.factor)
        if np.ptp(self.background) > 0:
            y, x = ((np.arange(length) + 0.5) * self.factor - 0.5 for length in (rows, columns))
            self.ax_.contour(x, y, self.background, levels=_LEVELS, cmap="viridis", linewidths=1.3)
        y, x = self.control_points.T
        self.ax_.scatter(x, y, s=36, facecolor="white", edgecolor="black", linewidth=1.2, zorder=3, clip_on=False)
        self.ax_.set_title(f"{len(y)} control points and contour lines of the background")
        return self
