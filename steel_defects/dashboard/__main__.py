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

    begin("dashboard", "pages")

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stopping, wide_console
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_whole
from steel_defects.core.packages import package
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.dashboard.outline import Outline, outline_report, outline_workspace
from steel_defects.dashboard.settings import Address, DashboardSettings, Kind

if TYPE_CHECKING:  # W&B's library is an extra: what needs it can be imported only where it is there
    from steel_defects.dashboard.account import Account

log = logging.getLogger(__name__)

NOBODY = "<your entity>"


@hydra.main(config_path=CONF_DIR, config_name="dashboard", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Build the dashboard that is configured; a user's mistake ends it without a traceback."""
    with stopping():
        dashboard(read(DashboardSettings, cfg), Path(HydraConfig.get().runtime.output_dir))


def dashboard(settings: DashboardSettings, folder: Path) -> dict[Kind, str]:
    """Build workspace and report, write what they are made of, and save them unless it is a dry run.

    Args:
        settings: the command's.
        folder: the folder to write into.

    Returns:
        The address of each kind that was saved; nothing after a dry run.

    Raises:
        UserError: where the library is missing, or W&B does not take it.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")  # what there is to say is said here
    package("wandb_workspaces", "dashboard")
    from steel_defects.dashboard.account import Account
    from steel_defects.dashboard.panels import HEAT_MAP

    RunFolder(folder).must_be_free("dashboard")
    entity = settings.entity or next((address.entity for address in settings.update), None)
    account = None if settings.dry_run else Account()
    if account is None:
        entity = entity or NOBODY
    else:
        entity = entity or account.entity()
        count = account.count_runs(entity, settings)
        log.log(logging.INFO if count else logging.WARNING, "Runs on %s that it shows: %d", settings.data.name, count)
    creates = settings.heat_map == "create"
    if creates:
        settings = settings.model_copy(update={"heat_map": f"{entity}/{HEAT_MAP}"})
    # Built before anything is made at W&B: what the library does not take is told here.
    pages = build(settings, entity)
    if account is not None and creates:
        chart = account.create_heat_map(entity)
        log.info("Chart made; heat_map=%s uses it the next time", chart)
        pages = build(settings.model_copy(update={"heat_map": chart}), entity)
    for kind, page in pages.items():
        write_whole(folder / f"{kind}.json", sent(page))
    update = {address.kind: address for address in settings.update}
    show(list(pages), folder, update, saved=account is not None)
    return {} if account is None else save(account, pages, update)


def build(settings: DashboardSettings, entity: str) -> dict[Kind, Any]:
    """Workspace and report, as W&B's library has them, by kind."""
    from pydantic import ValidationError

    from steel_defects.dashboard.pages import build_report, build_workspace

    builders = {"workspace": build_workspace, "report": build_report}
    try:
        return {kind: builders[kind](settings, entity) for kind in settings.kinds}
    except ValidationError as error:
        if any("name" in problem["loc"] for problem in error.errors()):
            raise UserError(
                f"name={settings.name}: W&B takes no emoji and no signs such as + = < > | ^ $ in it"
            ) from error
        raise


def sent(page: Any) -> bytes:
    """What the library sends of a workspace or report, as JSON."""
    return page._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()


def show(kinds: Sequence[Kind], folder: Path, update: Mapping[Kind, Address], saved: bool) -> None:
    """Print the panels, as they stand in the files written, and where these are."""
    console = wide_console()
    outlines = {"workspace": outline_workspace, "report": outline_report}
    before: Outline | None = None
    for kind in kinds:
        path = folder / f"{kind}.json"
        outline = outlines[kind](json.loads(path.read_bytes()))
        console.print(outline.tree(before), highlight=False)
        before = outline
        where = f"in place of {update[kind].url}" if kind in update else "as a new one"
        log.info("%s is what %s saved, %s", path, "is" if saved else "would be", where)
    if not saved:
        log.info("A dry run: nothing was sent.")


def save(account: Account, pages: Mapping[Kind, Any], update: Mapping[Kind, Address]) -> dict[Kind, str]:
    """Save at W&B, and print the addresses; returns them by kind."""
    saved: dict[Kind, str] = {}
    for kind, page in pages.items():
        saved[kind] = account.save(page, update.get(kind))
        log.info("%s: %s", kind.capitalize(), saved[kind])
    log.info("update=<address>[,<address>] writes in their place the next time")
    return saved


if __name__ == "__main__":
    start(main)
