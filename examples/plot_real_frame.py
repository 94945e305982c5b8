"""
A real frame under the Moon
===========================

The stack of eleven exposures of M 94 from a small telescope, with the Moon at 91 %: a curved gradient in each colour,
only a few times the noise, and borders of NaN that no exposure covers. (Without the file, a made frame stands in.)
"""

import os
from pathlib import Path

import numpy as np

from skbgopt import BackgroundSplineRegressor, make_sky_image, read_image
from skbgopt.plotting import BackgroundDisplay, ResidualDisplay

path = Path(os.environ.get("SKBGOPT_DATA", "../../shared/data")) / "m94_seestar_moonlit_nan_rgb.fits"
if path.exists():
    image, metadata = read_image(path)
else:
    image = make_sky_image("galaxy", shape=(800, 600), gradient=0.3, noise=3e-4, random_state=1).image

# %%
# NaN is left out without being told, and comes back as it is.
model = BackgroundSplineRegressor().fit(image)
BackgroundDisplay.from_estimator(model, image).figure_


# %%
# No truth is known here. The range of the medians of 6 x 6 parts of the frame says how uneven the sky is.
def uneven(picture):
    """Largest less smallest median of 6 x 6 parts, in units of the noise."""
    parts = [part for rows in np.array_split(picture, 6) for part in np.array_split(rows, 6, axis=1)]
    return np.ptp([np.nanmedian(part, axis=(0, 1)) for part in parts], axis=0) / model.noise_


print("before:", uneven(image).round(2), "after:", uneven(model.transform(image)).round(2), "of the noise")

# %%
# What is left, in units of the noise of a reduced pixel. Objects are above the sky; the sky itself has no structure
# left, and its histogram is that of noise.
ResidualDisplay.from_estimator(model, image).figure_
