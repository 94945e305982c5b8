"""
A pipeline with a source mask and a stretch
===========================================

Stars and nebulae are masked, the background is fitted to the sky between them and removed, and the result is stretched
to be looked at: three steps of one scikit-learn Pipeline.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.pipeline import Pipeline

from skbgopt import BackgroundSplineRegressor, MidtonesStretch, SourceMasker, gradient_left, make_sky_image

frame = make_sky_image("ha", shape=(600, 900), random_state=1)

# %%
# The masker returns a masked array. The regressor leaves the masked pixels out of its fit and corrects them like all
# others. The stretch takes its sky level from the pixels that are not masked, and its white from all. The mask comes
# out at the end.
pipeline = Pipeline(
    [
        ("sources", SourceMasker()),
        ("background", BackgroundSplineRegressor()),
        ("stretch", MidtonesStretch()),
    ]
)
result = pipeline.fit_transform(frame.image)
print(f"masked: {result.mask.mean():.0%} of the pixels")

# %%
# What is left of the gradient, as a share of what was there, with the mask and without it.
background = pipeline["background"].predict(frame.image)
unmasked = BackgroundSplineRegressor().fit(frame.image).predict(frame.image)
print(f"with the mask: {gradient_left(background, frame.background, frame.mask):.3f}")
print(f"without:       {gradient_left(unmasked, frame.background, frame.mask):.3f}")

# %%
# Image, background and result in one common stretch, that of the image; then the result as the pipeline stretches it.
common = MidtonesStretch().fit(frame.image)
corrected = pipeline["background"].transform(frame.image)
pictures = {
    f"Image, {result.mask.mean():.0%} masked": common.transform(frame.image),
    "Background": common.transform(background),
    "Result": common.transform(corrected),
    "Result in the pipeline's stretch": result.data,
}
figure, panels = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
for axes, (title, picture) in zip(panels.flat, pictures.items(), strict=True):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title)
    axes.set_axis_off()
panels[0, 0].imshow(np.ma.array(result.mask, mask=~result.mask), cmap=ListedColormap(["red"]), alpha=0.35)
