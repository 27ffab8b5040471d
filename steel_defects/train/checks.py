"""What the settings of a training may be; what libraries say of wrong ones, and when, is hard to trace back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from steel_defects.core.errors import UserError


class Rule(NamedTuple):
    """What a value has to be.

    Args:
        fits: whether one is.
        words: what is said of one that is not.
    """

    fits: Callable[[object], bool]
    words: str


def _count(least: int, most: float = float("inf")) -> Rule:
    return Rule(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
        f"a whole number, {least} or more" if most == float("inf") else f"a whole number from {least} to {most}",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _number(fits: Callable[[float], bool], words: str) -> Rule:
    return Rule(lambda value: _is_number(value) and fits(value), f"a number, {words}")


def _choice(*names: str) -> Rule:
    return Rule(lambda value: value in names, f"one of {', '.join(names)}")


def _three(fits: Callable[[float], bool], words: str) -> Rule:
    def all_fit(value: object) -> bool:
        return isinstance(value, Sequence) and len(value) == 3 and all(_is_number(one) and fits(one) for one in value)

    return Rule(all_fit, f"three numbers, {words}")


def _or_null(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.fits(value), f"{rule.words}, or null")


# Lightning's other ways to start processes end them with the training, and what was tested would be gone with them.
_STRATEGY = Rule(
    lambda value: isinstance(value, str) and not any(word in value for word in ("spawn", "fork", "notebook")),
    "auto, or ddp for several devices; not one that spawns or forks its processes",
)

_RULES: dict[str, Rule] = {
    "seed": _count(0, 2**32 - 1),
    "recipe.epochs": _count(1),
    "recipe.batch_size": _count(2),
    "recipe.optimizer": _choice("sgd", "adamw"),
    "recipe.lr": _number(lambda value: 0 <= value < float("inf"), "0 or more"),
    "recipe.weight_decay": _number(lambda value: 0 <= value < float("inf"), "0 or more"),
    "recipe.momentum": _number(lambda value: 0 <= value < 1, "from 0 to below 1"),
    "recipe.schedule": _choice("polynomial", "one_cycle", "constant"),
    "recipe.power": _number(lambda value: 0 < value < float("inf"), "above 0"),
    "recipe.warmup": _number(lambda value: 0 <= value < 1, "from 0 to below 1"),
    "encoder.mean": _three(lambda value: abs(value) < float("inf"), "one a channel"),
    "encoder.std": _three(lambda value: 0 < value < float("inf"), "one a channel, each above 0"),
    "data.num_workers": _or_null(_count(0)),
    "data.split.seed": _count(0),
    "trainer.strategy": _STRATEGY,
    "trainer.accumulate_grad_batches": _count(1),
    "trainer.early_stopping": _or_null(_count(1)),
    "trainer.gradient_clip_val": _or_null(_number(lambda value: 0 < value < float("inf"), "above 0")),
}
_WANDB_RULES = {"logger.num_images": _count(0), "logger.every_n_epochs": _count(1), "logger.table_images": _count(0)}


def check_values(settings: Mapping) -> None:
    """Refuse, all at once, values that are none.

    Args:
        settings: conf/train.yaml, composed, as plain values.

    Raises:
        UserError: naming each, and what it may be.
    """
    rules = _RULES | (_WANDB_RULES if settings["logger"]["wandb"] else {})
    given = {key: _find(settings, key) for key in rules}
    wrong = [f"{key}={given[key]}: {rule.words}" for key, rule in rules.items() if not rule.fits(given[key])]
    if wrong:
        raise UserError("\n".join(wrong))


def _find(settings: Mapping, key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = value[part]
    return value
