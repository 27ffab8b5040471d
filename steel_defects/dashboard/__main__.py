"""Compare all runs of a W&B project there: a workspace that stays up to date, and a report to hand round.

    python -m steel_defects.dashboard project=steel_defects dry_run=true         show it; no account, no network
    python -m steel_defects.dashboard project=steel_defects                      save both in the default entity
    python -m steel_defects.dashboard project=steel_defects entity=team kind=workspace
    python -m steel_defects.dashboard data=strip_steel group=2026-01-31/12-00-00-000000    runs of one sweep alone
    python -m steel_defects.dashboard tags=recipe=strong spread=minmax           with their range, not their deviation
    python -m steel_defects.dashboard kind=workspace update=https://wandb.ai/team/steel_defects?nw=abc123

Panels: scores of the backbones side by side, curves, accuracy against speed and size, scores and confusions by class,
the worst test images, what was run, throughput and hardware. Runs that differ in nothing but their seed are one system.
Writes workspace.json and report.json, what is sent to W&B. Without update= each call saves another copy.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("dashboard")

import steel_defects.cli.needs_pages  # noqa: F401 (first: it names what is not installed)

# isort: split
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import plain, start
from steel_defects.cli.console import stop, wide_console
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_whole
from steel_defects.core.packages import package
from steel_defects.core.runs import RunFolder
from steel_defects.dashboard import heat_map
from steel_defects.dashboard.address import Address
from steel_defects.dashboard.outline import Outline, outline_report, outline_workspace
from steel_defects.dashboard.settings import check, chosen_kinds, make_view
from steel_defects.dashboard.view import View

if TYPE_CHECKING:  # W&B's library is an extra: what needs it can be imported only where it is there
    from steel_defects.dashboard.account import Account

log = logging.getLogger(__name__)

NOBODY = "<your entity>"


@hydra.main(config_path=CONF_DIR, config_name="dashboard", version_base="1.3")
def main(cfg: DictConfig) -> None:
    try:
        settings = plain(cfg)
        dashboard(settings, Path(HydraConfig.get().runtime.output_dir))
    except UserError as error:
        stop(error)


def dashboard(settings: Mapping, folder: Path) -> dict[str, str]:
    """Build workspace and report, write what they are made of, and save them unless it is a dry run.

    Args:
        settings: conf/dashboard.yaml, composed, as plain values.
        folder: to write into.

    Returns:
        The address of each kind that was saved; nothing after a dry run.

    Raises:
        UserError: where a setting makes no sense, the library is missing, or W&B does not take it.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")  # what there is to say is said here
    package("wandb_workspaces", "dashboard")
    update = check(settings)
    RunFolder(folder).must_be_free("dashboard")
    entity = settings["entity"] or next((one.entity for one in update.values()), None)
    account = None
    view = make_view(settings)
    if settings["dry_run"]:
        entity = entity or NOBODY
    else:
        from steel_defects.dashboard.account import Account

        account = Account()
        entity = entity or account.entity()
        count = account.count_runs(entity, settings["project"], view)
        log.log(logging.INFO if count else logging.WARNING, "Runs on %s that it shows: %d", view.data, count)
    creates = view.heat_map == "create"
    # Built before anything is made at W&B: what the library does not take is told here.
    built = build(settings, replace(view, heat_map=f"{entity}/{heat_map.NAME}") if creates else view, entity)
    if account is not None and creates:
        view = replace(view, heat_map=account.create_heat_map(entity))
        log.info("Chart made; heat_map=%s takes it the next time", view.heat_map)
        built = build(settings, view, entity)
    write(built, folder)
    show(built, folder, update, saved=account is not None)
    return {} if account is None else save(account, built, update)


def build(settings: Mapping, view: View, entity: str) -> dict[str, object]:
    """Workspace and report, as W&B's library has them, by kind."""
    from pydantic import ValidationError

    from steel_defects.dashboard.report import build_report
    from steel_defects.dashboard.workspace import build_workspace

    builders = {"workspace": build_workspace, "report": build_report}
    try:
        return {
            kind: builders[kind](view, entity, settings["project"], settings["name"]) for kind in chosen_kinds(settings)
        }
    except ValidationError as error:
        if any("name" in problem["loc"] for problem in error.errors()):
            raise UserError(
                f"name={settings['name']}: W&B takes no emoji and no signs such as + = < > | ^ $ in it"
            ) from error
        raise


def sent(built: object) -> bytes:
    """What the library sends of a workspace or report, as JSON."""
    return built._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()


def write(built: Mapping[str, object], folder: Path) -> None:
    """Write workspace.json and report.json."""
    for kind, one in built.items():
        write_whole(folder / f"{kind}.json", sent(one))


def show(built: Mapping[str, object], folder: Path, update: Mapping[str, Address], saved: bool) -> None:
    """Print the panels, as they stand in the files written, and where these are."""
    console = wide_console()
    outlines = {"workspace": outline_workspace, "report": outline_report}
    before: Outline | None = None
    for kind in built:
        path = folder / f"{kind}.json"
        outline = outlines[kind](json.loads(path.read_bytes()))
        console.print(outline.tree(before), highlight=False)
        before = outline
        where = f"in place of {update[kind].url}" if kind in update else "as a new one"
        log.info("%s is what %s saved, %s", path, "is" if saved else "would be", where)
    if not saved:
        log.info("A dry run: nothing was sent.")


def save(account: Account, built: Mapping[str, object], update: Mapping[str, Address]) -> dict[str, str]:
    """Save at W&B, and print the addresses; returns them by kind."""
    savers = {"workspace": account.save_workspace, "report": account.save_report}
    saved: dict[str, str] = {}
    for kind, one in built.items():
        saved[kind] = savers[kind](one, update.get(kind))
        log.info("%s: %s", kind.capitalize(), saved[kind])
    log.info("update=<address>[,<address>] writes in their place the next time")
    return saved


if __name__ == "__main__":
    start(main)
