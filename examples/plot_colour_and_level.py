"""
Colour and level
================

The sky of each channel is fitted with one set of control points and one loss for all channels, and subtracted in the
image's own units. Nothing is clipped, stretched or neutralised, so the colours of stars are what they were.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.plotting import BackgroundDisplay

frame = make_sky_image("galaxy", shape=(500, 750), random_state=0)
model = BackgroundSplineRegressor().fit(frame.image)
BackgroundDisplay.from_estimator(model, frame.image).figure_

# %%
# ``level="median"`` leaves each channel the median of its background, so that nothing falls below 0 that was above
# it; ``level="zero"`` brings the sky of all channels to 0, as photometry wants it.
kept = model.transform(frame.image)
zero = model.set_params(level="zero").transform(frame.image)
figure, panels = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained", sharey=True)
bins = np.linspace(-0.002, 0.025, 250)
pictures = {"before": frame.image, 'level="median"': kept, 'level="zero"': zero}
for axes, (name, picture) in zip(panels, pictures.items(), strict=True):
    for c, colour in enumerate(("tab:red", "tab:green", "tab:blue")):
        axes.hist(picture[~frame.mask][:, c], bins=bins, histtype="step", color=colour)
    axes.set(title=name, xlabel="pixel value")
panels[0].set_ylabel("pixels")
plt.show()

# %%
# Star by star: the colour that is left of each against the one that the made frame gave it.
light = np.where(frame.mask[:, :, None], 0, frame.objects)
rows, columns = np.nonzero((light[:, :, 1] > 60 * frame.noise[1]) & (light.max(axis=2) < 0.5))
true = light[rows, columns]
measured = zero[rows, columns]
figure, axes = plt.subplots(figsize=(5.4, 4.8), layout="constrained")
axes.plot(true[:, 2] / true[:, 0], measured[:, 2] / measured[:, 0], ".", ms=3, alpha=0.5)
axes.plot([0.3, 3], [0.3, 3], "k-", lw=1)
axes.set(xlabel="true blue / red", ylabel="measured blue / red", xlim=(0.3, 3), ylim=(0.3, 3), aspect="equal")
plt.show()
