"""Sweeps: one after the other, killed and started again, on several processes, each job with a folder and a GPU."""

from __future__ import annotations

import os
import threading
import time

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.train.locks import Taken, one_gpu, sole
from steel_defects.train.settings import check_torchrun, job_dir, read_settings
from steel_defects.train.sweep import earlier, read_jobs

# Batches so small that an epoch lasts long enough to be killed in.
SWEEP = ["--multirun", "recipe.epochs=2", "recipe.batch_size=2", "data.num_workers=1"]
SWEEP += ["figures=false", "hydra.sweep.dir=sweep"]


def folder_of(*overrides: str) -> str:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return job_dir(_root_=compose("train", list(overrides)))


def test_a_job_has_a_folder_of_its_own():
    names = [
        folder_of("seed=1"),
        folder_of("seed=2"),
        folder_of("seed=1", "recipe.lr=0.1"),
        folder_of("model=barebone"),
    ]
    assert len(set(names)) == 4
    assert names[0].startswith("deeplabv3plus-efficientnet-b1-seed1-")
    assert folder_of("seed=1") == names[0]
    assert folder_of("seed=1", "sweep.skip_finished=true") == names[0], "a sweep started again finds it"


def test_folders_have_plain_names():
    assert folder_of("system='a/b c:ü'").startswith("a-b-c-ü-seed1-")
    assert len(folder_of(f"system={'x' * 300}")) < 120
    assert folder_of("encoder=any").startswith("job-seed1-"), "what has no name yet fails in its job, not before"


@pytest.fixture(scope="module")
def serial(exit_code, tmp_path_factory) -> dict[int, RunFolder]:
    """A sweep of two jobs by Hydra's own launcher: the run of each seed."""
    folder = tmp_path_factory.mktemp("serial")
    assert exit_code(folder, *SWEEP, "seed=1,2") == 0
    return runs_of(folder / "sweep")


def runs_of(sweep) -> dict[int, RunFolder]:
    runs = [RunFolder(path.parent) for path in sweep.glob("*/summary.json")]
    return {run.read_summary()["seed"]: run for run in runs}


@pytest.fixture
def assert_alike(load_state):
    """Two sweeps have the same scores, predictions and weights, and their seeds made a difference."""

    def check(runs: dict[int, RunFolder], others: dict[int, RunFolder]) -> None:
        assert set(runs) == set(others) == {1, 2}
        weights = {}
        for seed, run in runs.items():
            ours, theirs = run.read_summary(), others[seed].read_summary()
            assert ours["status"] == theirs["status"] == "finished"
            assert ours["test"] == theirs["test"]
            assert run.per_image.read_bytes() == others[seed].per_image.read_bytes()
            assert run.predictions.read_bytes() == others[seed].predictions.read_bytes()
            weights[seed], other = load_state(run.last), load_state(others[seed].last)
            assert all(torch.equal(weights[seed][key], other[key]) for key in other)
        assert not all(torch.equal(weights[1][key], weights[2][key]) for key in weights[1])

    return check


# Each runs its jobs in other processes, which get the job's function and configuration handed over.
@pytest.mark.parametrize("launcher", ["joblib", "ray"])
def test_launchers_give_the_scores_of_a_serial_sweep(launcher, command, serial, assert_alike, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"joblib": ["hydra.launcher.n_jobs=2"], "ray": ["+hydra.launcher.ray.init.include_dashboard=false"]}
    options = [f"hydra/launcher={launcher}", *options.get(launcher, [])]
    result = command(tmp_path, *SWEEP, "seed=1,2", *options)
    assert result.returncode == 0, result.stdout
    runs = runs_of(tmp_path / "sweep")
    for seed, run in runs.items():
        assert run.path.name == serial[seed].path.name
        assert run.best.is_file()
    table = pd.read_csv(tmp_path / "sweep" / "sweep.csv")
    assert table["status"].tolist() == ["finished", "finished"]
    assert_alike(runs, serial)


def test_a_sweep_killed_in_its_middle_does_what_is_missing(command, train_here, serial, assert_alike, tmp_path):
    """Killed in its second job; started again with one job more, and one that had failed."""
    sweep = tmp_path / "sweep"
    process = command(tmp_path, *SWEEP, "seed=1,2", wait=False)
    deadline = time.monotonic() + 250
    second = RunFolder(sweep / serial[2].path.name)

    def epoch_saved() -> bool:  # the checkpoint follows the row
        paths = (second.history, second.last)
        return all(path.is_file() for path in paths) and paths[0].stat().st_mtime < paths[1].stat().st_mtime

    while not epoch_saved():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert len(second.read_history()) == 1
    assert not second.summary.exists()
    first = RunFolder(sweep / serial[1].path.name)
    kept = [first.best, first.last, first.summary, first.history, first.predictions]
    before = [path.stat().st_mtime_ns for path in kept]

    refused = train_here(tmp_path, *SWEEP, "seed=1,2")
    assert refused.returncode == 2
    assert "sweep.skip_finished=true does what is missing" in refused.output

    result = train_here(tmp_path, *SWEEP, "seed=0,1,2", "sweep.skip_finished=true")
    assert result.returncode == 0, result.output
    assert result.output.count("is finished, and not repeated") == 1
    assert result.output.count("epoch 1/2") == 1, "the killed job goes on where it was; the new one begins"
    assert [path.stat().st_mtime_ns for path in kept] == before
    table = pd.read_csv(sweep / "sweep.csv")
    assert table["status"].tolist() == ["finished"] * 3
    runs = runs_of(sweep)
    assert runs.pop(0).best.is_file()
    assert_alike(runs, serial)

    # One that failed goes on with the split it has: with another, it would be tested on what it was trained on.
    first.write_summary({"status": "failed", "error": "no memory"})
    split = pd.read_csv(first.split, keep_default_na=False)
    some = [split.index[split["part"] == part][0] for part in ("train", "val")]
    split.loc[some, "part"] = split.loc[some[::-1], "part"].tolist()
    split.to_csv(first.split, index=False)
    again = train_here(tmp_path, *SWEEP, "seed=1,2", "sweep.skip_finished=true")
    assert again.returncode == 0, again.output
    assert again.output.count("is finished, and not repeated") == 1
    pd.testing.assert_frame_equal(pd.read_csv(first.split, keep_default_na=False), split)
    assert first.read_summary()["data"]["split_hash"] != second.read_summary()["data"]["split_hash"]


