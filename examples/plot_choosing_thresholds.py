"""
Choosing the thresholds
=======================

Reduced pixels whose stretched value is below ``threshold_min`` or above ``threshold_max`` are not used. The sky is at
0.25. By default the fit finds objects by itself and the thresholds need no care.
"""

from itertools import chain

import matplotlib.pyplot as plt

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
# Above, a model that is free to bend and masks no objects: the threshold is all that keeps the nebula out, and one
# that is too low takes the sky with it. Below, the default model with a minimum that cuts the dark end of the
# gradient.
free = {"smoothing": 1e-5, "mask_objects": False}
settings = [
    [(nebula, "threshold_max", value, free) for value in (0.2, 0.3, 1.0)],
    [(gradient, "threshold_min", value, {}) for value in (0.001, 0.1, 0.2)],
]
figure, panels = plt.subplots(2, 3, figsize=(14, 6.6), layout="constrained")
for axes, (frame, name, value, others) in zip(panels.flat, chain(*settings), strict=True):
    model = BackgroundSplineRegressor(**{name: value}, **others).fit(frame.image)
    background = model.predict(frame.image)
    axes.imshow(BackgroundDisplay(frame.image, background, model.transform(frame.image)).pictures()[2])
    axes.set_title(f"{name} = {value:g}: {gradient_left(background, frame.background):.1%} left")
    axes.set_axis_off()
plt.show()
