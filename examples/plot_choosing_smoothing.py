"""
Choosing the smoothing
======================

``smoothing`` is the price of bending, and the parameter that matters most. Too little, and the model follows nebulae;
too much, and it misses the gradient. The best differs by a factor of 100,000 between frames, so by default each image
chooses its own.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay, SmoothingPathDisplay

NAMES = {"ha": r"H$\alpha$", "oiii": "[O III]"}
frames = {kind: make_sky_image(kind, shape=(400, 600), random_state=4) for kind in NAMES}

# %%
# A large nebula on a plain gradient, and a small one on a bad gradient: too little, chosen, and the most. That is too
# much for the bad gradient only; a plain one is nearly a parabola, which bends at no cost. Below each result is what
# the model has too much (red) or too little (blue), in units of the noise of a pixel.
figure, panels = plt.subplots(4, 4, figsize=(15, 10.6), layout="constrained")
for (kind, frame), results, errors in zip(frames.items(), panels[::2], panels[1::2], strict=True):
    for above, below, smoothing in zip(results[1:], errors[1:], (1e-7, "auto", 10.0), strict=True):
        model = BackgroundSplineRegressor(smoothing=smoothing).fit(frame.image)
        background = model.predict(frame.image)
        before, _, after = BackgroundDisplay(frame.image, background, model.transform(frame.image)).pictures()
        above.imshow(after)
        chosen = "auto: " if smoothing == "auto" else ""
        left = gradient_left(background, frame.background)
        above.set_title(f"{chosen}{model.smoothing_:g}: {left:.1%} left")
        error = (background - frame.background) / frame.noise
        drawn = below.imshow(error - np.median(error), cmap="RdBu_r", vmin=-5, vmax=5)
    results[0].imshow(before)
    results[0].set_title(NAMES[kind])
figure.colorbar(drawn, ax=panels, label="model less truth, in noise of a pixel", shrink=0.4, pad=0.01)
for axes in panels.flat:
    axes.set_axis_off()
plt.show()

# %%
# How ``smoothing="auto"`` chooses: each smoothing of a path is fitted to the image without some large blocks, and
# judged by what was held out and by how freely it bends. The true error, which only a made frame knows, agrees with
# the choice.
path = np.logspace(1, -7, 9)
figure, panels = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", sharex="col")
for (kind, frame), (above, below) in zip(frames.items(), panels.T, strict=True):
    SmoothingPathDisplay.from_estimator(BackgroundSplineRegressor().fit(frame.image), ax=above)
    above.set(title=NAMES[kind], xlabel="")
    fits = [BackgroundSplineRegressor(smoothing=smoothing).fit(frame.image) for smoothing in path]
    below.loglog(path, [gradient_left(fit.predict(frame.image), frame.background) for fit in fits], "o-", color="0.3")
    below.set(xlabel="smoothing", ylabel="gradient left", ylim=(0.005, 2))
plt.show()
