"""Losses over background and defect classes: the project's by name, anybody's own by `module.function`."""

from __future__ import annotations

import difflib

import torch
import torch.nn.functional as F

from steel_defects.core.errors import UserError
from steel_defects.models.own_loss import Loss, load_own


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over all pixels. Logits float [B, C + 1, H, W], target uint8 or int64 [B, H, W]."""
    return F.cross_entropy(logits, target.long())


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - Dice of the probabilities, for each image and each defect class its truth holds, averaged.

    A class that an image lacks has no overlap to gain, so cross entropy alone answers for false alarms.
    Dice is taken image by image because `miou` is: a small defect weighs as much as a large one.
    Without any defect in the batch the loss is 0.
    """
    probability = logits.float().softmax(dim=1)[:, 1:]
    classes = torch.arange(1, logits.shape[1], device=target.device).view(1, -1, 1, 1)
    truth = target[:, None] == classes  # bool: an eighth of what one_hot takes, which at full size matters
    overlap = (probability * truth).sum(dim=(2, 3))
    area = truth.sum(dim=(2, 3))
    dice = 2 * overlap / (probability.sum(dim=(2, 3)) + area).clamp_min(1)
    present = area > 0
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


def cross_entropy_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy plus soft Dice, equal parts."""
    return cross_entropy(logits, target) + soft_dice(logits, target)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "cross_entropy_dice": cross_entropy_dice}


def get_loss(name: str) -> Loss:
    """Find a loss by its name in the configuration.

    Args:
        name: a key of `LOSSES`; or `module.function`, the module being a file in the working directory or installed.

    Raises:
        UserError: naming the known ones, or what is wrong with the user's.
    """
    if isinstance(name, str) and name in LOSSES:
        return LOSSES[name]
    if not isinstance(name, str) or "." not in name:
        close = difflib.get_close_matches(str(name), LOSSES, n=1)
        raise UserError(
            f"recipe.loss is one of {', '.join(LOSSES)}; not {name!r}."
            + (f" Did you mean {close[0]}?" if close else "")
            + " One of your own is written <module>.<function>: recipe.loss=my_losses.focal for focal in my_losses.py"
        )
    return load_own(name)
