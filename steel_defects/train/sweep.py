"""Around the jobs: no run is written over, and a `--multirun` ends with one table, whatever launcher ran it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from steel_defects.cli.console import print_table, say, stop
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_table
from steel_defects.core.runs import RunFolder
from steel_defects.train.locks import Taken

SCORES = ("miou", "miou_all", "jaccard", "dice", "native_miou", "native_dice")
SHOWN = ("miou", "dice", "native_miou", "train_it_per_s")  # what fits on a terminal; sweep.csv has all
_USED = "{} holds a run already: {}, another {} starts afresh"


class SweepTable(Callback):
    """Hydra callback: refuses folders that hold runs; prints the table of a sweep, and exits with 1 if a job failed."""

    # Before Hydra writes a run's configuration, which a later resume needs as it was.
    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        """Refuse a folder that holds a run."""
        if _used(RunFolder(config.hydra.run.dir)):
            way_on = "resume=<run folder> goes on with one"
            stop(UserError(_USED.format(config.hydra.run.dir, way_on, "hydra.run.dir")))

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Refuse a sweep's folder that holds runs, unless finished jobs are skipped."""
        folder = Path(config.hydra.sweep.dir)
        skip = config.sweep.skip_finished
        written = OmegaConf.to_container(config.hydra.sweep)
        assert isinstance(written, dict)
        if skip and written["subdir"] != "${job_dir:}":
            stop(UserError("sweep.skip_finished finds jobs by their folders' names; leave hydra.sweep.subdir out"))
        if not skip and any(_used(RunFolder(path)) for path in _folders(folder)):
            way_on = "sweep.skip_finished=true does what is missing"
            stop(UserError(_USED.format(folder, way_on, "hydra.sweep.dir")))
        with read_write(config.hydra.sweep):
            config.hydra.sweep.dir = str(folder.absolute())  # jobs may be started in another working directory

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Write and print the table of the sweep; exit with 1 if a job failed or none ran."""
        folder = Path(config.hydra.sweep.dir)
        jobs = read_jobs(folder, since=_started(folder))
        if jobs.empty:
            print(f"No job of the sweep left anything in {folder}", file=sys.stderr)
            sys.exit(1)
        write_table(folder / "sweep.csv", jobs.assign(overrides=jobs["overrides"].str.join(" ")))
        print_jobs(jobs, folder)
        if (jobs["status"] != "finished").any():
            sys.exit(1)


def _started(folder: Path) -> float:
    """When the sweep was: Hydra's sweeper then writes this file, and each job its overrides later."""
    plan = folder / "multirun.yaml"
    return plan.stat().st_mtime if plan.is_file() else 0.0


def _folders(folder: Path) -> list[Path]:
    """Of the jobs of a sweep, wherever hydra.sweep.subdir puts them."""
    return [config.parent.parent for config in folder.rglob(".hydra/overrides.yaml")]


def earlier(run: RunFolder, job: str) -> dict | None:
    """What an earlier start of a job left: its summary, if it came to its end.

    Args:
        run: folder of the job.
        job: the name it has by the job's settings.

    Raises:
        Taken: where the folder is that of another job.
    """
    if run.path.name != job and _used(run):
        raise Taken(f"{run.path} holds another job's run: leave hydra.sweep.subdir out, or make it name each job")
    return finished(run)


def _used(run: RunFolder) -> bool:
    """Whether a run has left something worth keeping."""
    return run.last.is_file() or finished(run) is not None


def finished(run: RunFolder) -> dict | None:
    """The summary of a run that came to its end; None of any other."""
    try:
        summary = run.read_summary()
        return summary if summary["status"] == "finished" and "miou" in summary["test"] else None
    except (UserError, KeyError, TypeError):  # not there, half written, or of something else: to be done again
        return None


def read_jobs(folder: Path, since: float = 0.0) -> pd.DataFrame:
    """One row a job: job, overrides, system, status, error, test scores, train speed.

    Args:
        folder: folder of a sweep.
        since: start of the sweep, in seconds as files have them; older jobs are left out.
    """
    rows: list[dict[str, Any]] = []
    for path in _folders(folder):
        overrides = path / ".hydra" / "overrides.yaml"
        if overrides.stat().st_mtime < since:
            continue
        number = OmegaConf.load(overrides.with_name("hydra.yaml")).hydra.job.num
        row: dict[str, Any] = {"job": number, "overrides": list(OmegaConf.load(overrides))}
        try:
            summary = RunFolder(path).read_summary()
        except UserError as error:
            summary = {"status": "broken", "error": str(error)}
        row |= {key: summary.get(key) for key in ("system", "status", "error")}
        test = summary.get("test") or {}
        row |= {key: test.get(key) for key in SCORES}
        row["train_it_per_s"] = (summary.get("speed") or {}).get("train_it_per_s")
        rows.append(row)
    rows.sort(key=lambda row: row["job"])
    return pd.DataFrame(rows)


def print_jobs(jobs: pd.DataFrame, folder: Path) -> None:
    """Print the table of a sweep, then what went wrong."""
    say(f"Sweep {folder}")
    shared = set.intersection(*map(set, jobs["overrides"])) if len(jobs) > 1 else set()
    if shared:  # what all jobs have in common would only make the table wide
        common = [override for override in jobs["overrides"].iloc[0] if override in shared]
        say("All with " + " ".join(common))
    rows = []
    for _, job in jobs.iterrows():
        overrides = " ".join(override for override in job["overrides"] if override not in shared)
        numbers = ["-" if pd.isna(job[key]) else f"{job[key]:.3f}" for key in SHOWN]
        rows.append([str(job["job"]), overrides, str(job["status"]), *numbers])
    headings = ["job", "overrides", "status", *(key.replace("train_it_per_s", "it/s") for key in SHOWN)]
    failed = np.flatnonzero(jobs["status"] != "finished").tolist()
    print_table(headings, rows, left=(1, 2), red=failed)
    for _, job in jobs.iloc[failed].iterrows():
        say(f"job {job['job']} {job['status']}: {job['error']}")
