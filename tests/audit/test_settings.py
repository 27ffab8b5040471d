"""Settings of an audit: which values are taken, and which do not go together."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.audit.settings import AuditSettings
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read

WRONG = {
    "checkpoint=net.onnx": "a .ckpt; exported files give no probabilities of all classes",
    "folds=1": "leaves nothing to train on; 2 or more, or 0 for the checkpoint alone",
    "seed=-1": "a whole number, 0 or more",
    "shown=true": "a whole number, 0 or more",
    "epochs=0": "a whole number, 1 or more, or null",
    "threads=0": "a whole number, 1 or more, or null",
    "size=[100,256]": "[height, width] in pixels, multiples of 16 (the net's output stride), or null",
    "spoil=1.5": "a number from 0 to 1",
    "least=-0.1": "a number from 0 to 1",
    "tta=yes": "true or false",
    "trainer.device=tpu": "auto, cpu or cuda, or null",
    "title=": "a text",
}


def composed(*overrides: str) -> AuditSettings:
    """conf/audit.yaml, as the command reads it."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return read(AuditSettings, OmegaConf.to_container(compose("audit", list(overrides)), resolve=True))


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(UserError) as caught:
        composed(*WRONG)
    assert dict(line.split(": ", 1) for line in str(caught.value).splitlines()) == WRONG


@pytest.mark.parametrize(
    ("overrides", "faults"),
    [
        (["checkpoint=a.ckpt"], []),
        (["reviewed=audit.csv"], []),
        (["checkpoint=A.CKPT", "folds=0", "shown=0", "seed=0", "least=0", "spoil=0"], []),
        (["checkpoint=a.ckpt", "folds=2", "epochs=1", "threads=1", "size=[64,128]", "spoil=1", "least=1.0"], []),
        (["checkpoint=a.ckpt", "folds=0", "data.split.file=split.csv"], []),
        ([], ["checkpoint=<run>/checkpoints/best.ckpt says how to train the nets that judge; or reviewed=<audit.csv>"]),
        (
            ["checkpoint=a.ckpt", "folds=0", "epochs=3", "size=[64,128]"],
            ["epochs=3 is for the nets of the folds", "size=[64, 128] is for the nets of the folds"],
        ),
        (["data.split.file=split.csv"], ["checkpoint=<run>", "data.split.file is for folds=0"]),
    ],
)
def test_what_goes_together(overrides, faults):
    told = []
    try:
        composed(*overrides)
    except UserError as error:
        told = str(error).splitlines()
    assert len(told) == len(faults)
    assert all(line.startswith(fault) for line, fault in zip(told, faults, strict=True))


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert composed("checkpoint='~/a.ckpt'").model == tmp_path / "a.ckpt"
