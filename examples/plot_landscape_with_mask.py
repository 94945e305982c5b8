"""
A night landscape with a mask
=============================

The exposures were registered on the stars, so the hills are a blur in the stack: darker than the sky, with bright
lamps. Neither is sky, and the model must see neither. This is the first example of Sergio Díaz's page on bgoptimizer,
on a made frame; the command for it is ``skbgopt remove -m mask.xisf landscape.xisf``.
"""

from skbgopt import BackgroundSplineRegressor, gradient_left, make_sky_image
from skbgopt.plotting import BackgroundDisplay

frame = make_sky_image("landscape", shape=(600, 900), random_state=3)

# %%
# In Python a mask is boolean and True where pixels are left out. (In the file of the command white is used and black
# is not.) The masked pixels are left out of the fit; the model goes on below them, and is subtracted from them too.
model = BackgroundSplineRegressor().fit(frame.image, mask=frame.mask)
BackgroundDisplay.from_estimator(model, frame.image, mask=frame.mask).figure_

# %%
# Without the mask the hills pass for the darkest sky, and the model falls off towards them.
unmasked = BackgroundSplineRegressor().fit(frame.image)
BackgroundDisplay.from_estimator(unmasked, frame.image).figure_

# %%
# The published settings find this sky too (his command was ``-dq 0.95 -N 64 -m mask.xisf -i grid -e 2000``), with
# more of the gradient left: they bend at no cost, and their scale of what counts as sky does not know the noise.
published = BackgroundSplineRegressor(
    n_control_points=64, order=2, smoothing=0.0, quantile=0.95, loss_scale=0.001, mask_objects=False, max_iter=2000
).fit(frame.image, mask=frame.mask)
for name, fitted in {"masked": model, "without a mask": unmasked, "published, masked": published}.items():
    left = gradient_left(fitted.predict(frame.image), frame.background, frame.mask)
    print(f"{name}: {left:.3f} of the gradient left")
