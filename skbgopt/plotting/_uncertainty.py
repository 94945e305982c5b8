"""How well the background is known: `UncertaintyDisplay`."""

from __future__ import annotations

import numpy as np

from .._validation import as_channels
from ._drawing import MASKED, channel_axes, channel_colour, draw_masks, draw_picture, given_axes, with_unit
from ._fitted import masked_pixels, select, unit_of
from ._panels import channel_names, mask_panel, panel, panel_factor

# The band around the profile is so many standard deviations wide to each side.
_BAND_SIGMAS = 2


class UncertaintyDisplay:
    """Show the standard deviation of a background: a map, and a band around a profile, for each channel.

    Parameters
    ----------
    background, std : array-like of shape (height, width) or (height, width, n_channels)
        The background and its standard deviation, in the same unit.
    mask : array-like of bool, shape (height, width), optional
        What was left out of the fit, True = excluded: hatched in the maps.
    row : int, optional
        Of the profile; the middle one by default.
    unit : str, optional
        Of the pixels.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    axes_ : ndarray of matplotlib.axes.Axes, shape (2, n_channels)
        Maps above profiles.
    colorbar_ : matplotlib.colorbar.Colorbar
    """

    def __init__(self, background, std, *, mask=None, row=None, unit=None):
        background, std = np.asarray(background), np.asarray(std)
        self.row = len(background) // 2 if row is None else row
        self.factor = panel_factor(std.shape)
        self.std = panel(std, self.factor)
        self.profile, self.profile_std = (np.array(as_channels(part)[self.row]) for part in (background, std))
        self.mask = None if mask is None else mask_panel(np.asarray(mask), self.factor)
        self.unit = unit

    @classmethod
    def from_estimator(
        cls, estimator, X, *, mask=None, sample_weight=None, row=None, unit=None, axes=None
    ) -> UncertaintyDisplay:
        """Draw how well a fitted estimator knows the background of an image.

        Parameters
        ----------
        estimator : estimator
            Fitted; its ``predict(X, return_std=True)`` returns the background and its standard deviation.
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image; NDData brings its unit.
        mask, sample_weight
            As in ``fit``; what they exclude is hatched.
        row, unit
            See `UncertaintyDisplay`.
        axes : array-like of 2 x n_channels matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        UncertaintyDisplay
        """
        selection = select(estimator, X, mask, sample_weight, cls.__name__)
        background, std = estimator.predict(X, return_std=True)
        display = cls(background, std, mask=masked_pixels(selection), row=row, unit=unit_of(X, unit))
        return display.plot(axes)

    def plot(self, axes=None) -> UncertaintyDisplay:
        """Draw maps and profiles.

        Parameters
        ----------
        axes : array-like of 2 x n_channels matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : UncertaintyDisplay
        """
        rows, columns, n_channels = self.std.shape
        if axes is None:
            self.axes_ = channel_axes(n_channels, rows / columns)
        else:
            self.axes_ = given_axes(axes, (2, n_channels), type(self).__name__)
        self.figure_ = self.axes_[0, 0].figure
        limits = {"vmin": 0, "vmax": np.max(self.std, initial=0, where=np.isfinite(self.std)) or None}
        for c, name in enumerate(channel_names(n_channels)):
            drawn = draw_picture(self.axes_[0, c], self.std[:, :, c], self.factor, cmap="magma", **limits)
            self.axes_[0, c].axhline(self.row, color="white", linestyle=":", linewidth=1)
            self.axes_[0, c].set_title(f"Uncertainty {name}".strip())
            draw_masks(self.axes_[0, c], [(self.mask, MASKED)], self.factor, legend=c == n_channels - 1)
            self._draw_profile(c)
        self.colorbar_ = self.figure_.colorbar(drawn, ax=self.axes_[0], shrink=0.85, pad=0.01)
        self.colorbar_.set_label(with_unit("standard deviation", self.unit))
        return self

    def _draw_profile(self, c: int) -> None:
        axes, colour = self.axes_[1, c], channel_colour(c, self.std.shape[2])
        values, band = self.profile[:, c], _BAND_SIGMAS * self.profile_std[:, c]
        columns = np.arange(len(values))
        axes.fill_between(
            columns, values - band, values + band, color=colour, alpha=0.3, linewidth=0, label=f"± {_BAND_SIGMAS} sigma"
        )
        axes.plot(columns, values, color=colour, linewidth=1.2, label="background")
        axes.set_xlim(0, max(1, len(values) - 1))
        axes.set(xlabel="column", ylabel=with_unit("background", self.unit), title=f"along row {self.row}")
        axes.legend(fontsize=9)
