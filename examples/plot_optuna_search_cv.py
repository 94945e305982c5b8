"""
What does a search find beyond the defaults?
============================================

Optuna proposes where to look next, in ranges instead of on a grid: a few dozen fits decide on three parameters at
once. The frames come with their true backgrounds and carry their masks as numpy masked arrays, which need no
further word anywhere.
"""

import matplotlib.pyplot as plt
import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna_integration import OptunaSearchCV

from skbgopt import BackgroundSplineRegressor, EachImage, make_sky_image

shapes = [(320, 480), (400, 320), (288, 416), (320, 448)]


def images_and_truths(seeds):
    """Frames with their masks (True = excluded), and their true backgrounds."""
    frames = [make_sky_image("oiii", shape=shape, random_state=k) for k, shape in zip(seeds, shapes, strict=True)]
    return [np.ma.array(frame.image, mask=frame.mask) for frame in frames], [frame.background for frame in frames]


images, truths = images_and_truths(range(4))

# %%
# A trial that fails would pass for one with a bad score: ``error_score="raise"`` and a look at the states prevent it.
# Two folds do, for nothing is learned from the images of the other one.
space = {
    "estimator__smoothing": FloatDistribution(1e-6, 1e2, log=True),
    "estimator__alpha": FloatDistribution(0.0, 10.0),
    "estimator__n_control_points": IntDistribution(9, 64),
}
optuna.logging.set_verbosity(optuna.logging.WARNING)
each = EachImage(BackgroundSplineRegressor())
search = OptunaSearchCV(each, space, cv=2, n_trials=24, random_state=0, error_score="raise").fit(images, truths)
assert all(trial.state.name == "COMPLETE" for trial in search.trials_)
for name, value in search.best_params_.items():
    print(f"{name}: {value:.3g}")

# %%
# The search has seen its frames; what its choice is worth, others tell. The defaults choose a smoothing for each image.
defaults = each.score(images, truths)
print(f"R^2 on the frames of the search: {search.score(images, truths):.3f}, {defaults:.3f} with the defaults")
others = images_and_truths(range(4, 8))
print(f"R^2 on other frames: {search.score(*others):.3f}, {each.score(*others):.3f} with the defaults")

# %%
# Each trial as a point in each of its parameters, later ones brighter; those below the lower edge are not drawn.
figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
for panel, name in zip(panels, space, strict=True):
    values = [trial.params[name] for trial in search.trials_]
    scores = [trial.value for trial in search.trials_]
    points = panel.scatter(values, scores, c=range(len(scores)), cmap="viridis")
    panel.axhline(defaults, color="0.6", ls="--", label="defaults")
    panel.set(xlabel=name.removeprefix("estimator__"), xscale="log" if space[name].log else "linear")
panels[0].set(ylabel="R$^2$ of the background", ylim=(0.5, 1.02))
panels[0].legend()
figure.colorbar(points, ax=panels, label="trial")
plt.show()
