"""
How sure is it?
===============

``predict(X, return_std=True)`` returns the standard error of the background as well: how much it would scatter if the
noise were another. It is small where there is sky, and grows below masks and towards the edges, where the model goes
on without being told. What it cannot know is light that was taken for sky, such as dust that fills the frame.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.plotting import UncertaintyDisplay

frame = make_sky_image("oiii", shape=(400, 600), random_state=1)

# %%
# A quarter of the frame is masked: below it the background is a guess, and the map says so.
mask = np.zeros(frame.image.shape, dtype=bool)
rows, columns = mask.shape
mask[rows // 4 : 3 * rows // 4, columns // 2 : 7 * columns // 8] = True
model = BackgroundSplineRegressor().fit(frame.image, mask=mask)
UncertaintyDisplay.from_estimator(model, frame.image, mask=mask).figure_

# %%
# Is it true? The error, which only a made frame knows, over the standard error that the fit gave.
background, std = model.predict(frame.image, return_std=True)
error = background - frame.background
error -= np.median(error[~mask])
figure, (picture, histogram) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", width_ratios=(1.3, 1))
drawn = picture.imshow(error / std, cmap="RdBu_r", vmin=-4, vmax=4)
picture.set_title("error / standard error")
picture.set_axis_off()
figure.colorbar(drawn, ax=picture)
for name, part in {"sky": ~mask, "below the mask": mask}.items():
    within = np.mean(np.abs(error / std)[part] < 1)
    histogram.hist((error / std)[part], np.linspace(-5, 5, 81), histtype="step", density=True, label=name)
    print(f"{name}: {within:.0%} within one standard error")
histogram.set(xlabel="error / standard error", ylabel="density")
histogram.legend()
plt.show()
