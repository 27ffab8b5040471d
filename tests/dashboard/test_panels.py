"""What would be sent to W&B, read back as plain JSON: panels, keys, axes, groups, filters, colours."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from wandb.plot.custom_chart import CustomChartSpec

from steel_defects.loggers import keys
from steel_defects.page.overlay import PALETTE

KINDS = ("workspace", "report")
BARS, LINES, POINTS, CHART = "Bar Chart", "Run History Line Plot", "Scatter Plot", "Vega2"
STRIP_STEEL = ["inclusion", "patches", "scratches"]


SPREAD = ("system.value", "mean", "stddev")


@pytest.fixture(scope="module")
def strip_steel(dry_run) -> SimpleNamespace:
    return dry_run("data=strip_steel")


@pytest.fixture(params=KINDS)
def page(request, strip_steel) -> dict:
    return copy.deepcopy(getattr(strip_steel, request.param))


def grouping(config: dict) -> tuple[str, str, str]:
    return config["groupBy"], config["groupAgg"], config["groupArea"]


def test_backbones_stand_side_by_side(page, configs):
    bars = {tuple(config["metrics"]): config for config in configs(page, BARS)}
    for metric in ("test/miou", "test/dice", "test/native_miou"):
        config = bars[(metric,)]
        assert grouping(config) == SPREAD
        assert config["aggregate"] is True
        assert min(config["limit"], config["barLimit"]) >= 50
    assert {(f"test/jaccard_{name}", f"test/detection_{name}") for name in STRIP_STEEL} <= bars.keys()


def test_curves_run_over_epochs(page, configs):
    lines = {config["metrics"][0]: config for config in configs(page, LINES)}
    for metric in ("train/loss", "val/loss", "val/miou", "val/dice", "train/lr", "train/it_per_s"):
        config = lines[metric]
        assert (config["metrics"], config["xAxis"], config["smoothingType"]) == ([metric], "epoch", "none")
        assert grouping(config) == SPREAD
    assert [config["xAxis"] for metric, config in lines.items() if metric.startswith("system/")] == ["_runtime"] * 4


def test_fronts_are_drawn_only_where_little_is_good(page, configs):
    """W&B's line is the best y so far from left to right."""
    points = {config["xAxis"]: config for config in configs(page, POINTS)}
    assert {axis.removeprefix("summary:"): config["showMaxYAxisLine"] for axis, config in points.items()} == {
        "speed/resized_ms_per_image": True,
        "speed/original_ms_per_image": True,
        "speed/resized_images_per_s": False,
        "net/parameters": True,
        "net/gmacs": True,
        "memory/peak_bytes": True,
    }
    assert points["summary:speed/resized_images_per_s"]["yAxis"] == "summary:test/miou"
    assert points["summary:speed/original_ms_per_image"]["yAxis"] == "summary:test/native_miou"


def test_charts_ask_as_wandb_itself_does(page, configs):
    """W&B's library has a query of its own for a chart it logs; only the limit of runs is added here."""
    charts = {}
    for config in configs(page, CHART):
        (query,) = config["userQuery"]["queryFields"]
        (table,) = (part["args"][0]["value"] for part in query["fields"] if part["name"] == "summaryTable")
        charts[table] = config
    assert set(charts) == {"test/classes", "test/confusion_table", "test/iou_distribution_table"}
    for table, config in charts.items():
        spec = CustomChartSpec(config["panelDefId"], {}, {}, key=table.removesuffix("_table"))
        (theirs,) = spec.config_value["panel_config"]["userQuery"]["queryFields"]
        if table.endswith("_table"):
            assert spec.table_key == table
        else:
            theirs["fields"][-1]["args"][0]["value"] = table  # a table that is logged as such
        (ours,) = config["userQuery"]["queryFields"]
        assert ours.pop("args") == [*theirs.pop("args"), {"name": "limit", "value": 500}]
        assert ours == theirs
        assert config["transform"] == {"name": "tableWithLeafColNames"}
    columns = {"Actual": "score", "Predicted": "class", "nPredictions": "value"}
    assert charts["test/classes"]["fieldSettings"] == columns


