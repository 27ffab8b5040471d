"""Losses over background and defect classes: the project's by name, anybody's own by `module.function`."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from steel_defects.core.errors import UserError
from steel_defects.core.own import call_own, load_own

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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
    if name in LOSSES:
        return LOSSES[name]
    if "." not in name:
        close = difflib.get_close_matches(name, LOSSES, n=1)
        raise UserError(
            f"recipe.loss is one of {', '.join(LOSSES)}; not {name!r}."
            + (f" Did you mean {close[0]}?" if close else "")
            + " One of your own is written <module>.<function>: recipe.loss=my_losses.focal for focal in my_losses.py"
        )
    function = load_own("recipe.loss", name, ("logits", "target"), "my_losses.focal")
    if isinstance(function, nn.Module) and any(parameter.requires_grad for parameter in function.parameters()):
        raise UserError(f"recipe.loss={name} has parameters to learn, and the optimiser is given the net's alone")
    return OwnLoss(name, function)


class OwnLoss:
    """A loss from a module of the user's: called as losses usually expect it, and held to what training needs.

    It is no `nn.Module`, so that buffers of the user's (weights of the classes, say) stay out of checkpoints, which
    have to load where the user's module is not.

    Args:
        name: the value of `recipe.loss`.
        function: a function or an `nn.Module`; the latter follows the logits to their device.
    """

    def __init__(self, name: str, function: Loss) -> None:
        self.name, self.function = name, function

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, C + 1, H, W], target of any integer type [B, H, W], given to the function as int64.

        Raises:
            UserError: where it fails, or the result is nothing that a net can learn from.
        """
        if isinstance(self.function, nn.Module):
            self.function.to(logits.device)
        what = f"recipe.loss={self.name}"
        loss = call_own(what, self.function, logits, target.long(), let_through=(torch.OutOfMemoryError,))
        if not isinstance(loss, torch.Tensor) or loss.dim() or not loss.is_floating_point():
            tensor = isinstance(loss, torch.Tensor)
            result = f"a tensor of shape {list(loss.shape)}, {loss.dtype}" if tensor else repr(loss)[:80]
            raise UserError(
                f"{what} returned {result}; it has to return one number for the batch, "
                "a floating-point tensor of shape [], such as a mean"
            )
        if logits.requires_grad and not loss.requires_grad:
            raise UserError(
                f"{what} returned a number that has lost its way back to the logits: compute it from "
                "them with torch alone, without argmax, detach, item or numpy"
            )
        return loss
