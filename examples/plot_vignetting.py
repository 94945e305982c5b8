"""
Vignetting: divide instead of subtract
======================================

A vignette dims the light of the stars with the sky, so taking away what is missing from the sky does not give the
stars their light back. With ``correction="divide"`` the image is divided by its background over the background's
median. It is for frames without a flat; a real flat also knows what the sky cannot tell.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.plotting import BackgroundDisplay

# %%
# A frame under an even sky, dimmed by up to a half towards the corners.
clear = make_sky_image("galaxy", shape=(500, 750), gradient=0, empty_border=0, random_state=2)
y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in clear.image.shape[:2]), indexing="ij")
throughput = 1 - 0.25 * (x**2 + y**2)[:, :, None]
image = (clear.image * throughput).astype(np.float32)

# %%
# Both give an even sky.
model = BackgroundSplineRegressor(correction="divide").fit(image)
BackgroundDisplay.from_estimator(model, image).figure_

# %%
# The light of the stars tells the difference: what is measured over what was sent, against the distance from the
# centre.
divided = model.transform(image)
subtracted = model.set_params(correction="subtract").transform(image)
level = np.median(divided, axis=(0, 1))
bright = clear.objects[:, :, 1] > 100 * clear.noise[1]
distance = np.hypot(x, y)[bright]
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
for name, result in {"subtracted": subtracted, "divided": divided}.items():
    share = (result - level)[bright][:, 1] / clear.objects[bright][:, 1]
    share /= np.median(share[distance < 0.3])
    axes.plot(distance, share, ".", ms=3, label=name)
axes.axhline(1, color="0.4", lw=1)
axes.set(xlabel="distance from the centre", ylabel="light measured / light sent", ylim=(0.4, 1.2))
axes.legend(markerscale=4)
plt.show()
