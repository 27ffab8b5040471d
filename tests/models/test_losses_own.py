"""Losses of the user's own: found by `module.function`, held to what training needs, not needed by a net at work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from omegaconf import OmegaConf
from sklearn.metrics import log_loss

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.inference.loading import open_engine
from steel_defects.models.losses import LOSSES, OwnLoss, get_loss
from steel_defects.models.module import SegmentationModule
from steel_defects.train.settings import read_settings
from steel_defects.train.training import train

pytestmark = pytest.mark.slow

LOSS_FILE = """
from functools import partial

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

focal = smp.losses.FocalLoss("multiclass")
weighted = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
smooth = partial(F.cross_entropy, label_smoothing=0.1)
learnt = torch.nn.Bilinear(2, 2, 1)
number = 3
dtypes = []


class Focal(torch.nn.Module):
    pass


def tenth(logits, target):
    dtypes.append((logits.dtype, target.dtype))
    return 0.1 * F.cross_entropy(logits, target)


def with_gamma(logits, target, gamma):
    return logits.mean()


def alone(logits):
    return logits.mean()


def each_pixel(logits, target):
    return F.cross_entropy(logits, target, reduction="none")


def detached(logits, target):
    return F.cross_entropy(logits.detach(), target)


def right(logits, target):
    return (logits.argmax(1) == target).sum()


def nothing(logits, target):
    F.cross_entropy(logits, target)


def a_float(logits, target):
    return 0.5
