"""An image, its background and what is left of it without: `BackgroundDisplay`."""

from __future__ import annotations

import numpy as np

from .._validation import as_channels, is_missing
from ._drawing import MASKED, OBJECTS, draw_masks, draw_picture, given_axes, new_axes, stretch_bar, with_unit
from ._fitted import masked_pixels, object_pixels, select, unit_of
from ._panels import AsinhStretch, mask_panel, panel, panel_factor, picture, shown_channels, sky_difference

_TITLES = ("Before", "Background model", "After")


class BackgroundDisplay:
    """Show an image, its background model and the image without it, side by side in one stretch.

    The stretch is measured on the image: asinh of the difference from the sky's median in units of the sky's
    scatter, the same for all channels. Each panel shows the difference from its own medians, so that images whose
    sky is at another level (``level="zero"``) are seen with the same contrast. Missing pixels are grey; what was
    left out of the fit is hatched in the panel of the model.

    Parameters
    ----------
    image, background, corrected : array-like of shape (height, width) or (height, width, n_channels)
        Linear, in the same unit.
    mask : array-like of bool, shape (height, width), optional
        True = excluded: hatched, and left out of the stretch and the medians.
    objects : array-like of bool, shape (height, width), optional
        What a fit took for extended objects: outlined.
    missing_values : float or None, default=0
        Pixels of the image that equal it are missing, as non-finite ones are; None for none.
    channels : sequence of int, optional
        The three channels to be shown as red, green and blue, or the one to be shown in grey. By default the first
        three, or the first.
    unit : str, optional
        Of the pixels, for the colour bar.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    axes_ : ndarray of matplotlib.axes.Axes, shape (3,)
    colorbar_ : matplotlib.colorbar.Colorbar

    Examples
    --------
    >>> from skbgopt import BackgroundDisplay, BackgroundSplineRegressor, make_sky_image
    >>> frame = make_sky_image("galaxy", shape=(200, 300), random_state=0)
    >>> model = BackgroundSplineRegressor(n_control_points=16).fit(frame.image)
    >>> display = BackgroundDisplay.from_estimator(model, frame.image)
    >>> [axes.get_title() for axes in display.axes_]
    ['Before', 'Background model', 'After']
    """

    def __init__(
        self, image, background, corrected, *, mask=None, objects=None, missing_values=0, channels=None, unit=None
    ):
        image = np.asarray(image)
        shown = shown_channels(as_channels(image).shape[2], channels)
        factor = panel_factor(image.shape)
        missing = is_missing(image, missing_values)
        self.image, self.background, self.corrected = (
            panel(as_channels(np.asarray(array))[:, :, shown], factor, missing)
            for array in (image, background, corrected)
        )
        self.mask, self.objects = (
            None if part is None else mask_panel(np.asarray(part), factor) for part in (mask, objects)
        )
        self.unit = unit

    @classmethod
    def from_estimator(
        cls, estimator, X, *, mask=None, sample_weight=None, channels=None, unit=None, axes=None
    ) -> BackgroundDisplay:
        """Draw what a fitted estimator makes of an image.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict`` and ``transform``: a `BackgroundSplineRegressor`, a pipeline that ends in one,
            or a search.
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image; np.ma and NDData bring their own mask, NDData its unit.
        mask, sample_weight
            As in ``fit``; what they exclude is hatched.
        channels, unit
            See `BackgroundDisplay`.
        axes : array-like of three matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        BackgroundDisplay
        """
        selection = select(estimator, X, mask, sample_weight, cls.__name__)
        display = cls(
            selection.image,
            estimator.predict(X),
            np.ma.getdata(estimator.transform(X)),
            mask=masked_pixels(selection),
            objects=object_pixels(estimator, selection.shape),
            missing_values=selection.missing_values,
            channels=channels,
            unit=unit_of(X, unit),
        )
        return display.plot(axes)

    def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return image, background and corrected image in the colours in which they are drawn.

        Returns
        -------
        tuple of three ndarray of shape (n_rows, n_columns, 3)
            From 0 to 1.
        """
        stretch = self._stretch
        before, model, after = (picture(values, stretch) for values in self._differences)
        return before, model, after

    def plot(self, axes=None) -> BackgroundDisplay:
        """Draw the three panels and their colour bar.

        Parameters
        ----------
        axes : array-like of three matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : BackgroundDisplay
        """
        height, width = self.image.shape[:2]
        if axes is None:
            self.axes_ = new_axes(1, 3, (16, min(9.0, 4.9 * height / width + 0.9)))[0]
        else:
            self.axes_ = given_axes(axes, (1, 3), type(self).__name__)[0]
        self.figure_ = self.axes_[0].figure
        for panel_axes, colours, title in zip(self.axes_, self.pictures(), _TITLES, strict=True):
            draw_picture(panel_axes, colours)
            panel_axes.set_title(title, fontsize=14)
        draw_masks(self.axes_[1], [(self.mask, MASKED), (self.objects, OBJECTS)])
        label = with_unit("difference from the median", self.unit)
        self.colorbar_ = stretch_bar(self.axes_, self._stretch, label, shrink=0.85, pad=0.01)
        return self

    @property
    def _differences(self) -> list[np.ndarray]:
        measured = np.isfinite(self.image).all(axis=2)
        if self.mask is not None and not self.mask.all():
            measured &= ~self.mask
        return [sky_difference(values, measured) for values in (self.image, self.background, self.corrected)]

    @property
    def _stretch(self) -> AsinhStretch:
        difference = self._differences[0]
        return AsinhStretch.of_sky(difference if self.mask is None else difference[~self.mask])
