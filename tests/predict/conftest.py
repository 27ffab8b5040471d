"""A net that is a rule, and tables read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine


class Rule(Engine):
    """What is brighter than 150 is class 1, than 200 class 2; `hook` is called with every image."""

    def __init__(self, parallel: int = 2, hook=lambda image: None, decision: Decision | None = None) -> None:
        decision = decision or Decision.argmax(2)
        self.card = ModelCard(("scratch", "patch, large"), (8, 8), decision, system="rule")
        self.about = {"engine": "rule", "device": "cpu", "precision": "fp32", "versions": {}}
        self.parallel, self.hook = parallel, hook

    def __call__(self, image: np.ndarray) -> Maps:
        self.hook(image)
        sure = np.where(image > 150, image / 256, 0.1).astype(np.float32)
        return Maps(np.where(image > 200, 2, 1).astype(np.uint8), sure)


@pytest.fixture(scope="session")
def rule() -> type[Rule]:
    return Rule


@pytest.fixture(scope="session")
def rows():
    """The rows of a CSV."""

    def read(path: Path) -> list[dict]:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
