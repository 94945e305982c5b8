"""GraXpert's radial basis functions: a function where it is installed, else a script for the environment where it is.

`python graxpert_rbf.py image.npy mask.npy model.npy`. It takes no mask: what a user does in its window, take away the
points that lie on what is no sky, is done by the mask here.
"""

import importlib
import sys

import numpy as np

# The defaults of its window: points a row, tolerance, half the side of a sample.
_POINTS_PER_ROW = 15
_TOLERANCE = 1.0
_SAMPLE_SIZE = 25
_LEAST_USABLE = 0.9


def graxpert_model(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the background on the points of its own grid selection, with its default settings."""
    selection = importlib.import_module("graxpert.background_grid_selection")
    extraction = importlib.import_module("graxpert.background_extraction")
    channels = np.array(np.atleast_3d(image), dtype=np.float32)  # it writes the corrected image into its input
    usable = np.isfinite(channels).all(axis=2) & (True if mask is None else ~mask)
    channels[~usable] = np.median(channels[usable], axis=0)
    # Its reader brings what is outside [0, 1] into it.
    low, high = float(channels.min()), float(channels.max())
    scale, offset = (1.0, 0.0) if low >= 0 and high <= 1 else (high - low, low)
    channels = (channels - offset) / scale
    points = selection.background_grid_selection(channels, _POINTS_PER_ROW, _TOLERANCE, _SAMPLE_SIZE)
    points = np.array([point for point in points if _share(usable, *point[:2]) >= _LEAST_USABLE])
    model = extraction.extract_background(
        channels, points, "RBF", 0.0, 4, _SAMPLE_SIZE, "thin_plate", 3, "Subtraction", None
    )  # fmt: skip
    return (model * scale + offset).astype(np.float32).reshape(image.shape)


def _share(usable: np.ndarray, x: int, y: int) -> float:
    """Return the share of usable pixels in the sample of a point."""
    return usable[max(0, y - _SAMPLE_SIZE) : y + _SAMPLE_SIZE, max(0, x - _SAMPLE_SIZE) : x + _SAMPLE_SIZE].mean()


if __name__ == "__main__":
    image_file, mask_file, model_file = sys.argv[1:]
    np.save(model_file, graxpert_model(np.load(image_file), np.load(mask_file)))