@pytest.mark.parametrize(("chosen", "chart"), [("create", "me/steel-defects-classes"), ("team/mine", "team/mine")])
def test_a_heat_map_takes_the_place_of_the_bars(dry_run, configs, chosen, chart):
    for page in vars(dry_run(f"heat_map={chosen}", "entity=me")).values():
        charts = configs(page, CHART)
        ours = [config for config in charts if config["panelDefId"] == chart]
        assert {config["stringSettings"]["score"] for config in ours} == {"jaccard", "detection"}
        assert all(set(config["fieldSettings"]) == {"system", "class", "score", "value"} for config in ours)
        assert "wandb/confusion_matrix/v1" in {config["panelDefId"] for config in charts}


def test_pictures_tables_and_settings_are_there(page, configs):
    (table,) = configs(page, "Weave")
    assert table["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"] == "test/images"
    (media,) = configs(page, "Media Browser")
    assert media["mediaKeys"] == ["val/overlays"]
    assert (media["mode"], media["gridSettings"]) == ("grid", {"xAxis": "index", "yAxis": "run"})
    (parallel,) = configs(page, "Parallel Coordinates Plot")
    assert [column["accessor"] for column in parallel["columns"]] == [
        "config:encoder.value.name",
        "config:recipe.value.name",
        "config:recipe.value.lr",
        "config:seed.value",
        "summary:test/miou",
    ]
    assert len(configs(page, "Run Comparer")) == 1


def test_every_key_is_one_that_runs_log(page, configs):
    history, summary = keys.history_keys(STRIP_STEEL), keys.summary_keys(STRIP_STEEL)
    assert {key for config in configs(page, BARS) for key in config["metrics"]} <= set(summary)
    assert {key for config in configs(page, LINES) for key in config["metrics"]} <= {*history, *keys.MACHINE}
    axes = {config[axis] for config in configs(page, POINTS) for axis in ("xAxis", "yAxis")}
    assert axes <= {f"summary:{key}" for key in summary}


@pytest.mark.parametrize(
    ("words", "there", "absent"),
    [
        (["data=strip_steel"], ["strip_steel", "test/jaccard_inclusion"], "synthetic"),
        (["data=synthetic"], ["synthetic", "test/detection_pits"], "inclusion"),
        (["data.name=mine", "data.classes=[rust,dent]"], ["mine", "test/jaccard_rust"], "class_1"),
    ],
)
def test_keys_follow_the_classes_of_the_data(dry_run, words, there, absent):
    for page in map(json.dumps, vars(dry_run(*words)).values()):
        assert all(text in page for text in there)
        assert absent not in page


def test_runs_are_filtered_grouped_and_ordered(dry_run, run_sets):
    group = "2026-01-31/12-00-00 it's <b>=\\ü"
    tags = ["recipe=strong", 'a "b" >= c, d', "50 % and more 😀"]
    pages = dry_run("data=synthetic", group=group, tags=tags)
    for page in vars(pages).values():
        for runs in run_sets(page):
            assert runs["filters"]["filterFormat"] == "filterV2"
            filters = runs["filters"]["filters"]
            conditions = [(test["key"], test["op"], test["value"]) for test in filters]
            assert conditions == [
                ({"section": "config", "name": "data.value.name"}, "=", "synthetic"),
                ({"section": "run", "name": "group"}, "=", group),
                ({"section": "run", "name": "tags"}, "IN", tags),
            ]
            assert [test.get("connector") for test in filters] == [None, "AND", "AND"]
            assert not any(test["disabled"] for test in filters)
            (order,) = runs["sort"]["keys"]
            assert order == {"key": {"section": "summary", "name": "test/miou"}, "ascending": False}
    by_system = [{"section": "config", "name": "system.value"}]
    (whole,) = run_sets(pages.workspace)
    assert whole["grouping"] == by_system
    # In the report, settings are shown run by run, everything else by system.
    assert [runs["grouping"] for runs in run_sets(pages.report)].count([]) == 1
    assert {json.dumps(runs["grouping"]) for runs in run_sets(pages.report)} == {"[]", json.dumps(by_system)}


def test_without_a_sweep_or_tags_only_the_data_counts(dry_run, run_sets):
    (runs,) = run_sets(dry_run().workspace)
    assert [test["key"]["name"] for test in runs["filters"]["filters"]] == ["data.value.name"]


