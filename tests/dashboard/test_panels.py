"""What would be sent to W&B, read back as plain JSON: panels, keys, axes, groups, filters, colours."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from wandb.plot.custom_chart import CustomChartSpec

from steel_defects.loggers import keys
from steel_defects.page.overlay import PALETTE

KINDS = ("workspace", "report")
BARS, LINES, POINTS, CHART = "Bar Chart", "Run History Line Plot", "Scatter Plot", "Vega2"
STRIP_STEEL = ["inclusion", "patches", "scratches"]


@pytest.fixture(params=KINDS)
def page(request, dry_run) -> dict:
    return getattr(dry_run("data=strip_steel"), request.param)


def test_backbones_stand_side_by_side(page, panels):
    bars = {tuple(one["config"]["metrics"]): one["config"] for one in panels(page, BARS)}
    for metric in ("test/miou", "test/dice", "test/native_miou"):
        config = bars[(metric,)]
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("system.value", "mean", "stddev")
        assert config["aggregate"] is True
        assert min(config["limit"], config["barLimit"]) >= 50
    for name in STRIP_STEEL:
        assert (f"test/jaccard_{name}", f"test/detection_{name}") in bars


def test_curves_run_over_epochs(page, panels):
    lines = {tuple(one["config"]["metrics"]): one["config"] for one in panels(page, LINES)}
    for metric in ("train/loss", "val/loss", "val/miou", "val/dice", "train/lr", "train/it_per_s"):
        config = lines[(metric,)]
        assert config["xAxis"] == "epoch"
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("system.value", "mean", "stddev")
        assert config["smoothingType"] == "none"
    machine = [config for metrics, config in lines.items() if metrics[0].startswith("system/")]
    assert len(machine) == 4
    assert {config["xAxis"] for config in machine} == {"_runtime"}


def test_fronts_are_drawn_only_where_little_is_good(page, panels):
    """W&B's line is the best y so far from left to right."""
    points = {one["config"]["xAxis"]: one["config"] for one in panels(page, POINTS)}
    assert {axis: config["showMaxYAxisLine"] for axis, config in points.items()} == {
        "summary:speed/resized_ms_per_image": True,
        "summary:speed/original_ms_per_image": True,
        "summary:speed/resized_images_per_s": False,
        "summary:net/parameters": True,
        "summary:net/gmacs": True,
        "summary:memory/peak_bytes": True,
    }
    assert points["summary:speed/resized_images_per_s"]["yAxis"] == "summary:test/miou"
    assert points["summary:speed/original_ms_per_image"]["yAxis"] == "summary:test/native_miou"


def test_charts_ask_as_wandb_itself_does(page, panels):
    """W&B's library has a query of its own for a chart it logs; only the limit of runs is added here."""
    charts = {}
    for one in panels(page, CHART):
        (query,) = one["config"]["userQuery"]["queryFields"]
        (table,) = (part["args"][0]["value"] for part in query["fields"] if part["name"] == "summaryTable")
        charts[table] = one["config"]
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
    assert charts["test/classes"]["fieldSettings"] == {
        "Actual": "score",
        "Predicted": "class",
        "nPredictions": "value",
    }


@pytest.mark.parametrize(("given", "chart"), [("create", "me/steel-defects-classes"), ("team/mine", "team/mine")])
def test_a_heat_map_takes_the_place_of_the_bars(dry_run, panels, given, chart):
    for page in vars(dry_run(f"heat_map={given}", "entity=me")).values():
        ours = [one["config"] for one in panels(page, CHART) if one["config"]["panelDefId"] == chart]
        assert {one["stringSettings"]["score"] for one in ours} == {"jaccard", "detection"}
        assert all(set(one["fieldSettings"]) == {"system", "class", "score", "value"} for one in ours)
        assert "wandb/confusion_matrix/v1" in {one["config"]["panelDefId"] for one in panels(page, CHART)}


def test_pictures_tables_and_settings_are_there(page, panels):
    (table,) = panels(page, "Weave")
    assert table["config"]["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"] == "test/images"
    (media,) = panels(page, "Media Browser")
    assert media["config"]["mediaKeys"] == ["val/overlays"]
    assert (media["config"]["mode"], media["config"]["gridSettings"]) == ("grid", {"xAxis": "index", "yAxis": "run"})
    (parallel,) = panels(page, "Parallel Coordinates Plot")
    assert [one["accessor"] for one in parallel["config"]["columns"]] == [
        "config:encoder.value.name",
        "config:recipe.value.name",
        "config:recipe.value.lr",
        "config:seed.value",
        "summary:test/miou",
    ]
    assert len(panels(page, "Run Comparer")) == 1


def test_every_key_is_one_that_runs_log(page, panels):
    history, summary = keys.history_keys(STRIP_STEEL), keys.summary_keys(STRIP_STEEL)
    assert {key for one in panels(page, BARS) for key in one["config"]["metrics"]} <= set(summary)
    assert {key for one in panels(page, LINES) for key in one["config"]["metrics"]} <= {*history, *keys.MACHINE}
    axes = {one["config"][axis] for one in panels(page, POINTS) for axis in ("xAxis", "yAxis")}
    assert axes <= {f"summary:{key}" for key in summary}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_follow_the_classes_of_the_data(dry_run, kind):
    text = {}
    for data, other in (("strip_steel", "synthetic"), ("synthetic", "strip_steel")):
        text[data] = json.dumps(getattr(dry_run(f"data={data}"), kind))
        assert data in text[data]
        assert other not in text[data]
    assert "test/jaccard_inclusion" in text["strip_steel"]
    assert "test/jaccard_inclusion" not in text["synthetic"]
    assert "test/detection_pits" in text["synthetic"]
    own = json.dumps(getattr(dry_run("data.name=mine", "data.classes=[rust,dent]"), kind))
    assert "test/jaccard_rust" in own
    assert "class_1" not in own


