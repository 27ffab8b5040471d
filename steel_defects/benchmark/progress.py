"""The bar: how much of a system is measured, and what is being measured now."""

from __future__ import annotations

from tqdm import tqdm

from steel_defects.benchmark.plan import Plan


class Progress:
    """A bar on a terminal, nothing elsewhere.

    Args:
        name: of what is measured.
        plan: tells how many measurements there are to be; what cannot be measured makes it end early.
    """

    def __init__(self, name: str, plan: Plan) -> None:
        engines = len(plan.engines)
        nets = 1 + engines * (2 + plan.rounds)  # building, opening, warming up, measuring
        files = len(plan.end_to_end) * (1 + 3 * plan.file_rounds)
        total = len(plan.sizes) * (nets + files) + 2 * (1 + plan.steps) * bool(plan.steps)
        form = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed}{postfix}"
        self._bar = tqdm(desc=name, total=total, bar_format=form, leave=False, disable=None)

    def tell(self, text: str) -> None:
        """Say what comes next."""
        self._bar.set_postfix_str(text)
        self._bar.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
