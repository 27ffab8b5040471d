"""A loss from a module of the user's, by `module.function`."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from steel_defects.core.errors import UserError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class OwnLoss:
    """A loss from a module of the user's: called as losses usually expect it, and held to what training needs.

    It is no `nn.Module`, so that buffers of the user's (weights of the classes, say) stay out of checkpoints, which
    have to load where the user's module is not.

    Args:
        name: as in `recipe.loss`.
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
        try:
            loss = self.function(logits, target.long())
        except torch.OutOfMemoryError:  # not the function's fault
            raise
        except Exception as error:  # whatever the user's function does wrong
            raise UserError(f"recipe.loss={self.name} failed: {type(error).__name__}: {error}{_line(error)}") from error
        if not isinstance(loss, torch.Tensor) or loss.dim() or not loss.is_floating_point():
            tensor = isinstance(loss, torch.Tensor)
            what = f"a tensor of shape {list(loss.shape)}, {loss.dtype}" if tensor else repr(loss)[:80]
            raise UserError(
                f"recipe.loss={self.name} returned {what}; it has to return one number for the batch, "
                "a floating-point tensor of shape [], such as a mean"
            )
        if logits.requires_grad and not loss.requires_grad:
            raise UserError(
                f"recipe.loss={self.name} returned a number that has lost its way back to the logits: compute it from "
                "them with torch alone, without argmax, detach, item or numpy"
            )
        return loss


def load_own(name: str) -> OwnLoss:
    """Import a loss.

    Args:
        name: `module.function`, the module being a file in the working directory or installed.

    Raises:
        UserError: saying what is wrong with it.
    """
    place, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"recipe.loss={name} is no <module>.<function>, such as my_losses.focal")
    module = _import(place, name)
    if not hasattr(module, attribute):
        raise UserError(f"recipe.loss={name}: {_file(module)} has no {attribute}{_others(module)}")
    function = getattr(module, attribute)
    _check_callable(name, attribute, function)
    return OwnLoss(name, function)


def _import(place: str, name: str) -> ModuleType:
    # `python -m` looks into the working directory, an installed command does not; both are to find the same files.
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise UserError(
                f"recipe.loss={name}: there is no module {error.name}, neither in {folder} nor installed"
            ) from error
        raise UserError(f"recipe.loss={name}: {place} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's file does wrong
        reason = f"{type(error).__name__}: {error}{_line(error)}"
        raise UserError(f"recipe.loss={name}: {place} cannot be imported: {reason}") from error


def _line(error: BaseException) -> str:
    """The innermost line outside of Python and its packages; a syntax error tells its own."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [f for f in frames if "importlib" not in f.filename and "site-packages" not in f.filename]
    return "" if isinstance(error, SyntaxError) or not own else f" ({own[-1].filename}, line {own[-1].lineno})"


def _check_callable(name: str, attribute: str, function: object) -> None:
    if inspect.isclass(function):
        raise UserError(
            f"recipe.loss={name} is a class, and takes arguments that only you know. In a file of your own, "
            f"my_losses.py say, write `mine = {attribute}(...)`, and set recipe.loss=my_losses.mine"
        )
    if not callable(function):
        raise UserError(f"recipe.loss={name} is no function, but {type(function).__name__}")
    if isinstance(function, nn.Module) and any(parameter.requires_grad for parameter in function.parameters()):
        raise UserError(f"recipe.loss={name} has parameters to learn, and the optimiser is given the net's alone")
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except ValueError:  # of some functions written in C, nothing is known
        return
    try:
        signature.bind("logits", "target")
    except TypeError as error:
        raise UserError(
            f"recipe.loss={name} is called with (logits, target), and takes {attribute}{signature}: {error}"
        ) from error


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


def _others(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if callable(value) and not inspect.isclass(value)]
    names = [name for name in names if not name.startswith("_")]
    return f"; it has {', '.join(names[:10])}" if names else ""
