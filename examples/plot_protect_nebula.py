"""
How do I protect a nebula?
==========================

A model that is free to bend follows a nebula as it would follow a gradient, and what it follows is subtracted. Three
things keep it out: the smoothing that is chosen on held-out sky, the mask of objects that each fit makes for itself,
and masks of your own.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, SourceMasker, make_sky_image
from skbgopt.plotting import BackgroundDisplay

frame = make_sky_image("ha", shape=(500, 750), random_state=4)

# %%
# From no protection to all of it. A masked array brings its mask with it: `SourceMasker` hides stars and nebula from
# the fit, and the whole image is corrected all the same. (Your own mask does the same: ``fit(image, mask=mask)``,
# True = excluded, or on the command line ``-m mask.fits``, white = use.)
free = BackgroundSplineRegressor(smoothing=1e-7, mask_objects=False)
masked_objects = BackgroundSplineRegressor(smoothing=1e-7)
default = BackgroundSplineRegressor()
hidden = SourceMasker().fit_transform(frame.image)
models = {
    "free to bend": free.fit(frame.image),
    "its own mask of objects": masked_objects.fit(frame.image),
    "and smoothing chosen (default)": default.fit(frame.image),
    "and a SourceMasker before": BackgroundSplineRegressor().fit(hidden),
}

# %%
# Light eaten: how much of the nebula's light is in the model, as a share. The made frame knows what is nebula.
nebula = frame.objects > 3 * frame.noise
sky = ~nebula
eaten = {}
for name, model in models.items():
    error = model.predict(frame.image) - frame.background
    eaten[name] = np.sum((error - np.median(error[sky]))[nebula]) / np.sum(frame.objects[nebula])
    print(f"{name}: {eaten[name]:.1%} of the light eaten")

# %%
# The result of each in the stretch of the image, and its model below, in units of the sky's noise.
figure, panels = plt.subplots(2, 4, figsize=(15, 5.4), layout="constrained")
for (name, model), (above, below) in zip(models.items(), panels.T, strict=True):
    background = model.predict(frame.image)
    _, _, after = BackgroundDisplay(frame.image, background, model.transform(frame.image)).pictures()
    above.imshow(after)
    above.set_title(f"{name}:\n{eaten[name]:.1%} eaten")
    error = (background - frame.background) / frame.noise
    drawn = below.imshow(error - np.median(error[sky]), cmap="RdBu_r", vmin=-6, vmax=6)
for axes in panels.flat:
    axes.set_axis_off()
figure.colorbar(drawn, ax=panels, label="model above the true sky, in noise of a pixel", pad=0.01)
plt.show()

# %%
# What the default left out as an object is outlined in the model's panel.
BackgroundDisplay.from_estimator(default, frame.image).figure_
