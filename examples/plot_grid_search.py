"""
Which settings suit my frames?
==============================

A grid search over several images at once: `EachImage` makes images samples, so that scikit-learn's searches and
cross-validation work on a list of frames of unequal sizes. Here the true backgrounds are known, as they are for made
frames; the score is then R^2 against the truth, which no model can please by following a nebula.
"""

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV

from skbgopt import BackgroundSplineRegressor, EachImage, make_sky_image

shapes = [(320, 480), (400, 320), (288, 416), (320, 448)]
kinds = ["oiii", "ha", "galaxy", "sii"]
scenes = list(zip(kinds, shapes, strict=True))
frames = [make_sky_image(kind, shape=shape, random_state=k) for k, (kind, shape) in enumerate(scenes)]
images = [frame.image for frame in frames]
truths = [frame.background for frame in frames]
masks = [frame.mask for frame in frames]

# %%
# Parameters of the estimator of one image have its name before theirs. With metadata routing the masks (True =
# excluded) are cut into folds with the images and reach both fit and score.
grid = {
    "estimator__smoothing": np.geomspace(1e-6, 1e2, 9),
    "estimator__alpha": [0.0, 5.0],
}
each = EachImage(BackgroundSplineRegressor(n_control_points=36))
with sklearn.config_context(enable_metadata_routing=True):
    search = GridSearchCV(each, grid, cv=len(images)).fit(images, truths, mask=masks)
for name, value in search.best_params_.items():
    print(f"{name}: {value:.3g}")
print(f"R^2 = {search.best_score_:.3f}")

# %%
# The best score of a search flatters: all images had a say in the choice. So choose for each by the others alone.
results = search.cv_results_
scores = np.array([results[f"split{k}_test_score"] for k in range(len(images))])
for k, kind in enumerate(kinds):
    choice = np.delete(scores, k, axis=0).mean(axis=0).argmax()
    print(f"{kind}: R^2 = {scores[k, choice]:.3f} as the others choose, {scores[k].max():.3f} at best")

# %%
# One line for each image: a slack spline follows the nebulae of one, a stiff one misses the gradient of another.
figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for panel, alpha in zip(panels, grid["estimator__alpha"], strict=True):
    rows = np.flatnonzero(results["param_estimator__alpha"] == alpha)
    smoothing = grid["estimator__smoothing"]
    for image_scores, kind in zip(scores, kinds, strict=True):
        panel.semilogx(smoothing, image_scores[rows], alpha=0.6, label=kind)
    panel.semilogx(smoothing, results["mean_test_score"][rows], "k.-", lw=2, label="mean")
    panel.set(title=f"alpha = {alpha:g}", xlabel="smoothing", ylim=(0, 1.02))
panels[0].set_ylabel("R$^2$ of the background")
panels[1].legend()
plt.show()
