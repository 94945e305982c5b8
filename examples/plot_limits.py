"""
When not to use it
==================

A smooth model that passes below the objects can be wrong in three ways: where the background is not smooth, where it
is darker than its surroundings, and where no sky is to be seen.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay


def draw(image, background, model):
    """The image before and after, and what the model misses of the true background."""
    figure, panels = plt.subplots(1, 3, figsize=(15, 3.7), layout="constrained")
    before, _, after = BackgroundDisplay(image, background, model.transform(image)).pictures()
    error = np.atleast_3d(model.predict(image) - background).mean(axis=2)
    error = (error - np.median(error)) / np.mean(model.noise_)
    for axes, picture, title in zip(panels, (before, after), ("Before", "After"), strict=False):
        axes.imshow(picture)
        axes.set_title(title)
    drawn = panels[2].imshow(error, cmap="RdBu_r", vmin=-5, vmax=5)
    panels[2].set_title("Model less truth")
    for axes in panels:
        axes.set_axis_off()
    figure.colorbar(drawn, ax=panels[2], label="noise of a pixel", shrink=0.9)
    plt.show()
    print(f"{gradient_left(model.predict(image), background):.1%} of the gradient left")


# %%
# Shadows of dust on the sensor are small rings with sharp edges, and multiply. They need a flat.
frame = make_sky_image("sii", shape=(400, 600), random_state=0)
y, x = np.indices(frame.image.shape)
flat = np.ones(frame.image.shape)
for row, column, radius in ((0.3, 0.25, 0.05), (0.7, 0.6, 0.07), (0.25, 0.85, 0.04)):
    distance = np.hypot(y - row * y.max(), x - column * x.max()) / x.max()
    flat[(distance < radius) & (distance > 0.45 * radius)] = 0.93
image, background = frame.image * flat, frame.background * flat
draw(image.astype(np.float32), background, BackgroundSplineRegressor().fit(image))

# %%
# A step, as between the panels of a mosaic or the halves of an amplifier: fit each part for itself.
step = np.where(x < 0.4 * x.max(), 0.04, 0.0) * np.median(frame.background)
image, background = frame.image + step, frame.background + step
draw(image.astype(np.float32), background, BackgroundSplineRegressor().fit(image))

# %%
# Dust over the whole frame: hardly anywhere is there surely sky. The background is fitted to the smooth places between
# the clouds; where there are none, the darkest dust is taken for sky. A mask of what is known to be dust helps.
dust = make_sky_image("dust", shape=(400, 600), random_state=2)
draw(dust.image, dust.background, BackgroundSplineRegressor().fit(dust.image))

# %%
# Where objects are not looked for, the dust is not noticed either, and the background follows it.
draw(dust.image, dust.background, BackgroundSplineRegressor(mask_objects=False).fit(dust.image))
