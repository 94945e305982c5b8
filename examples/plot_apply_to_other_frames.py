"""
Can one model be removed from other frames?
===========================================

The stack of a night is deep, its single exposures are noisy: fit the background once, to the stack, save it, and
remove it from each exposure, and from a preview of half the size. The spline lives in the frame of the image, so any
number of pixels will do.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, BlockReducer, gradient_left, make_sky_image

stack = make_sky_image("oiii", shape=(240, 360), random_state=0)
clear = (stack.background + stack.objects).astype(np.float32)
noise = 20 * float(np.median(stack.noise))
exposures = [clear + np.random.default_rng(k).normal(0, noise, clear.shape).astype(np.float32) for k in range(4)]

# %%
# Fit once, write the model, read it where it is wanted.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "night.npz"
    BackgroundSplineRegressor().fit(stack.image).save(path)
    night = BackgroundSplineRegressor.load(path)

# %%
# What is left of the gradient: the model of the stack, against a model fitted to each exposure alone.
for k, exposure in enumerate(exposures):
    own = BackgroundSplineRegressor().fit(exposure).predict(exposure)
    left = [gradient_left(background, stack.background) for background in (night.predict(exposure), own)]
    print(f"exposure {k}: {left[0]:.3f} with the model of the stack, {left[1]:.3f} with its own")

# %%
# The preview has half the rows and columns; the same model is laid on it.
preview = BlockReducer(factor=2).fit_transform(exposures[0])
panels = {
    "exposure": exposures[0],
    "exposure without the stack's model": night.transform(exposures[0]),
    "preview": preview,
    "preview without it": night.transform(preview),
}
low, high = np.percentile(preview, [0.5, 99.5])
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for axis, (title, image) in zip(axes.flat, panels.items(), strict=True):
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axis.set_title(f"{title}, {image.shape[0]} x {image.shape[1]}")
    axis.set_axis_off()
plt.show()
