"""The keys that panels name are those of a run's configuration and tables; tests/loggers has those it logs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.dashboard.panels import HEAT_MAP_FIELDS
from steel_defects.loggers import keys, wandb_page


@pytest.mark.parametrize("key", [keys.SYSTEM, keys.SEED, keys.ENCODER, keys.RECIPE, keys.LEARNING_RATE, keys.DATA])
def test_a_run_has_every_key_of_its_configuration(key):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", [])
    assert OmegaConf.select(cfg, key, throw_on_missing=True) is not None
    assert "value" not in key.split("."), "W&B's library would take it for its own"


def test_tables_have_the_columns_that_charts_ask_for(dry_run, configs):
    names = ["inclusion", "patches", "scratches"]
    scores = {key: 0.5 for part in ("", "native_") for key in (part + score for score in keys.score_keys(names))}
    summary = {"system": "a", "seed": 1, "data": {"classes": names}, "test": scores, "confusion": np.eye(4)}
    rows = pd.DataFrame({"iou": [0.5], **{f"true_{name}": [1] for name in names}})
    charts = wandb_page.charts(SimpleNamespace(summary=summary, rows=rows))
    tables = {
        keys.CLASSES: charts[keys.CLASSES],
        **{keys.chart_table(key): charts[key].table for key in (keys.CONFUSION, keys.IOU)},
    }
    presets = {keys.chart_table(key): charts[key].spec for key in (keys.CONFUSION, keys.IOU)}
    for config in configs(dry_run("data=strip_steel").workspace, "Vega2"):
        (query,) = config["userQuery"]["queryFields"]
        key = query["fields"][-1]["args"][0]["value"]
        assert set(config["fieldSettings"].values()) <= set(tables[key].columns)
        if key in presets:
            assert (config["panelDefId"], config["fieldSettings"]) == (presets[key].spec_name, presets[key].fields)
    assert set(HEAT_MAP_FIELDS.values()) <= set(tables[keys.CLASSES].columns)
    assert {"jaccard", "detection"} <= set(tables[keys.CLASSES].get_column("score"))


def test_scores_are_those_of_the_design():
    assert keys.score_keys(["a", "b"]) == [
        *("miou", "miou_all", "jaccard", "jaccard_a", "jaccard_b"),
        *("dice", "detection_a", "detection_b", "false_alarm"),
    ]
