"""Look at a data set before anything is trained on it: what is in the labels, which images are twins, what is wrong.

    python -m steel_defects.explore                                        Severstal, in data/severstal
    python -m steel_defects.explore data.root=/data/steel                  the same, elsewhere
    python -m steel_defects.explore data.root=/data/steel data.classes=[rust,dent] data.image_size=null
    python -m steel_defects.explore data.size=[256,800]                    what is left of small defects at that size
    python -m steel_defects.explore data.exclude=audit.csv                 without the images that a review left out
    python -m steel_defects.explore data=synthetic                         nothing to download

No net, no GPU; faults in the data do not stop it, and where the folder of the images is missing it tells what the
labels alone can. Writes explore.html (one file, opens without a network), explore.md with figures/, and the tables
images.csv (a row an image), regions.csv (a row for each class of an image), segments.csv (a row a connected segment),
twins.csv (a row a pair) and faults.csv (all that training would stop at).
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("explore", "pages")

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
from steel_defects.data.labels import LAYOUTS
from steel_defects.data.synthetic import write_synthetic
from steel_defects.explore.assemble import assemble
from steel_defects.explore.collect import Exploration, collect
from steel_defects.explore.settings import ExploreSettings
from steel_defects.explore.sheets import class_sheet
from steel_defects.page.content import Report
from steel_defects.page.html import write_report
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)

TABLES = ("images", "regions", "segments", "twins", "faults")


@hydra.main(config_path=CONF_DIR, config_name="explore", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Explore, and list what is wrong with the data where that stops it."""
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    with stopping(folder):
        explore(read(ExploreSettings, cfg), folder.path)


def explore(settings: ExploreSettings, folder: Path) -> Report:
    """Look at a data set, and write the page and its tables.

    Args:
        settings: what to look at, see conf/explore.yaml.
        folder: the folder to write into.

    Returns:
        What the page shows.

    Raises:
        UserError: where there is nothing to look at, or a setting makes no sense.
    """
    RunFolder(folder).must_be_free("exploration")
    data = settings.data
    root = Path(data.root).expanduser()
    if data.synthetic is not None:
        write_synthetic(root, **data.synthetic.model_dump())
    explored = collect(data, twins=settings.twins)
    facts = {
        "Data": data.name,
        "Root": str(root),
        "Labels": f"{data.csv}, in the layout {LAYOUTS[explored.survey.annotations.layout]}",
        **({"Left out": f"{plural(explored.counts.excluded, 'image')}, by {data.exclude}"} if data.exclude else {}),
    }
    if data.only_defective:
        facts["data.only_defective"] = "not applied here: clean images are counted, and the data hash is of all images"
    content = assemble(explored, settings.title, facts, settings.sheet)
    size = write(content, explored, folder)
    show(content, explored, folder, size)
    return content


def write(content: Report, explored: Exploration, folder: Path) -> int:
    """Write explore.html, explore.md, figures/ and the tables; returns the page's size in bytes."""
    for name in TABLES:
        write_table(folder / f"{name}.csv", getattr(explored, name))
    return write_report(content, folder, "explore")


def show(content: Report, explored: Exploration, folder: Path, size: int) -> None:
    """Print the classes, the findings, what is left out, and where the page is."""
    print_report(content, class_sheet(explored))
    if len(explored.faults):
        for fault in explored.survey.faults[:3]:
            log.warning("%s", fault)
        log.warning("Faults are listed in %s, and on the page", folder / "faults.csv")
    log.info("%s: %.1f MB, opens in any browser; tables and explore.md beside it", folder / "explore.html", size / 1e6)


if __name__ == "__main__":
    start(main)
