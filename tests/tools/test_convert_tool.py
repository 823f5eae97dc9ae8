"""tools/convert_backbone.py: converts a published file, or refuses it in one line."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmdet.models.backbones import ResNet

from mmproscale.checkpoints.backbone_keys import SOURCES

TOOL = "convert_backbone.py"


@pytest.fixture
def published(tmp_path) -> Path:
    """Write a complete training checkpoint of DINO, with its command line."""
    weights = ResNet(depth=18).state_dict()
    teacher = {f"module.backbone.{key}": value for key, value in weights.items()}
    content = {"student": {}, "teacher": teacher, "epoch": 800, "args": Namespace(arch="resnet18")}
    torch.save(content, tmp_path / "published.pth")
    return tmp_path / "published.pth"


@pytest.fixture
def refused(run_tool):
    def run(*arguments) -> str:
        status, out, error = run_tool(TOOL, *arguments)
        assert status == 2 and not out and len(error.splitlines()) == 1
        return error

    return run


def test_writes_a_file_for_init_cfg(run_tool, published, tmp_path):
    status, out, _ = run_tool(TOOL, "dino", published, "sub/out.pth")
    assert status == 0
    assert out == (
        "100 weights are in sub/out.pth; train with --cfg-options "
        "model.backbone.init_cfg.checkpoint=sub/out.pth\n"
    )
    content = torch.load(tmp_path / "sub" / "out.pth", weights_only=True)
    assert content["meta"]["source"] == "dino" and content["meta"]["file"] == "published.pth"
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "sub" / "out.pth"))
    model = ResNet(depth=18, init_cfg=init_cfg)
    model.init_weights()
    theirs = torch.load(published, weights_only=False)["teacher"]
    for key, value in model.state_dict().items():
        assert torch.equal(value, theirs[f"module.backbone.{key}"])


def test_a_swin_must_not_be_converted_again():
    for name in ("moby", "swin"):
        assert SOURCES[name].options == ("model.backbone.convert_weights=False",)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_existing_file_needs_overwrite(refused, run_tool, published, tmp_path, overwrite):
    out = tmp_path / "out.pth"
    out.write_text("mine")
    if not overwrite:
        assert "out.pth exists" in refused("dino", published, out)
        assert out.read_text() == "mine"
        return
    assert run_tool(TOOL, "dino", published, out, "--overwrite")[0] == 0
    assert torch.load(out, weights_only=True)["state_dict"]


def test_a_checkpoint_of_another_source_is_named(refused, published, tmp_path):
    line = refused("moby", published, "out.pth")
    assert "published.pth is not a MoBY checkpoint of a Swin" in line
    assert "it holds 4 keys (student, teacher, epoch, ...)" in line
    assert not list(tmp_path.glob("*out*"))


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_a_file_that_holds_code_is_refused_and_not_run(refused, tmp_path):
    torch.save({"teacher": RunsCode()}, tmp_path / "code.pth")
    assert "code.pth holds `os.system`" in refused("dino", "code.pth", "out.pth")
    assert not (tmp_path / "executed").exists()


def test_a_missing_file_and_unwritable_outputs_are_refused(refused, published, tmp_path):
    assert "none.pth not found" in refused("dino", "none.pth", "out.pth")
    assert "ends in .pth" in refused("dino", published, "out.safetensors")
    (tmp_path / "file").write_text("")
    assert "file/out.pth cannot be written" in refused("dino", published, "file/out.pth")


def test_the_command_line_knows_every_source(run_tool):
    status, _, error = run_tool(TOOL, "detectron2", "in.pth", "out.pth")
    assert status == 2
    assert all(f"'{name}'" in error or f" {name}" in error for name in SOURCES)
