"""The card of a model file: it comes back as it was, and what cannot be read says so."""

from __future__ import annotations

import json

import pytest

from steel_defects.core.errors import UserError
from steel_defects.inference.card import FORMAT, ModelCard
from steel_defects.inference.decision import Decision

PLAIN = ModelCard(("rust",), (64, 128), Decision.argmax(1))
FULL = ModelCard(
    classes=("Kratzer", "ржавчина", 'a "b" <c> & d'),  # the text travels through XML, too
    size=(256, 512),
    decision=Decision((0.35, 0.5, 1.0), (0, 120, 7)),
    system="deeplabv3plus-resnet18",
    architecture="deeplabv3plus",
    encoder="resnet18",
    precision="int8-bf16",
    output="probabilities",
    data={"name": "severstal", "data_hash": "12ab", "split_hash": None},
    scores={"test": {"miou": 0.625, "false_alarm": None}, "parity": {"images": 3}},
    versions={"torch": "2.6.0"},
)


@pytest.mark.parametrize("card", [PLAIN, FULL])
def test_round_trip(card):
    assert ModelCard.from_json(card.to_json()) == card
    values = json.loads(card.to_json())
    assert values["format"] == FORMAT
    assert values["decision"] == card.decision.as_dict()


def test_a_later_format_asks_for_an_update():
    values = json.loads(FULL.to_json()) | {"format": FORMAT + 1, "unheard_of": 1}
    with pytest.raises(UserError, match=rf"format {FORMAT + 1}, .* up to {FORMAT}: update steel-defects"):
        ModelCard.from_json(json.dumps(values))


def changed(**changes) -> str:
    values = json.loads(FULL.to_json()) | changes
    return json.dumps({key: value for key, value in values.items() if value != "left out"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        FULL.to_json()[:-20],
        changed(format="one"),
        changed(format=None),
        changed(unheard_of=1),
        changed(classes=None),
        changed(classes="left out"),
        changed(size=3),
        changed(decision="left out"),
        changed(decision=None),
    ],
)
def test_a_broken_card_says_so(text):
    with pytest.raises(UserError, match="its card is broken"):
        ModelCard.from_json(text)


def test_a_decision_for_other_classes_says_so():
    with pytest.raises(UserError, match="is not a list of 2 numbers"):
        ModelCard.from_json(changed(classes=["a", "b"]))
