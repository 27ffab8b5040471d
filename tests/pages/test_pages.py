"""The pages in .github/: what they say of the project, the paper and the figures is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

import steel_defects
from steel_defects import CONF_DIR
from steel_defects.cli.checking import settings_model
from steel_defects.core.paper import DEVICE, MIOU, ORIGINAL, PAPER, RESIZED

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github"
PAGES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(path.stem for path in Path(CONF_DIR).glob("*.yaml"))
SYSTEMS = sorted(PAPER)


def section(page: str, heading: str) -> str:
    """What stands below a heading, down to the next one."""
    _, found, rest = PAGES[page].partition(f"\n## {heading}\n")
    assert found, f"{page} has no section {heading}"
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of all tables, headings included."""
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"\s\|\s|^\|\s", line)] for line in lines if not line.startswith("---")]


def blocks(text: str) -> Iterator[list[str]]:
    """Words of each command."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from (shlex.split(line) for line in block.splitlines())


def composed(command: str, *overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose(command, list(overrides))


def test_there_are_pages():
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "EXTENDING.md", "PAPER.md"} <= PAGES.keys()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(("heading", "column"), [("Protocol", 2), ("Left open", 1)])
def test_settings_are_those_of_the_experiments(system, heading, column):
    cfg = composed("train", f"experiment=paper/{system}")
    cells = " ".join(row[column] for row in rows(section("PAPER.md", heading)))
    said = re.findall(r"`([\w.]+)=([^`]+)`", cells)
    assert len(said) >= 9
    for key, value in said:
        if system == "baseline" and key == "model.atrous_rates":
            continue
        found = OmegaConf.select(cfg, key, throw_on_missing=True)
        found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        assert found == yaml.safe_load(value), key


def test_the_paper_s_numbers_are_those_of_its_protocol():
    """Section 6 of the paper, once more by hand, beside what the configurations say."""
    told = {cells[0]: cells[1] for cells in rows(section("PAPER.md", "Protocol"))}
    assert told["learning rate"].startswith("0.01 ")
    assert told["batch"].startswith("16 ")
    assert told["weight decay"].startswith("1e-4 ")
    assert told["epochs"].startswith("30,")
    assert told["train/validation/test"].startswith("80/10/10 %")
    assert told["size"].startswith("256x256 ")


def test_the_paper_s_tables():
    text = section("PAPER.md", "Its tables")
    assert DEVICE in text
    table = {cells[0]: [float(cell) for cell in cells[1:]] for cells in rows(text)[1:]}
    assert table == {
        name: [speeds["train"], speeds[RESIZED], speeds[ORIGINAL], MIOU[name]] for name, speeds in PAPER.items()
    }


def test_the_paper_s_counts_are_those_that_a_download_is_held_to():
    expected = composed("download").expect
    text = section("PAPER.md", "Section by section")
    for number in (expected.train_images, expected.defective, expected.regions):
        assert f"{number:,}" in text


def test_arithmetic():
    """Batches of 80 % of the images, and the minutes that 30 epochs of them take at the paper's 24 it/s."""
    batches = int(0.8 * 12568) // 16
    assert f"{batches} batches" in PAGES["PAPER.md"]
    assert f"{30 * batches / PAPER['baseline']['train'] / 60:.0f} minutes" in PAGES["PAPER.md"]
    assert f"{(12568 - 6666) / 12568:.0%}".replace("%", " %") in PAGES["PAPER.md"]


def test_speeds_are_the_readme_s():
    readme = README.split("## Benchmark\n")[1].split("\n## ")[0]
    known = [[cells[-6], *cells[-5:-3]] for cells in rows(readme) if re.fullmatch(r"\d+x\d+", cells[-6])]
    here = [cells[-3:] for cells in rows(section("PAPER.md", "Measured here")) if re.match(r"\d+x\d+$", cells[-3])]
    assert here == known
    assert len(here) == 2 * len(PAPER)


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_commands_compose(page):
    """Those of EXTENDING.md, which brings files of its own, and README's others than train are run by their tests."""
    for words in blocks(PAGES.get(page, README)):
        if page == "EXTENDING.md" or words[:2] != ["python", "-m"]:
            continue
        command = words[2].removeprefix("steel_defects.")
        assert command in COMMANDS, words
        if page == "README.md" and command != "train":
            continue
        for override in words[3:]:
            key, _, values = override.partition("=")
            if not override.startswith(("--", "hydra.")):
                for value in [values] if values.startswith("[") else values.split(","):
                    composed(command, f"{key}={value}")


