"""
How do I tune it?
=================

`BackgroundSearchCV` tries settings on the image itself: each trial is fitted without some large blocks and judged on
the sky of those. The defaults and the published setting are tried first, then Optuna proposes. On the command line it
is ``skbgopt tune``.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSearchCV, BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay

frame = make_sky_image("galaxy", shape=(400, 600), random_state=3)

# %%
# The image is reduced once; a trial is three small fits. Without ``param_distributions`` the number of control
# points, order, quantile, thresholds and smoothing are searched.
search = BackgroundSearchCV(n_trials=40, random_state=0).fit(frame.image)
for name, value in search.best_params_.items():
    print(f"{name}: {value:.4g}")

# %%
# The search is an estimator as well: it has been fitted to the whole image with the best setting.
BackgroundDisplay.from_estimator(search, frame.image).figure_

# %%
# Each trial as a point. Held-out sky is what the search sees; the gradient left is what only a made frame knows.
trials = [trial for trial in search.study_.trials if trial.state.name == "COMPLETE"]
losses = np.array([trial.value for trial in trials])
left = []
for trial in trials:
    model = BackgroundSplineRegressor(**trial.params).fit(frame.image)
    left.append(gradient_left(model.predict(frame.image), frame.background, frame.mask))
default = BackgroundSplineRegressor().fit(frame.image)
figure, (scatter, history) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
smoothing = [trial.params["smoothing"] for trial in trials]
points = scatter.scatter(losses, left, c=np.log10(smoothing), cmap="viridis")
scatter.axhline(
    gradient_left(default.predict(frame.image), frame.background, frame.mask), color="0.5", ls="--", label="defaults"
)
scatter.set(xlabel="loss of held-out sky", ylabel="gradient left", xscale="log", yscale="log")
scatter.legend()
figure.colorbar(points, ax=scatter, label="log$_{10}$ smoothing")
history.plot([trial.number for trial in trials], losses, ".", color="0.6", label="trials")
history.plot([trial.number for trial in trials], np.minimum.accumulate(losses), "k-", label="best so far")
history.set(xlabel="trial", ylabel="loss of held-out sky", yscale="log")
history.legend()
plt.show()
