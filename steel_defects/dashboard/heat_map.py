"""A W&B chart of our own: scores by system and class as a heat map, which none of W&B's presets is.

`wandb/confusion_matrix/v1` draws a bar a run in each cell, not a colour. This one takes the rows of `test/classes`, and
the mean over the seeds.
"""

from __future__ import annotations

NAME = "steel-defects-classes"
TITLE = "Scores by system and class"
FIELDS = {column: column for column in ("system", "class", "score", "value")}

_MEAN = {"aggregate": "mean", "field": "${field:value}", "type": "quantitative"}

# `wandb`, `${field:}` and `${string:}` are W&B's: the rows, the columns and the texts a panel is given.
SPEC = {
    "$schema": "https://vega.github.io/schema/vega-lite/v4.json",
    "description": "Mean of a score over the runs of each system, by class",
    "data": {"name": "wandb"},
    "title": "${string:title}",
    "transform": [{"filter": "datum['${field:score}'] === '${string:score}'"}],
    "encoding": {
        "x": {"field": "${field:class}", "type": "nominal", "title": None, "axis": {"orient": "top", "labelAngle": 0}},
        "y": {"field": "${field:system}", "type": "nominal", "title": None},
    },
    "layer": [
        {
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "color": {**_MEAN, "title": "mean", "scale": {"domain": [0, 1], "range": ["#FFFFFF", "#56B4E9"]}}
            },
        },
        {"mark": {"type": "text", "color": "#000000"}, "encoding": {"text": {**_MEAN, "format": ".2f"}}},
    ],
}
