"""The trials of a search: `SearchDisplay`."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._background import BackgroundDisplay

# Panels of parameters side by side.
_MOST_SLICES = 6
# Scores are drawn from this many times the best half's spread below the best on; worse ones stand at the edge.
_SPREADS = 4.0
# Share of the trials whose lines stand out, the best ones.
_BEST_SHARE = 0.1
_COLOURS = "viridis"
_BEST_COLOUR = "tab:red"
_STAR = {"marker": "*", "linestyle": "", "color": _BEST_COLOUR, "markersize": 13, "zorder": 4}
# Whole numbers of a range that are all labelled.
_MOST_TICKS = 5


class SearchDisplay:
    """Show the trials of a search: their scores one after another and along each parameter, and the best settings.

    Parameters
    ----------
    score : array-like of shape (n_trials,)
        Higher is better; NaN of a trial that did not complete.
    params : dict of str to sequence of n_trials values
        What each trial tried; None where it did not have the parameter.
    space : dict of str to (low, high), (low, high, "log") or list of choices
        What was searched, as `BackgroundSearchCV` takes it.
    chosen : int, optional
        Index of the trial whose setting was taken, which stands out in red; that of the best score by default.
    importances : dict of str to float, optional
        Share of each parameter in what makes trials good.
    pictures : sequence of three ndarray of shape (height, width) or (height, width, n_channels), optional
        An image, its background and what is left without it.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Made without pyplot; ``figure_.savefig(path)`` writes it.
    axes_ : dict of str to Axes or ndarray of Axes
        "history", "importances" (if there are any), "slices" (an array, one for each parameter), "parallel" and
        "pictures" (an array of three, if there are any).

    Examples
    --------
    >>> from skbgopt import BackgroundSearchCV, BackgroundSplineRegressor, SearchDisplay, make_sky_image
    >>> image = make_sky_image("oiii", shape=(96, 128), random_state=0).image
    >>> model = BackgroundSplineRegressor(smoothing=1e-3)
    >>> search = BackgroundSearchCV(model, {"order": [2, 4]}, n_trials=3, random_state=0).fit(image)
    >>> sorted(SearchDisplay.from_estimator(search).axes_)
    ['history', 'importances', 'parallel', 'slices']
    """

    def __init__(self, score, params, space, *, chosen=None, importances=None, pictures=None):
        self.score = np.asarray(score, dtype=float)
        self.params = {name: np.array([*values, None], dtype=object)[:-1] for name, values in params.items()}
        self.space = dict(space)
        best = int(np.argmax(np.where(np.isfinite(self.score), self.score, -np.inf)))
        self.chosen = best if chosen is None else int(chosen)
        self.importances = dict(importances or {})
        self.pictures = pictures

    @classmethod
    def from_estimator(cls, search, X=None, *, mask=None, sample_weight=None, figure=None) -> SearchDisplay:
        """Draw the trials of a fitted search.

        Parameters
        ----------
        search : BackgroundSearchCV
            Fitted.
        X : array-like of shape (height, width) or (height, width, n_channels), optional
            An image to be shown before and after; needs ``refit``. Of a search over a list, one of its images.
        mask, sample_weight
            Of X, as in ``fit``, where a list was searched: its images are fitted where they are shown.
        figure : matplotlib.figure.Figure or SubFigure, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        SearchDisplay
        """
        check_is_fitted(search, "study_")
        table = search.cv_results_
        distributions = search.distributions_
        display = cls(
            table["mean_test_score"],
            {name: np.ma.filled(table[f"param_{name}"], None) for name in distributions},
            {name: _in_short(distribution) for name, distribution in distributions.items()},
            chosen=search.best_index_,
            importances=search.param_importances_,
            pictures=None if X is None else _pictures(search, X, mask, sample_weight),
        )
        return display.plot(figure)

    def plot(self, figure=None) -> SearchDisplay:
        """Draw the page.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            To be drawn on; a new figure by default.

        Returns
        -------
        self : SearchDisplay
        """
        n_slice_rows = -(-len(self.space) // _MOST_SLICES)
        heights = [3.4, 2.8 * n_slice_rows, 3.6]
        if self.pictures is not None:
            height, width = self.pictures[0].shape[:2]
            heights.append(min(9.0, 4.9 * height / width + 0.5))
        if figure is None:
            from matplotlib.figure import Figure

            figure = Figure(figsize=(16, sum(heights)), layout="constrained")
        self.figure_ = figure
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        self.axes_: dict[str, Any] = {}
        self._draw_history(parts[0])
        self._draw_slices(parts[1], n_slice_rows)
        self._draw_parallel(parts[2])
        if self.pictures is not None:
            self.axes_["pictures"] = _draw_pictures(parts[3], self.pictures)
        return self

    def best_so_far(self) -> np.ndarray:
        """Return the best score up to each trial.

        Returns
        -------
        ndarray of shape (n_trials,)
            NaN before the first that completed.
        """
        return np.fmax.accumulate(self.score)

    def score_limits(self) -> tuple[float, float]:
        """Return the scores between which the trials are drawn; worse ones stand at the lower edge.

        Returns
        -------
        low, high : float
        """
        known = np.sort(self.score[np.isfinite(self.score)])[::-1]
        if not len(known):
            return -1.0, 0.0
        spread = known[0] - known[len(known) // 2]
        low = max(known[-1], known[0] - _SPREADS * spread) if spread > 0 else known[-1]
        margin = 0.05 * (known[0] - low) or 0.05 * abs(known[0]) or 1.0
        return float(low - margin), float(known[0] + margin)

    def positions(self, name: str) -> np.ndarray:
        """Return where the values of a parameter lie in its range.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray of shape (n_trials,)
            From 0 to 1; NaN where a trial had no value of it, or one outside as the setting given may be.
        """
        return _places(self.params[name], self.space[name])

    def _draw_history(self, part) -> None:
        widths = (2, 1) if self.importances else (1,)
        history, *others = part.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        self.axes_["history"] = history
        numbers, done = np.arange(1, len(self.score) + 1), np.isfinite(self.score)
        history.scatter(numbers[done], self._drawn_scores()[done], s=18, color="0.4", label="trial", zorder=3)
        if not done.all():
            at_edge = np.full(np.count_nonzero(~done), self.score_limits()[0])
            history.plot(numbers[~done], at_edge, "x", color="0.6", label="cut short or failed", clip_on=False)
        history.step(numbers, self.best_so_far(), where="post", color=_BEST_COLOUR, label="best so far")
        self._limit_scores(history)
        history.plot(numbers[self.chosen], self._drawn_scores()[self.chosen], **_STAR, label="taken")
        history.set(xlabel="trial", title=f"Trial {self.chosen + 1} is taken, score {self.score[self.chosen]:.4g}")
        history.locator_params(axis="x", integer=True)
        history.legend(loc="best", fontsize=9)
        for axes in others:
            self._draw_importances(axes)

    def _draw_importances(self, axes) -> None:
        self.axes_["importances"] = axes
        names = list(self.importances)[::-1]
        drawn = axes.barh(names, [self.importances[name] for name in names], color="0.6")
        axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=9)
        axes.set(title="Importance", xlim=(0, 1.15 * max(self.importances.values())))

    def _draw_slices(self, part, n_rows: int) -> None:
        n_columns = min(_MOST_SLICES, len(self.space))
        grid = part.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for unused in grid.ravel()[len(self.space) :]:
            unused.remove()
        self.axes_["slices"] = grid.ravel()[: len(self.space)]
        order = np.arange(1, len(self.score) + 1)
        for axes, (name, space) in zip(self.axes_["slices"], self.space.items(), strict=True):
            place = self.positions(name)
            drawn = axes.scatter(place, self._drawn_scores(), c=order, s=18, cmap=_COLOURS)
            axes.plot(place[self.chosen], self._drawn_scores()[self.chosen], **_STAR)
            places, labels = _ticks(space)
            axes.set_xticks(places, labels, fontsize=9)
            axes.set(xlabel=name, xlim=(-0.05, 1.05))
            axes.grid(alpha=0.3)
            self._limit_scores(axes, label=axes.get_subplotspec().is_first_col())
        part.colorbar(drawn, ax=list(self.axes_["slices"]), label="trial", pad=0.01)

    def _draw_parallel(self, part) -> None:
        from matplotlib.collections import LineCollection

        axes = self.axes_["parallel"] = part.subplots()
        low, high = self.score_limits()
        done = np.flatnonzero(np.isfinite(self.score))
        done = done[np.argsort(self.score[done])]
        heights = np.stack([*map(self.positions, self.space), (self._drawn_scores() - low) / (high - low)], axis=1)
        x = np.arange(heights.shape[1])
        stands_out = np.arange(len(done)) >= len(done) * (1 - _BEST_SHARE)
        lines = LineCollection(
            [np.column_stack([x, heights[k]]) for k in done], cmap=_COLOURS, array=self._drawn_scores()[done],
            linewidths=np.where(stands_out, 2.0, 0.8), clim=(low, high),
        )  # fmt: skip
        axes.add_collection(lines)
        if len(done):
            lines.set_alpha(np.where(stands_out, 1.0, 0.45).tolist())
            axes.plot(x, heights[self.chosen], color=_BEST_COLOUR, linewidth=2.5)
            axes.set_title("All trials; the best stand out, red is the one taken")
        for k, space in enumerate(self.space.values()):
            axes.axvline(k, color="0.3", linewidth=1)
            for place, label in zip(*_ticks(space), strict=True):
                axes.annotate(label, (k, place), xytext=(4, 0), textcoords="offset points", fontsize=8, va="center")
        axes.set(xlim=(-0.1, len(self.space) + 0.1), ylim=(-0.06, 1.06), yticks=[])
        axes.set_xticks(x, [*self.space, "score"])
        part.colorbar(lines, ax=axes, label="score", pad=0.01)

    def _drawn_scores(self) -> np.ndarray:
        return np.maximum(self.score, self.score_limits()[0])

    def _limit_scores(self, axes, label: bool = True) -> None:
        axes.set_ylim(self.score_limits())
        axes.grid(alpha=0.3)
        if label:
            axes.set_ylabel("score")


def _in_short(distribution) -> tuple | list:
    """Return a distribution of Optuna as a search takes it in short."""
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    return (distribution.low, distribution.high, *(["log"] if distribution.log else []))


def _places(values, space: tuple | list) -> np.ndarray:
    if isinstance(space, list):
        places = {repr(choice): k / max(1, len(space) - 1) for k, choice in enumerate(space)}
        return np.array([places.get(repr(value), np.nan) for value in values])
    numbers = np.array([value if isinstance(value, Real) else np.nan for value in values], dtype=float)
    low, high, *log = space
    numbers[(numbers < low) | (numbers > high)] = np.nan
    if log:
        numbers, low, high = np.log(numbers), np.log(low), np.log(high)
    return (numbers - low) / ((high - low) or 1.0)


def _ticks(space: tuple | list) -> tuple[np.ndarray, list[str]]:
    """Return places from 0 to 1 in a range, or of choices, and what they are labelled."""
    if isinstance(space, list):
        return _places(space, space), [str(choice) for choice in space]
    low, high, *log = space
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and high - low <= _MOST_TICKS:
        values = list(range(low, high + 1))
    else:
        middle = (low * high) ** 0.5 if log else (low + high) / 2
        values = [low, round(middle) if whole else middle, high]
    return _places(values, space), [f"{value:.3g}" for value in values]


def _pictures(search, X, mask, sample_weight) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model = search.best_estimator_
    if hasattr(model, "fit_each"):
        given = (None if part is None else [part] for part in (mask, sample_weight))
        model = model.fit_each([X], **dict(zip(("mask", "sample_weight"), given, strict=True)))[0]
    return np.asarray(X), model.predict(X), np.ma.getdata(model.transform(X))


def _draw_pictures(part, pictures) -> np.ndarray:
    return BackgroundDisplay(*pictures).plot(part.subplots(1, 3)).axes_
