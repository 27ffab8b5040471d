"""Functions from modules of the user's, named in a setting as `module.function`."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from steel_defects.core.errors import UserError

Result = TypeVar("Result")


def load_own(setting: str, name: str, arguments: Sequence[str], example: str) -> Callable[..., Any]:
    """Import what a setting names.

    Only what the user typed or wrote into a configuration comes here, never a name that a checkpoint holds: a file must
    not choose the code that is run.

    Args:
        setting: the key it is the value of, such as `recipe.loss`.
        name: `module.function`, the module being a file in the working directory or installed.
        arguments: names of the positional arguments that it is called with.
        example: such a name, for messages.

    Raises:
        UserError: saying what is wrong with it.
    """
    place, _, attribute = name.rpartition(".")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{setting}={name} is no <module>.<function>, such as {example}")
    module = _import(place, f"{setting}={name}")
    if not hasattr(module, attribute):
        raise UserError(f"{setting}={name}: {_file(module)} has no {attribute}{_others(module)}")
    function = getattr(module, attribute)
    if inspect.isclass(function):
        file = example.partition(".")[0]
        raise UserError(
            f"{setting}={name} is a class, and takes arguments that only you know. In a file of your own, {file}.py "
            f"say, write `mine = {attribute}(...)`, and set {setting}={file}.mine"
        )
    if not callable(function):
        raise UserError(f"{setting}={name} is no function, but {type(function).__name__}")
    try:
        # Of an nn.Module, whose __call__ takes anything, what it forwards to.
        signature = inspect.signature(getattr(function, "forward", function))
    except ValueError:  # of some functions written in C, nothing is known
        return function
    try:
        signature.bind(*arguments)
    except TypeError as error:
        called = f"({', '.join(arguments)})"
        raise UserError(
            f"{setting}={name} is called with {called}, and takes {attribute}{signature}: {error}"
        ) from error
    return function


def call_own(
    what: str, function: Callable[..., Result], *arguments: Any, let_through: tuple[type[Exception], ...] = ()
) -> Result:
    """Call a function of the user's.

    Args:
        what: what it is, for the message.
        function: the function.
        arguments: what it is called with.
        let_through: errors that are not its fault.

    Raises:
        UserError: where it raises anything else, with the line of its file.
    """
    try:
        return function(*arguments)
    except let_through:
        raise
    except Exception as error:  # whatever the user's function does wrong
        raise UserError(f"{what} failed: {type(error).__name__}: {error}{_line(error)}") from error


def _line(error: BaseException) -> str:
    """The innermost line outside of Python and its packages, in brackets; a syntax error tells its own."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    users = [f for f in frames if "importlib" not in f.filename and "site-packages" not in f.filename]
    return "" if isinstance(error, SyntaxError) or not users else f" ({users[-1].filename}, line {users[-1].lineno})"


def _import(place: str, typed: str) -> ModuleType:
    # `python -m` looks into the working directory, an installed command does not; both are to find the same files.
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise UserError(f"{typed}: there is no module {error.name}, neither in {folder} nor installed") from error
        raise UserError(f"{typed}: {place} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's file does wrong
        reason = f"{type(error).__name__}: {error}{_line(error)}"
        raise UserError(f"{typed}: {place} cannot be imported: {reason}") from error


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


def _others(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if callable(value) and not inspect.isclass(value)]
    names = [name for name in names if not name.startswith("_")]
    return f"; it has {', '.join(names[:10])}" if names else ""
