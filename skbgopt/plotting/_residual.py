"""What a background leaves of an image, in units of the sky's noise: `ResidualDisplay`."""

from __future__ import annotations

import numpy as np

from .._validation import as_channels
from ._drawing import OBJECTS, channel_axes, channel_colour, draw_masks, draw_picture, given_axes
from ._fitted import check_model
from ._panels import MISSING_SHADE, channel_names, panel

# Colours end at so many sigmas, histograms at so many.
_MAP_SIGMAS, _HISTOGRAM_SIGMAS = 5.0, 10.0
_BINS = 80


class ResidualDisplay:
    """Show the residuals of a background in sigmas: a map and a histogram for each channel.

    A background that follows the sky leaves noise without pattern in the map, and in the histogram of the sky the
    normal distribution that is drawn around its median. Faint stars and a loss that prefers to stay below lift that
    median above 0. Objects stand out to the right. A map that is blue around objects says that they pulled the model
    up.

    Parameters
    ----------
    residuals : array-like of shape (n_rows, n_columns) or (n_rows, n_columns, n_channels)
        Image less background over its noise, of pixels or blocks; NaN where there is none, which is drawn grey.
    objects : array-like of bool, shape (n_rows, n_columns), optional
        What the fit took for extended objects: outlined in the maps, apart from the sky in the histograms.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    axes_ : ndarray of matplotlib.axes.Axes, shape (2, n_channels)
        Maps above histograms.
    colorbar_ : matplotlib.colorbar.Colorbar
    """

    def __init__(self, residuals, *, objects=None):
        self.residuals = as_channels(np.asarray(residuals, dtype=float))
        self.objects = None if objects is None else np.asarray(objects, dtype=bool)

    @classmethod
    def from_estimator(cls, estimator, X, *, mask=None, sample_weight=None, axes=None) -> ResidualDisplay:
        """Draw the residuals of the reduced pixels of an image, in units of their noise.

        Parameters
        ----------
        estimator : BackgroundSplineRegressor
            Fitted.
        X : array-like of shape (height, width) or (height, width, n_channels)
            Linear image.
        mask, sample_weight
            As in ``fit``; what they or the thresholds exclude is grey.
        axes : array-like of 2 x n_channels matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        ResidualDisplay
        """
        check_model(estimator, "object_mask_", cls.__name__)
        prepared = estimator.prepare(X, mask=mask, sample_weight=sample_weight)
        background = panel(estimator.predict(X), estimator.downscale_factor)
        residuals = np.where(prepared.weights > 0, prepared.sigmas(background), np.nan)
        objects = estimator.object_mask_
        return cls(residuals, objects=objects if objects.shape == residuals.shape[:2] else None).plot(axes)

    def plot(self, axes=None) -> ResidualDisplay:
        """Draw maps and histograms.

        Parameters
        ----------
        axes : array-like of 2 x n_channels matplotlib.axes.Axes, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : ResidualDisplay
        """
        rows, columns, n_channels = self.residuals.shape
        if axes is None:
            self.axes_ = channel_axes(n_channels, rows / columns)
        else:
            self.axes_ = given_axes(axes, (2, n_channels), type(self).__name__)
        self.figure_ = self.axes_[0, 0].figure
        for c, name in enumerate(channel_names(n_channels)):
            residuals = self.residuals[:, :, c]
            drawn = draw_picture(self.axes_[0, c], residuals, cmap="RdBu_r", vmin=-_MAP_SIGMAS, vmax=_MAP_SIGMAS)
            self.axes_[0, c].set_facecolor(str(MISSING_SHADE))
            self.axes_[0, c].set_title(f"Residuals {name}".strip())
            draw_masks(self.axes_[0, c], [(self.objects, OBJECTS)], legend=c == n_channels - 1)
            self._draw_histogram(c)
        self.colorbar_ = self.figure_.colorbar(drawn, ax=self.axes_[0], extend="both", shrink=0.85, pad=0.01)
        self.colorbar_.set_label("residual in sigmas")
        return self

    def _draw_histogram(self, c: int) -> None:
        axes, residuals = self.axes_[1, c], self.residuals[:, :, c]
        is_sky = np.isfinite(residuals)
        if self.objects is not None:
            is_sky &= ~self.objects
        sky, light = residuals[is_sky], residuals[np.isfinite(residuals) & ~is_sky]
        ends = (-_HISTOGRAM_SIGMAS, _HISTOGRAM_SIGMAS)
        colour = channel_colour(c, self.residuals.shape[2])
        counts = [axes.hist(np.clip(sky, *ends), bins=_BINS, range=ends, color=colour, alpha=0.45, label="sky")[0]]
        if light.size:
            drawn = axes.hist(
                np.clip(light, *ends), bins=_BINS, range=ends, histtype="step", color="#b07800", label=OBJECTS[1]
            )
            counts.append(drawn[0])
        middle = np.median(sky) if sky.size else 0.0
        scatter = 1.4826 * np.median(np.abs(sky - middle)) if sky.size else 0.0
        sigmas = np.linspace(*ends, 401)
        density = np.exp(-0.5 * (sigmas - middle) ** 2) / np.sqrt(2 * np.pi)
        expected = sky.size * (ends[1] - ends[0]) / _BINS * density
        axes.plot(sigmas, expected, color="black", linestyle="--", linewidth=1, label="noise alone")
        if np.isfinite(residuals).any():
            axes.set_yscale("log")
        axes.set_ylim(0.7, max(2.0, 3 * np.max(counts)))
        axes.set(xlabel="residual in sigmas; beyond in the last bars", ylabel="reduced pixels")
        axes.set_title(f"sky: median {middle:+.2f}, scatter {scatter:.2f}", fontsize=11)
        axes.legend(fontsize=9, loc="upper left")
