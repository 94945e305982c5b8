"""``skbgopt demo``: the whole way on a made frame with known truth, or on a user's image, with a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skbgopt.cli._errors import SentenceCommand
from skbgopt.cli._help import EXIT_CODES
from skbgopt.cli._log import speaker
from skbgopt.cli._options import message_options

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from skbgopt.cli._report import Say
    from skbgopt.cli._run import Removal

_SHAPE = (2000, 3000)
_KIND = "galaxy"
_SEED = 7


_EPILOG = f"""\b
Examples:
  skbgopt demo                                a made frame; writes demo/
  skbgopt demo stack.xisf --output-dir look   on an image of yours

{EXIT_CODES}
"""


@click.command(cls=SentenceCommand, epilog=_EPILOG)
@click.argument("image", required=False, type=click.Path(path_type=Path))
@click.option("--output-dir", default="demo", show_default=True, type=click.Path(path_type=Path), help="For all files.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@message_options
def demo(image: Path | None, output_dir: Path, overwrite: bool, quiet: bool, verbose: bool, **_) -> None:
    """Remove the background of IMAGE, or of a made frame with known truth, and draw before and after."""
    from skbgopt.cli._outputs import check_targets, split_suffix

    say = speaker(quiet)
    picture = output_dir / f"{split_suffix(image)[0] if image else 'frame'}_before_model_after.png"
    frames = [] if image else [output_dir / f"frame{suffix}" for suffix in (".fits", ".xisf")]
    check_targets([*frames, picture], [image] if image else [], overwrite=overwrite)

    def remove(path: Path) -> Removal:
        from skbgopt.cli._job import Job
        from skbgopt.cli._run import run_removal

        say(f"\nskbgopt remove {path} {output_dir}")
        return run_removal(Job(path, output_dir, overwrite=overwrite, verbose=verbose), say)

    if image is None:
        _made_frame(frames, picture, remove, say)
    else:
        removal = remove(image)
        _draw(removal, picture, say)
        say(f"{image}: {removal.seconds:.1f} seconds.")


def _made_frame(paths: list[Path], picture: Path, remove: Callable[[Path], Removal], say: Say) -> None:
    from skbgopt.datasets import make_sky_image
    from skbgopt.io import write_image

    say(f"Making a frame of {_SHAPE[0]} x {_SHAPE[1]} pixels: {_KIND}, seed {_SEED}.")
    frame = make_sky_image(_KIND, shape=_SHAPE, random_state=_SEED)
    picture.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for path in paths:
        write_image(path, frame.image, overwrite=True, history=["made by skbgopt demo"])
        removal = remove(path)
        lines.append(_result(path, removal, frame))
    _draw(removal, picture, say, mask=frame.mask)
    say()
    for line in lines:
        say(line)


def _result(path: Path, removal: Removal, frame: Bunch) -> str:
    import numpy as np

    from skbgopt.metrics import gradient_left

    left = gradient_left(removal.background, frame.background, frame.mask)
    constant = gradient_left(np.zeros_like(frame.background), frame.background, frame.mask)
    return (
        f"{path}: {100 * left:.1f} % of the gradient is left "
        f"(a constant background leaves {100 * constant:.0f} %), {removal.seconds:.1f} seconds."
    )


def _draw(removal: Removal, picture: Path, say: Say, mask=None) -> None:
    from skbgopt.cli._preview import save_figure
    from skbgopt.plotting import BackgroundDisplay

    display = BackgroundDisplay(removal.image, removal.background, removal.corrected, mask=mask).plot()
    save_figure(display.figure_, picture, say)