def test_runs_are_filtered_grouped_and_ordered(dry_run, run_sets):
    group = "2026-01-31/12-00-00 it's <b>=\\ü"
    tags = ["recipe=strong", 'a "b" >= c, d', "50 % and more 😀"]
    pages = dry_run("data=synthetic", group=group, tags=tags)
    for page in vars(pages).values():
        for runs in run_sets(page):
            assert runs["filters"]["filterFormat"] == "filterV2"
            conditions = [(one["key"], one["op"], one["value"]) for one in runs["filters"]["filters"]]
            assert conditions == [
                ({"section": "config", "name": "data.value.name"}, "=", "synthetic"),
                ({"section": "run", "name": "group"}, "=", group),
                ({"section": "run", "name": "tags"}, "IN", tags),
            ]
            assert [one.get("connector") for one in runs["filters"]["filters"]] == [None, "AND", "AND"]
            assert not any(one["disabled"] for one in runs["filters"]["filters"])
            (order,) = runs["sort"]["keys"]
            assert order == {"key": {"section": "summary", "name": "test/miou"}, "ascending": False}
    grouping = [{"section": "config", "name": "system.value"}]
    (whole,) = run_sets(pages.workspace)
    assert whole["grouping"] == grouping
    # In the report, settings are shown run by run, everything else by system.
    assert [runs["grouping"] for runs in run_sets(pages.report)].count([]) == 1
    assert {json.dumps(runs["grouping"]) for runs in run_sets(pages.report)} == {"[]", json.dumps(grouping)}


def test_without_a_sweep_or_tags_only_the_data_counts(dry_run, run_sets):
    (runs,) = run_sets(dry_run().workspace)
    assert [one["key"]["name"] for one in runs["filters"]["filters"]] == ["data.value.name"]


def test_systems_have_the_colours_of_this_project(dry_run):
    pages = dry_run("systems=[resnet101,deeplabv3plus-resnet34]")
    wanted = {"resnet101": PALETTE[0], "deeplabv3plus-resnet34": PALETTE[1]}
    section = pages.workspace["spec"]["section"]
    found = {}
    for key, colour in section["customRunColors"].items():
        kind, runs, path = (unquote(part) for part in key.split(":"))
        (step,) = json.loads(path)
        assert (kind, json.loads(runs)) == ("run-color-group", section["runSets"][0]["id"])
        assert step["key"] == "config:system.value"
        found[step["value"]] = colour
    assert found == wanted
    for block in pages.report["spec"]["blocks"]:
        if block["type"] == "panel-grid" and block["metadata"]["runSets"][0]["grouping"]:
            runs = block["metadata"]["runSets"][0]["id"]
            assert block["metadata"]["customRunColors"] == {
                f"{runs}-config:system.value:{system}": colour for system, colour in wanted.items()
            }


@pytest.mark.parametrize("spread", ["minmax", "stderr"])
def test_the_spread_over_the_seeds_is_chosen(dry_run, panels, spread):
    for page in vars(dry_run(f"spread={spread}")).values():
        configs = [one["config"] for kind in (BARS, LINES) for one in panels(page, kind)]
        assert {config.get("groupArea", spread) for config in configs} == {spread}


def test_the_workspace_has_a_section_a_theme(dry_run):
    section = dry_run("entity=team", "project=p", "name=Mine").workspace
    assert (section["entity"], section["project"], section["displayName"]) == ("team", "p", "Mine")
    sections = section["spec"]["section"]["panelBankConfig"]["sections"]
    assert [one["name"] for one in sections] == [
        "What the scores mean",
        "Backbones side by side",
        "Curves",
        "Accuracy against cost",
        "Class by class",
        "Worst images",
        "What was run",
        "Throughput and hardware",
    ]
    for one in sections:
        flow = one["flowConfig"]
        assert flow["columnsPerPage"] * flow["rowsPerPage"] >= len(one["panels"]) > 0, "none is on a second page"
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


def test_the_outline_is_of_what_is_written(dry_run, panels, capsys, monkeypatch):
    """Every key in the files is printed, and every panel has a line."""
    monkeypatch.setenv("COLUMNS", "200")
    page = dry_run("data=strip_steel", "kind=workspace", "systems=[a,b,c]", tags=["x=1", "y"]).workspace
    printed = capsys.readouterr().out
    words = printed.replace("│", " ").split()
    metrics = {key for kind in (BARS, LINES) for one in panels(page, kind) for key in one["config"]["metrics"]}
    for key in metrics:
        assert key in words or f"{key}," in words, key
    titles = [one["config"].get("chartTitle") for kind in (BARS, LINES, POINTS) for one in panels(page, kind)]
    assert all(title.split()[0] in words for title in titles)
    assert (words.count("bars"), words.count("lines")) == (len(panels(page, BARS)), len(panels(page, LINES)))
    assert (words.count("points"), words.count("chart")) == (len(panels(page, POINTS)), len(panels(page, CHART)))
    assert "runs with data.name = strip_steel and tags one of x=1, y" in " ".join(words)
    assert "3 systems with a colour of their own" in printed
