"""What a model file says of itself: it travels inside checkpoints and exported files alike."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from steel_defects.core.errors import UserError
from steel_defects.inference.decision import Decision

KEY = "steel_defects"  # of the entry in ONNX metadata and in OpenVINO's runtime information
FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to use a net, and to know what it is.

    Args:
        classes: names of the defect classes; the first is ClassId 1.
        size: (height, width) in pixels that images are brought to inside.
        decision: thresholds and minimum areas.
        system: the name the run went by.
        architecture: a key of `ARCHITECTURES`.
        encoder: its SMP name.
        precision: `fp32`, `bf16`, `int8` or `int8-bf16`: what the net computes in.
        output: `classes` (two maps, as `decision.Maps`) or `probabilities`.
        data: name, data and split hash of what it was trained on.
        scores: scores by name, where there are any: test scores of the run, and the parity measured at export.
        versions: versions of the packages that made the file.
    """

    classes: tuple[str, ...]
    size: tuple[int, int]
    decision: Decision
    system: str = ""
    architecture: str = ""
    encoder: str = ""
    precision: str = "fp32"
    output: str = "classes"
    data: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)

    def to_json(self) -> str:
        """The card as text, which `from_json` reads."""
        return json.dumps({"format": FORMAT, **asdict(self), "decision": self.decision.as_dict()})

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises:
            UserError: where it is broken, or written by a later version.
        """
        try:
            values = json.loads(text)
            number = values.pop("format")
            if number > FORMAT:
                raise UserError(
                    f"its card has format {number}, this version reads up to {FORMAT}: update steel-defects"
                )
            values["classes"] = tuple(values["classes"])
            values["size"] = tuple(values["size"])
            values["decision"] = Decision.from_dict(values["decision"], len(values["classes"]))
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"its card is broken ({type(error).__name__}: {error})") from error
