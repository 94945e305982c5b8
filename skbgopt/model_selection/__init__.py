"""Search for settings on held-out blocks of sky: of one image or of many, by Optuna."""

from ._block_kfold import ImageBlockKFold
from ._held_out import cross_val_score_image, held_out_score
from ._objective import background_objective
from ._search import BackgroundSearchCV

__all__ = [
    "BackgroundSearchCV",
    "ImageBlockKFold",
    "background_objective",
    "cross_val_score_image",
    "held_out_score",
]
