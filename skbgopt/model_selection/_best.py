"""What a search does by its best estimator: `BestEstimatorMixin`."""

from __future__ import annotations

from typing import Any

from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..each_image import EachImage

_MASKED: dict[str, bool | str | None] = {"mask": True, "sample_weight": True}


def _refits(search) -> bool:
    return bool(search.refit)


class BestEstimatorMixin:
    """Predict, transform and score of a search that has refitted, by its ``best_estimator_``."""

    best_estimator_: Any
    __metadata_request__predict = _MASKED
    __metadata_request__transform = _MASKED
    __metadata_request__score = _MASKED

    @available_if(_refits)
    def predict(self, X, *, mask=None, sample_weight=None, return_std=False):
        """Return the background in linear units.

        Parameters
        ----------
        X : array-like, or list of images if such was fitted
            As in the best estimator's ``predict``.
        mask, sample_weight
            Of a list, each of whose images is fitted where it is seen; of no effect on a single image.
        return_std : bool, default=False
            Return the standard error of the background as well.

        Returns
        -------
        background : ndarray of X's shape, or a list of such
        std : like background
            Only with ``return_std=True``.
        """
        return self._best().predict(X, **self._metadata(mask, sample_weight), return_std=return_std)

    @available_if(_refits)
    def transform(self, X, *, mask=None, sample_weight=None):
        """Return the image without its background.

        Parameters
        ----------
        X, mask, sample_weight
            As in `predict`.

        Returns
        -------
        ndarray of X's shape, or a list of such
            Linear, nothing clipped.
        """
        return self._best().transform(X, **self._metadata(mask, sample_weight))

    @available_if(_refits)
    def fit_transform(self, X, y=None, *, mask=None, sample_weight=None):
        """Search, and return the image without its background.

        Parameters
        ----------
        X, y, mask, sample_weight
            As in `fit`.

        Returns
        -------
        ndarray of X's shape, or a list of such
        """
        fitted = self.fit(X, y, mask=mask, sample_weight=sample_weight)  # type: ignore[attr-defined]
        return fitted.transform(X, mask=mask, sample_weight=sample_weight)

    @available_if(_refits)
    def inverse_transform(self, X):
        """Put the background back: the inverse of `transform` of a single image.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            Without its background.

        Returns
        -------
        ndarray of X's shape
        """
        return self._best().inverse_transform(X)

    @available_if(_refits)
    def score(self, X, y=None, *, mask=None, sample_weight=None):
        """Return the best estimator's score; the one that chose it is ``best_score_``.

        Parameters
        ----------
        X : array-like, or list of images if such was fitted
        y : array-like of X's shape, or list of such, optional
            The true background, if known.
        mask, sample_weight
            As in `fit`.

        Returns
        -------
        float
            With y, R^2; without, 0 at best and -1 at worst (`BackgroundSplineRegressor.score`).
        """
        return self._best().score(X, y, mask=mask, sample_weight=sample_weight)

    def _best(self):
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_

    def _metadata(self, mask, sample_weight) -> dict:
        """Return the masks that the best estimator takes where it predicts."""
        if not isinstance(self.best_estimator_, EachImage):
            return {}
        return {"mask": mask, "sample_weight": sample_weight}
