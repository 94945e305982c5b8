"""
How do I tune it?
=================

`BackgroundSearchCV` tries settings on the image itself: each trial is fitted without some large blocks and judged on
the sky of those. The setting given is tried first, then one with the published control points, order and quantile,
then Optuna proposes. On the command line it is ``skbgopt tune``. On most frames no setting is clearly better than the
defaults, and a search that begins with them keeps them; here it begins with a smoothing chosen by hand.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSearchCV, BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import SearchDisplay

frame = make_sky_image("sii", shape=(400, 600), random_state=20)

# %%
# The image is reduced once; a trial is three small fits. Without ``param_distributions`` the number of control
# points, order, quantile, thresholds and smoothing are searched.
by_hand = BackgroundSplineRegressor(smoothing=0.01)
search = BackgroundSearchCV(by_hand, n_trials=30, random_state=0).fit(frame.image)
for name, value in search.best_params_.items():
    print(f"{name}: {value:.4g}")

# %%
# The trials one after another and along each parameter, and the image before and after: the search is an estimator as
# well, fitted to the whole image with the best setting.
SearchDisplay.from_estimator(search, frame.image).figure_

# %%
# Is held-out sky a good judge? It is what the search sees; the gradient left is what only a made frame knows. Bad
# settings are told from good ones; which of the good ones is best, the sky alone cannot always say.
trials = [trial for trial in search.study_.trials if trial.state.name == "COMPLETE"]
models = [BackgroundSplineRegressor(**trial.params).fit(frame.image) for trial in trials]
left = [gradient_left(model.predict(frame.image), frame.background, frame.mask) for model in models]
default = BackgroundSplineRegressor().fit(frame.image)
figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
smoothing = np.log10([trial.params["smoothing"] for trial in trials])
points = axes.scatter([trial.value for trial in trials], left, c=smoothing, cmap="viridis")
best = next(trial for trial in trials if trial.params == search.best_params_)
axes.scatter(best.value, left[trials.index(best)], s=140, facecolor="none", edgecolor="tab:red", label="chosen")
left_by_default = gradient_left(default.predict(frame.image), frame.background, frame.mask)
axes.axhline(left_by_default, color="0.5", ls="--", label="defaults")
axes.set(xlabel="loss of held-out sky", ylabel="gradient left", xscale="log", yscale="log")
axes.legend()
figure.colorbar(points, ax=axes, label="log$_{10}$ smoothing")
plt.show()
