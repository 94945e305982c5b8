"""
Remove a background
===================

A small galaxy under moonlight: fit the background, look at it, remove it, and compare with the truth that the made
frame comes with.
"""

from skbgopt import BackgroundDisplay, BackgroundSplineRegressor, gradient_left, make_sky_image

frame = make_sky_image("galaxy", shape=(600, 900), random_state=0)

# %%
# The empty border of the frame holds exact zeros, which are left out without being told.
model = BackgroundSplineRegressor().fit(frame.image)
background = model.predict(frame.image)

# %%
# What is left of the gradient, as a share of what was there.
print(f"smoothing chosen: {model.smoothing_:g}")
print(f"gradient left: {gradient_left(background, frame.background, frame.mask):.3f}")

# %%
# The image without its background is ``model.transform(frame.image)``, which the display takes for itself.
BackgroundDisplay.from_estimator(model, frame.image).figure_