def test_a_folder_of_another_job_is_neither_skipped_nor_gone_on_with(tmp_path):
    run = RunFolder(tmp_path / "0")
    run.path.mkdir()
    assert earlier(run, "net-seed1-aaaa") is None, "a new folder may have any name"
    run.write_summary({"status": "finished", "test": {"miou": 0.5}})
    with pytest.raises(Taken, match="holds another job's run"):
        earlier(run, "net-seed1-aaaa")
    assert earlier(run, "0")["test"]["miou"] == 0.5
    run.write_summary({"status": "failed"})
    assert earlier(run, "net-seed1-aaaa") is None
    run.last.parent.mkdir()
    run.last.touch()
    with pytest.raises(Taken, match="holds another job's run"):
        earlier(run, "net-seed1-aaaa")


def test_finished_jobs_are_found_by_name_only(train_here, tmp_path):
    options = ["hydra.sweep.subdir=job", "sweep.skip_finished=true"]
    result = train_here(tmp_path, *SWEEP, "seed=1,2", *options)
    assert result.returncode == 2
    assert "leave hydra.sweep.subdir out" in result.output


def test_a_finished_run_without_its_checkpoints_is_not_written_over(train_here, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_summary({"status": "finished", "test": {"miou": 0.5}})
    result = train_here(tmp_path, f"hydra.run.dir={run.path}")
    assert result.returncode == 2
    assert "holds a run already" in result.output
    assert run.read_summary()["test"] == {"miou": 0.5}


def test_jobs_of_an_earlier_start_do_not_fail_a_sweep(tmp_path):
    for number in (0, 1):
        hydra = tmp_path / f"job{number}" / ".hydra"
        hydra.mkdir(parents=True)
        (hydra / "overrides.yaml").write_text(f"- seed={number}\n")
        (hydra / "hydra.yaml").write_text(f"hydra: {{job: {{num: {number}}}}}\n")
    os.utime(tmp_path / "job0" / ".hydra" / "overrides.yaml", (100, 100))
    assert read_jobs(tmp_path)["job"].tolist() == [0, 1]
    assert read_jobs(tmp_path, since=200)["job"].tolist() == [1]


def test_a_folder_is_had_by_one_process_alone(tmp_path):
    with sole(tmp_path), pytest.raises(Taken, match="another process is at work"), sole(tmp_path):
        pytest.fail("two had it")
    with sole(tmp_path):
        pass
    with pytest.raises(ValueError, match="in it"), sole(tmp_path):
        raise ValueError("in it")
    with sole(tmp_path):
        pass


def test_jobs_at_work_have_different_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with one_gpu(tmp_path, 2) as first, one_gpu(tmp_path, 2) as second:
        assert {first, second} == {0, 1}
    with one_gpu(tmp_path, 2) as again:
        assert again == 0


def test_a_job_waits_until_a_gpu_is_free(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    order = []

    def work() -> None:
        with one_gpu(tmp_path, 1, poll=0.01) as number:
            order.append(f"second on {number}")

    with caplog.at_level("INFO"), one_gpu(tmp_path, 1):
        waiting = threading.Thread(target=work)
        waiting.start()
        while "waiting" not in caplog.text:
            time.sleep(0.01)
        order.append("first ends")
    waiting.join(10)
    assert order == ["first ends", "second on 0"]


def test_a_gpu_handed_out_by_the_launcher_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with one_gpu(tmp_path, 1) as first:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
        with one_gpu(tmp_path, 1) as second:
            assert first == second == 0


def test_torchrun_needs_a_folder_that_all_processes_share(monkeypatch):
    check_torchrun([])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"hydra\.run\.dir="):
        check_torchrun(["hydra.job.name=x"])
    check_torchrun(["hydra.run.dir=outputs/big"])


@pytest.mark.parametrize("trainer", [{"devices": 2}, {"strategy": "ddp"}, {"num_nodes": 2}])
def test_processes_of_its_own_are_refused_in_a_sweep(composed, trainer):
    cfg = OmegaConf.create(composed(*(f"++trainer.{key}={value}" for key, value in trainer.items())))
    with pytest.raises(UserError, match=r"cannot be a job of a --multirun.*hydra/launcher=joblib"):
        read_settings(cfg, [], sweep=True)
    read_settings(cfg, [], sweep=False)
