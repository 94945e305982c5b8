"""
Choosing the quantile of the stretch
====================================

The stretch brings the sky to a quarter of the range; ``quantile`` says which share of the pixels it does not clip.
Clipped stars do no harm. A clipped gradient does: where it is brightest the model sees a plateau.

With the default ``loss_scale="noise"`` the fit itself is linear and the quantile serves the thresholds and the
pictures only. It matters where stretched values are fitted, as published.
"""

import matplotlib.pyplot as plt

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay, StretchDisplay

frame = make_sky_image("landscape", shape=(400, 600), random_state=0)

# %%
# Too low: a fifth of the sky is clipped, all of it near the horizon, where the gradient is steepest.
low = BackgroundSplineRegressor(quantile=0.8)
StretchDisplay.from_estimator(low.fit(frame.image, mask=frame.mask), frame.image, mask=frame.mask).figure_

# %%
# The default clips stars.
default = BackgroundSplineRegressor()
StretchDisplay.from_estimator(default.fit(frame.image, mask=frame.mask), frame.image, mask=frame.mask).figure_

# %%
# What the fit makes of it, in stretched values and in linear ones.
figure, panels = plt.subplots(2, 3, figsize=(14, 6.6), layout="constrained")
for row, loss_scale in zip(panels, (0.001, "noise"), strict=True):
    for axes, quantile in zip(row, (0.8, 0.95, 1.0), strict=True):
        model = BackgroundSplineRegressor(quantile=quantile, loss_scale=loss_scale).fit(frame.image, mask=frame.mask)
        background = model.predict(frame.image)
        display = BackgroundDisplay(frame.image, background, model.transform(frame.image), mask=frame.mask)
        axes.imshow(display.pictures()[2])
        left = gradient_left(background, frame.background, frame.mask)
        axes.set_title(f"loss_scale = {loss_scale}, quantile = {quantile:g}: {left:.1%} left")
        axes.set_axis_off()
plt.show()
