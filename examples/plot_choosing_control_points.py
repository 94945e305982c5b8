"""
Choosing the number of control points
=====================================

``n_control_points`` bounds the finest structure that the spline could follow; within it the smoothing decides. Too
few, and no smoothing makes the model bend where the sky does; more than enough only costs time, as long as the
smoothing is chosen. Without one (``smoothing=0``, as published), the number is all that holds the model back.
"""

import matplotlib.pyplot as plt

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import ControlPointsDisplay

frame = make_sky_image("oiii", shape=(400, 600), random_state=4)
numbers = (9, 64, 196)

# %%
# Above with the smoothing chosen, below without one. The control points stand on a grid in rows that follow the
# frame.
figure, panels = plt.subplots(2, 3, figsize=(14, 7.2), layout="constrained")
for row, options in zip(panels, ({}, {"smoothing": 0.0, "mask_objects": False}), strict=True):
    for axes, number in zip(row, numbers, strict=True):
        model = BackgroundSplineRegressor(n_control_points=number, **options).fit(frame.image)
        ControlPointsDisplay.from_estimator(model, frame.image, ax=axes)
        left = gradient_left(model.predict(frame.image), frame.background)
        axes.set_title(f"N = {number}, smoothing {model.smoothing_:g}: {left:.1%} left")
plt.show()
