"""results.csv: a row a run, for those who want to go on with the numbers."""

from __future__ import annotations

import pandas as pd

from steel_defects.report.records import Study

_KEYS = ("architecture", "encoder", "weights", "recipe", "epochs", "best_epoch", "parameters", "gmacs")
_PLACE = ("device", "precision", "threads", "processes", "seconds")


def results_table(study: Study) -> pd.DataFrame:
    """Columns: system, seed, what was trained, all test scores, speeds, peak memory in bytes, hashes, folder."""
    rows = []
    for system in study.systems:
        for run in system.runs:
            summary, speed = run.summary, run.summary["speed"]
            rows.append(
                {"system": system.name, "seed": run.seed}
                | {key: summary.get(key) for key in _KEYS}
                | {"height": run.size[0], "width": run.size[1]}
                | summary["test"]
                | {"train_it_per_s": speed.get("train_it_per_s"), "batch_size": speed.get("batch_size")}
                | {f"images_per_s_{size}": run.images_per_s(size) for size in ("resized", "original")}
                | {"peak_memory": run.peak_bytes}
                | {key: summary.get(key) for key in _PLACE}
                | {key: summary["data"].get(key) for key in ("data_hash", "split_hash")}
                | {"folder": str(run.folder.path)}
            )
    return pd.DataFrame(rows)