def test_systems_have_the_colours_of_this_project(dry_run):
    pages = dry_run("systems=[resnet101,deeplabv3plus-resnet34]")
    wanted = {"resnet101": PALETTE[0], "deeplabv3plus-resnet34": PALETTE[1]}
    section = pages.workspace["spec"]["section"]
    colours = {}
    for key, colour in section["customRunColors"].items():
        kind, runs, path = (unquote(part) for part in key.split(":"))
        (step,) = json.loads(path)
        assert (kind, json.loads(runs)) == ("run-color-group", section["runSets"][0]["id"])
        assert step["key"] == "config:system.value"
        colours[step["value"]] = colour
    assert colours == wanted
    for block in pages.report["spec"]["blocks"]:
        if block["type"] == "panel-grid" and block["metadata"]["runSets"][0]["grouping"]:
            runs = block["metadata"]["runSets"][0]["id"]
            assert block["metadata"]["customRunColors"] == {
                f"{runs}-config:system.value:{system}": colour for system, colour in wanted.items()
            }


@pytest.mark.parametrize("spread", ["minmax", "stderr"])
def test_the_spread_over_the_seeds_is_chosen(dry_run, configs, spread):
    for page in vars(dry_run(f"spread={spread}")).values():
        shown = [config for kind in (BARS, LINES) for config in configs(page, kind)]
        assert {config.get("groupArea", spread) for config in shown} == {spread}


def test_the_workspace_has_a_section_a_theme(dry_run):
    section = dry_run("entity=team", "project=p", "name=Mine").workspace
    assert (section["entity"], section["project"], section["displayName"]) == ("team", "p", "Mine")
    sections = section["spec"]["section"]["panelBankConfig"]["sections"]
    assert [part["name"] for part in sections] == [
        "What the scores mean",
        "Backbones side by side",
        "Curves",
        "Accuracy against cost",
        "Class by class",
        "Worst images",
        "What was run",
        "Throughput and hardware",
    ]
    for part in sections:
        flow = part["flowConfig"]
        assert flow["columnsPerPage"] * flow["rowsPerPage"] >= len(part["panels"]) > 0, "none is on a second page"
    assert section["spec"]["section"]["settings"]["shouldAutoGeneratePanels"] is False


def test_the_report_explains_each_theme_and_each_score(dry_run):
    report = dry_run("entity=team", "project=p", "name=Mine").report
    assert report["project"] == {"name": "p", "entityName": "team"}
    blocks = [block for block in report["spec"]["blocks"] if any(child.get("text") for child in block["children"])]
    headings = [i for i, block in enumerate(blocks) if block["type"] == "heading"]
    assert len(headings) == 8
    assert all(blocks[i + 1]["type"] == "paragraph" for i in headings)
    (table,) = (block["content"] for block in report["spec"]["blocks"] if block["type"] == "markdown-block")
    for key in ("miou", "miou_all", "jaccard", "jaccard_<class>", "dice", "detection_<class>", "false_alarm"):
        assert f"`{key}`" in table


def test_panels_of_the_report_do_not_lie_on_each_other(dry_run):
    for block in dry_run().report["spec"]["blocks"]:
        taken = set()
        for panel in block["metadata"]["panelBankSectionConfig"]["panels"] if block["type"] == "panel-grid" else ():
            at = panel["layout"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert not cells & taken
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_the_outline_is_of_what_is_written(dry_run, configs, capsys, monkeypatch):
    """Every key in the files is printed, and every panel has a line."""
    monkeypatch.setenv("COLUMNS", "200")
    page = dry_run("data=strip_steel", "kind=workspace", "systems=[a,b,c]", tags=["x=1", "y"]).workspace
    printed = capsys.readouterr().out
    words = printed.replace("│", " ").split()
    for key in {key for kind in (BARS, LINES) for config in configs(page, kind) for key in config["metrics"]}:
        assert {key, f"{key},"} & {*words}, key
    shown = {"bars": configs(page, BARS), "lines": configs(page, LINES), "points": configs(page, POINTS)}
    assert {config["chartTitle"].split()[0] for part in shown.values() for config in part} <= {*words}
    for kind, panels in (shown | {"chart": configs(page, CHART)}).items():
        assert words.count(kind) == len(panels)
    assert "runs with data.name = strip_steel and tags one of x=1, y" in " ".join(words)
    assert "3 systems with a colour of their own" in printed