"""


@pytest.fixture
def losses(desk) -> Path:
    return desk("my_losses.py", LOSS_FILE)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, 6, 7, generator=draw, requires_grad=True)
    return logits, torch.randint(0, 5, (3, 6, 7), dtype=torch.uint8, generator=draw)


def test_a_function_is_given_what_losses_expect(losses):
    logits, target = batch()
    loss = get_loss("my_losses.tenth")(logits, target)
    probability = logits.detach().double().softmax(1).permute(0, 2, 3, 1).reshape(-1, 5).numpy()
    assert loss.item() == pytest.approx(0.1 * log_loss(target.flatten(), probability, labels=range(5)), rel=1e-5)
    loss.backward()
    assert logits.grad.any()
    assert sys.modules["my_losses"].dtypes == [(torch.float32, torch.int64)]


def test_a_module_with_weights(losses):
    logits, target = batch()
    weights = np.arange(1.0, 6)[target.numpy().ravel()]
    probability = logits.detach().double().softmax(1).permute(0, 2, 3, 1).reshape(-1, 5).numpy()
    expected = log_loss(target.flatten(), probability, sample_weight=weights, labels=range(5))
    assert get_loss("my_losses.weighted")(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_a_module_follows_the_logits(losses):
    logits, target = batch()
    loss = get_loss("my_losses.weighted")
    loss.function.double()
    loss.function.to("meta")  # stands for a GPU: another device than the CPU
    assert loss(logits.detach().to("meta"), target.to("meta")).device.type == "meta"


def test_a_partial_and_a_library_s_loss(losses):
    logits, target = batch()
    smoothed = torch.nn.functional.cross_entropy(logits, target.long(), label_smoothing=0.1)
    assert torch.equal(get_loss("my_losses.smooth")(logits, target), smoothed)
    assert torch.equal(
        get_loss("my_losses.focal")(logits, target), smp.losses.FocalLoss("multiclass")(logits, target.long())
    )


def test_installed_and_nested_modules(desk):
    desk("steel_shop/__init__.py", "")
    desk("steel_shop/losses.py", "def plain(logits, target):\n    return logits.mean()\n")
    logits, target = batch()
    assert get_loss("steel_shop.losses.plain")(logits, target).item() == pytest.approx(logits.mean().item())
    ours = get_loss("steel_defects.models.losses.cross_entropy_dice")
    assert torch.equal(ours(logits, target), LOSSES["cross_entropy_dice"](logits, target))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_losses.focall", r"my_losses.py has no focall; it has focal, weighted, smooth, learnt, tenth, "),
        ("my_losses.number", "is no function, but int"),
        ("my_losses.Focal", r"is a class, .*write `mine = Focal\(\.\.\.\)`, and set recipe.loss=my_losses.mine"),
        ("my_losses.learnt", "has parameters to learn"),
        ("my_losses.with_gamma", r"takes with_gamma\(logits, target, gamma\): missing a required argument: 'gamma'"),
        ("my_losses.alone", r"takes alone\(logits\): too many positional arguments"),
        ("my_losses.Focal.forward", "there is no module my_losses.Focal, neither in .* nor installed"),
        ("her_losses.focal", "there is no module her_losses, neither in .* nor installed"),
        ("her.losses.focal", "there is no module her, neither"),
        ("my-losses.focal", "is no <module>.<function>"),
        ("my_losses.py", "has no py; it has focal"),
        ("my_losses.", "is no <module>.<function>"),
        (".focal", "is no <module>.<function>"),
    ],
)
def test_what_cannot_be_a_loss(losses, name, message):
    with pytest.raises(UserError, match=message) as caught:
        get_loss(name)
    assert str(caught.value).startswith(f"recipe.loss={name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"cannot be imported: SyntaxError: .*line 1\)"),
        ("x = 1\ny = z\n", r"cannot be imported: NameError: name 'z' is not defined \(.*broken.py, line 2\)"),
        ("import kornia_of_my_own\n", "broken cannot be imported: No module named 'kornia_of_my_own'"),
        ("from torch import no_such_thing\n", r"ImportError: .*no_such_thing.*\(.*broken.py, line 1\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: .*line \d+\)"),
    ],
)
def test_a_module_that_cannot_be_imported(desk, text, message):
    desk("broken.py", text)
    with pytest.raises(UserError, match=message):
        get_loss("broken.focal")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("each_pixel", r"returned a tensor of shape \[3, 6, 7\], torch.float32; it has to return one number"),
        ("right", r"returned a tensor of shape \[\], torch.int64"),
        ("nothing", "returned None; it has to"),
        ("a_float", "returned 0.5; it has to"),
        ("detached", "returned a number that has lost its way back to the logits"),
    ],
)
def test_wrong_results_are_told_at_the_first_batch(losses, name, message):
    with pytest.raises(UserError, match=rf"recipe.loss=my_losses.{name} {message}"):
        get_loss(f"my_losses.{name}")(*batch())


def test_nothing_is_learnt_in_validation(losses):
    logits, target = batch()
    with torch.no_grad():
        assert get_loss("my_losses.tenth")(logits.detach(), target).isfinite()


def test_errors_in_a_user_s_function_are_told_with_their_line(desk):
    path = desk("my_slip.py", "def f(logits, target):\n    return logits / 'a'\n")
    with pytest.raises(UserError) as caught:
        get_loss("my_slip.f")(*batch())
    assert str(caught.value).startswith("recipe.loss=my_slip.f failed: TypeError: unsupported operand")
    assert str(caught.value).endswith(f"({path}, line 2)")
    assert isinstance(caught.value.__cause__, TypeError)


def test_found_in_the_working_directory_by_an_installed_command(losses, tmp_path):
    """Installed commands have their own folder on the path in place of the working directory, as `-P` does here."""
    code = (
        "import sys; from pathlib import Path; assert not {'', str(Path.cwd())} & set(sys.path)\n"
        "from steel_defects.models.losses import get_loss; print(get_loss('my_losses.tenth').function.__name__)"
    )
    script = tmp_path / "elsewhere" / "command.py"
    script.parent.mkdir()
    script.write_text(code)
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "tenth\n"), result.stderr


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory) -> tuple[RunFolder, dict]:
    """A run whose loss is the user's, a module with weights among it, which is then taken away."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "lost_losses.py").write_text(LOSS_FILE)
    run = RunFolder(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        values = settings("recipe.loss=lost_losses.weighted", "figures=false")
        summary = train(values, run)
    run.config.parent.mkdir()
    OmegaConf.save(values.plain(), run.config)
    shutil.move(folder / "lost_losses.py", folder / "lost_losses.txt")
    del sys.modules["lost_losses"]
    return run, summary


def test_training_uses_it(trained, settings, tmp_path):
    """With other weights of the classes it is another run; with the project's loss by its path it is the same run."""
    run, summary = trained
    assert summary["status"] == "finished"
    plain = RunFolder(tmp_path)
    train(settings("figures=false"), plain)
    own, other = run.read_history(), plain.read_history()
    assert (own["train/loss"] != other["train/loss"]).all()
    again = RunFolder(tmp_path / "again")
    train(settings("figures=false", "recipe.loss=steel_defects.models.losses.cross_entropy"), again)
    pd.testing.assert_series_equal(again.read_history()["train/loss"], other["train/loss"])


def test_checkpoints_hold_nothing_of_it(trained):
    content = torch.load(trained[0].best, weights_only=True)
    assert not [key for key in content["state_dict"] if not key.startswith("net.")]
    assert content["hyper_parameters"]["recipe"]["loss"] == "lost_losses.weighted"


def test_a_net_at_work_does_not_need_it(trained, tiny_root):
    run, _ = trained
    module = SegmentationModule.load_from_checkpoint(run.best, weights_only=True, map_location="cpu")
    with pytest.raises(UserError, match="there is no module lost_losses"):
        _ = module.loss
    image = np.zeros((64, 400), np.uint8)
    assert open_engine(run.best, threads=1)(image).classes.shape == image.shape


def test_going_on_needs_it(trained, tmp_path, monkeypatch, composed):
    run = RunFolder(shutil.copytree(trained[0].path, tmp_path / "run"))
    run.summary.unlink()
    before = run.last.read_bytes()
    cfg = OmegaConf.create(composed(f"resume={run.path}"))
    values = read_settings(cfg, [f"resume={run.path}"], False).changed({"recipe.epochs": 3})
    with pytest.raises(UserError, match=r"recipe\.loss=lost_losses\.weighted: there is no module lost_losses"):
        train(values, run)
    assert run.last.read_bytes() == before, "nothing is lost by the attempt"
    shutil.copy(trained[0].path.parent / "lost_losses.txt", tmp_path / "lost_losses.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert train(values, run)["status"] == "finished"
    assert len(run.read_history()) == 3


def test_a_loss_that_is_not_there_leaves_no_run(settings, tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="there is no module not_there"):
        train(settings("recipe.loss=not_there.focal"), run)
    assert not run.last.exists()


def test_wrapper_is_no_part_of_the_net(losses):
    loss = get_loss("my_losses.weighted")
    assert isinstance(loss, OwnLoss)
    assert not isinstance(loss, torch.nn.Module)


def test_memory_that_does_not_suffice_is_not_the_losses_fault(desk):
    desk("my_losses.py", "import torch\n\ndef big(logits, target):\n    raise torch.OutOfMemoryError('20 GiB')\n")
    with pytest.raises(torch.OutOfMemoryError):
        get_loss("my_losses.big")(torch.zeros(1, 5, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
