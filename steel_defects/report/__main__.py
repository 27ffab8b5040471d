"""Compare finished runs on one page: the paper's tables and figures with your numbers, and which differences are real.

    python -m steel_defects.report runs=multirun/2026-01-31/12-00-00-000000           a sweep
    python -m steel_defects.report runs=study,outputs/2026-01-31/12-00-00-000000      sweeps and single runs together
    python -m steel_defects.report runs=study data.root=/data/steel                   the images lie elsewhere by now

Writes report.html (one file, opens without a network), report.md with figures/, and results.csv.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("report")

import steel_defects.cli.needs_pages  # noqa: F401 (first: it names what is not installed)

# isort: split
import logging
from collections.abc import Mapping
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stop, wide_console
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_whole
from steel_defects.core.runs import RunFolder
from steel_defects.page.content import Report
from steel_defects.page.folder import write_report
from steel_defects.report.accuracy import console_sheet
from steel_defects.report.assemble import assemble
from steel_defects.report.collect import collect
from steel_defects.report.records import Study
from steel_defects.report.results import results_table

log = logging.getLogger(__name__)


@hydra.main(config_path=CONF_DIR, config_name="report", version_base="1.3")
def main(cfg: DictConfig) -> None:
    try:
        report(OmegaConf.to_container(cfg, resolve=True), Path(HydraConfig.get().runtime.output_dir))
    except UserError as error:
        stop(error)


def report(settings: Mapping, folder: Path) -> Report:
    """Read the runs, compare them, and write the page.

    Args:
        settings: conf/report.yaml, composed, as plain values.
        folder: to write into.

    Returns:
        What the page shows.

    Raises:
        UserError: where there is nothing to report, or a setting makes no sense.
    """
    runs = [settings["runs"]] if isinstance(settings["runs"], str) else settings["runs"]
    check(settings | {"runs": runs})
    RunFolder(folder).must_be_free("report")
    study = collect([Path(str(path)).expanduser() for path in runs])
    root = settings["data"]["root"]
    content = assemble(study, settings["title"], Path(root) if root else None, settings["gallery"])
    size = write(content, study, folder)
    show(content, study, folder, size)
    return content


def check(settings: Mapping) -> None:
    """Refuse, all at once, settings that make no sense."""
    wrong = []
    runs, gallery = settings["runs"], settings["gallery"]
    if not isinstance(runs, list) or not runs:
        wrong.append("runs=<folder>[,<folder>]: the runs or sweeps to report, at least one")
    if not isinstance(gallery, int) or isinstance(gallery, bool) or gallery < 0:
        wrong.append(f"gallery={gallery}: a whole number, 0 or more")
    if not isinstance(settings["title"], str) or not settings["title"].strip():
        wrong.append(f"title={settings['title']}: a text")
    if wrong:
        raise UserError("\n".join(wrong))


def write(content: Report, study: Study, folder: Path) -> int:
    """Write report.html, report.md, figures/ and results.csv; returns the page's size in bytes."""
    size = write_report(content, folder, "report")
    write_whole(folder / "results.csv", results_table(study).to_csv(index=False).encode("utf-8", "replace"))
    return size


def show(content: Report, study: Study, folder: Path, size: int) -> None:
    """Print the findings, the table of scores, and what is left out."""
    console = wide_console()
    console.print(console_sheet(study).rich())
    for line in content.findings:
        console.print(line, markup=False, highlight=False)
    for one in content.omissions:
        log.warning("Not reported, or not in full: %s", str(one).splitlines()[0])
    log.info(
        "%s: %.1f MB, opens in any browser; report.md and results.csv beside it", folder / "report.html", size / 1e6
    )


if __name__ == "__main__":
    start(main)
