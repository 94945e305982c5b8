"""
Choosing the thresholds
=======================

Reduced pixels whose stretched value is below ``threshold_min`` or above ``threshold_max`` are not used. The sky is at
0.25. By default the fit finds objects by itself and the thresholds need no care.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay, StretchDisplay

nebula = make_sky_image("ha", shape=(400, 600), random_state=4)
gradient = make_sky_image("oiii", shape=(400, 600), random_state=4)

# %%
# What a setting leaves out can be seen before anything is fitted, here as on the command line (``skbgopt remove
# -p``). A maximum of 0.3 keeps this nebula out.
StretchDisplay.from_estimator(BackgroundSplineRegressor(threshold_max=0.3), nebula.image).figure_

# %%
# A minimum of 0.2 leaves out the darkest sky, which nothing else can tell.
StretchDisplay.from_estimator(BackgroundSplineRegressor(threshold_min=0.2), gradient.image).figure_

# %%
# For the nebula a model that is free to bend and masks no objects, so that the threshold is all that keeps it out:
# one that is too low takes the bright sky with it, one that is too high lets the model follow the nebula, and even a
# good one leaves its faint edge in. For the gradient the default model with a minimum that cuts its dark end. Below
# each result is what the model has too much (red) or too little (blue), in units of the noise of a pixel.
free = {"smoothing": 1e-5, "mask_objects": False}
settings = [
    [(nebula, "threshold_max", value, free) for value in (0.2, 0.3, 1.0)],
    [(gradient, "threshold_min", value, {}) for value in (0.001, 0.1, 0.2)],
]
figure, panels = plt.subplots(4, 3, figsize=(14, 12.4), layout="constrained")
for row, results, errors in zip(settings, panels[::2], panels[1::2], strict=True):
    for (frame, name, value, others), above, below in zip(row, results, errors, strict=True):
        model = BackgroundSplineRegressor(**{name: value}, **others).fit(frame.image)
        background = model.predict(frame.image)
        above.imshow(BackgroundDisplay(frame.image, background, model.transform(frame.image)).pictures()[2])
        above.set_title(f"{name} = {value:g}: {gradient_left(background, frame.background):.1%} left")
        error = (background - frame.background) / frame.noise
        drawn = below.imshow(error - np.median(error), cmap="RdBu_r", vmin=-10, vmax=10)
figure.colorbar(drawn, ax=panels, label="model less truth, in noise of a pixel", shrink=0.4, pad=0.01)
for axes in panels.flat:
    axes.set_axis_off()
plt.show()
