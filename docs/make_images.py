"""The picture of README and the first page: ``python docs/make_images.py``."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

from PIL import Image

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.plotting import BackgroundDisplay


def before_model_after(shape: tuple[int, int]) -> Image.Image:
    """Return the picture of a galaxy under moonlight before, of the background, and after."""
    frame = make_sky_image("galaxy", shape=shape, empty_border=0, random_state=3)
    model = BackgroundSplineRegressor().fit(frame.image)
    display = BackgroundDisplay(frame.image, model.predict(frame.image), model.transform(frame.image))
    figure = display.plot().figure_
    display.colorbar_.remove()
    drawn = BytesIO()
    figure.savefig(drawn, dpi=72, bbox_inches="tight", pad_inches=0.02)
    return Image.open(drawn).convert("RGB")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--rows", type=int, default=1200)
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    picture = before_model_after((options.rows, options.rows * 3 // 2))
    picture.save(options.output_dir / "before_model_after.png", optimize=True)


if __name__ == "__main__":
    main()
