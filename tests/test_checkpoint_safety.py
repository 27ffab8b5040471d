"""A checkpoint is data: whatever is in it, no command runs it."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch

RUN = Path(__file__).parent / "fixtures" / "v0.1.0" / "run"

# Every way by which a command opens a checkpoint, {} being the file and {run} the run folder it lies in.
COMMANDS = {
    "predict": ["model={}", "input={root}/train_images", "output={run}/predicted"],
    "evaluate": ["checkpoint={}", "figures=false", "hydra.run.dir={run}/evaluation"],
    "export": ["checkpoint={}", "format=onnx", "output={run}/exported"],
    "audit": ["checkpoint={}", "folds=0", "tta=false", "hydra.run.dir={run}/audit"],
    "train resume": ["resume={run}"],
    "train weights": [
        *("encoder=any", "encoder.name=tu-test_efficientnet", "encoder.weights={}", "data=synthetic"),
        *("data.root={root}", "data.synthetic.num_images=50", "+data.synthetic.size=[64,400]"),
        *("data.image_size=[64,400]", "data.size=[64,64]", "recipe.epochs=1", "recipe.batch_size=8"),
        *("data.num_workers=0", "trainer=cpu", "speed=false", "figures=false", "hydra.run.dir={run}/other"),
    ],
}


class Writes:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


@pytest.fixture
def run(tmp_path, tiny_root) -> Path:
    run = shutil.copytree(RUN, tmp_path / "run")
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("root: data/synthetic", f"root: {tiny_root}"))
    return run


def spoil(run: Path, **changes: object) -> None:
    for path in (run / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        content["hyper_parameters"] = content["hyper_parameters"] | changes
        torch.save(content, path)


def words_for(command: str, run: Path, root: Path) -> list[str]:
    places = {"run": run, "root": root}
    return [word.format(run / "checkpoints" / "best.ckpt", **places) for word in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pickle_that_writes_a_file_is_refused(command, run, tmp_path, tiny_root, steel):
    spoil(run, harmless=Writes(tmp_path / "ran"))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    done = steel(command.split()[0], *words_for(command, run, tiny_root))
    assert not (tmp_path / "ran").exists()
    assert done.returncode == 2, done.output
    assert "Traceback" not in done.output
    # So the file was a working trap.
    torch.load(run / "checkpoints" / "best.ckpt", weights_only=False)
    assert (tmp_path / "ran").read_text() == "ran"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_instantiator_named_by_a_checkpoint_is_not_called(command, run, tmp_path, tiny_root, steel, monkeypatch):
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "a_trap.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).write_text('ran')\n"
        "def make(cls, values): return cls(**values)\n"
    )
    monkeypatch.syspath_prepend(str(trap))
    spoil(run, _instantiator="a_trap.make")
    steel(command.split()[0], *words_for(command, run, tiny_root))
    assert not (tmp_path / "ran").exists()
