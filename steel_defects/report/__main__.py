"""Compare finished runs on one page: the paper's tables and figures with your numbers, and which differences are real.

    python -m steel_defects.report runs=multirun/2026-01-31/12-00-00-000000           a sweep
    python -m steel_defects.report runs=study,outputs/2026-01-31/12-00-00-000000      sweeps and single runs together
    python -m steel_defects.report runs=study data.root=/data/steel                   the images lie elsewhere by now

Writes report.html (one file, opens without a network), report.md with figures/, and results.csv.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("report", "pages")

import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import print_report, stopping
from steel_defects.core.files import write_table
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.page.content import Report
from steel_defects.page.html import write_report
from steel_defects.report.accuracy import console_sheet
from steel_defects.report.assemble import assemble
from steel_defects.report.collect import collect
from steel_defects.report.records import Study, results_table
from steel_defects.report.settings import ReportSettings

log = logging.getLogger(__name__)


@hydra.main(config_path=CONF_DIR, config_name="report", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Run the command; a mistake of the user ends it with a message."""
    with stopping():
        report(read(ReportSettings, cfg), Path(HydraConfig.get().runtime.output_dir))


def report(settings: ReportSettings, folder: Path) -> Report:
    """Read the runs, compare them, and write the page.

    Args:
        settings: settings of the command.
        folder: folder to write into.

    Returns:
        What the page shows.

    Raises:
        UserError: where there is nothing to report, or a setting makes no sense.
    """
    RunFolder(folder).must_be_free("report")
    study = collect([Path(path).expanduser() for path in settings.folders])
    root = settings.data.root
    content = assemble(study, settings.title, Path(root) if root else None, settings.gallery)
    size = write(content, study, folder)
    show(content, study, folder, size)
    return content


def write(content: Report, study: Study, folder: Path) -> int:
    """Write report.html, report.md, figures/ and results.csv; returns the page's size in bytes."""
    size = write_report(content, folder, "report")
    write_table(folder / "results.csv", results_table(study))
    return size


def show(content: Report, study: Study, folder: Path, size: int) -> None:
    """Print the findings, the table of scores, and what is left out."""
    print_report(content, console_sheet(study))
    log.info(
        "%s: %.1f MB, opens in any browser; report.md and results.csv beside it", folder / "report.html", size / 1e6
    )


if __name__ == "__main__":
    start(main)