@pytest.mark.parametrize("text", [*PAGES.values(), README], ids=[*PAGES, "README.md"])
def test_make_targets_and_their_variables_exist(text):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for words in blocks(text):
        if words[0] != "make":
            continue
        assert words[1] in targets
        given = dict(word.split("=", 1) for word in words[2:])
        assert given.keys() <= variables
        overrides = [f"data={given.get('DATA', 'severstal')}", *given.get("OPTIONS", "").split()]
        cfg = composed("train", "experiment=paper/resnet101", *overrides)
        assert cfg.recipe.name == "paper"


def test_variables_of_make_study_are_told():
    makefile = (ROOT / "Makefile").read_text()
    assert {"DATA", "ROOT", "STUDY", "SEEDS", "OPTIONS"} <= set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    for name in ("DATA", "ROOT", "STUDY", "SEEDS", "OPTIONS"):
        assert name in section("PAPER.md", "Run it")


def slugs(text: str) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    headings = [
        token.content
        for before, token in zip(MarkdownIt().parse(text), MarkdownIt().parse(text)[1:], strict=False)
        if before.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page):
    tokens = [child for token in MarkdownIt().enable("table").parse(PAGES[page]) for child in token.children or []]
    targets = [
        token.attrs.get("href", token.attrs.get("src")) for token in tokens if token.type in ("link_open", "image")
    ]
    for target in filter(None, targets):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (FOLDER / path).resolve() if path else FOLDER / page
        assert file.is_file(), target
        assert not anchor or anchor in slugs(file.read_text()), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:steel_defects|tests|conf|\.github)/[\w./]*)`", PAGES[page])
    for name in named:
        assert (ROOT / name).exists(), name


def test_changelog_has_this_version_and_every_command():
    versions = re.findall(r"^## \[([^]]+)\] - (\S+)$", PAGES["CHANGELOG.md"], re.MULTILINE)
    assert versions[0][0] == steel_defects.__version__
    assert all(re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", date) for _, date in versions)
    told = {name.lower() for name in re.findall(r"\*\*(\w+)\*\*", PAGES["CHANGELOG.md"])}
    assert set(COMMANDS) <= told


def test_contributing_names_what_a_command_consists_of():
    text = section("CONTRIBUTING.md", "Add a command")
    for name in COMMANDS:
        source = (ROOT / "steel_defects" / name / "__main__.py").read_text()
        assert f'begin("{name}"' in source, name
        assert settings_model(name).__name__ == f"{name.capitalize()}Settings"
        assert f"steel-{name} =" in (ROOT / "pyproject.toml").read_text()
        assert (ROOT / "tests" / name).is_dir()
    assert "`<Name>Settings`" in text


def test_citation():
    """The keys that the Citation File Format 1.2.0 requires, of the file, of people and entities, of a reference."""
    citation = yaml.safe_load((FOLDER / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    optional = {"type", "version", "license", "keywords", "references", "abstract", "date-released", "repository-code"}
    assert citation.keys() <= {"cff-version", "message", "title", "authors"} | optional
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == steel_defects.__version__
    assert re.search(rf'^license = "{citation["license"]}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert citation["authors"] == [{"name": "The steel_defects developers"}]
    (paper,) = citation["references"]
    assert paper.keys() >= {"type", "title", "authors"}
    assert [author["family-names"] for author in paper["authors"]] == ["Nie", "Xu", "Zhang"]
    for person in paper["authors"]:
        assert person.keys() <= {"family-names", "given-names", "affiliation", "email", "orcid"}
    assert (paper["year"], paper["month"]) == (2022, 4)
    assert paper["title"] in (ROOT / "steel_defects/core/paper.py").read_text()
    assert paper["title"] in PAGES["PAPER.md"]
