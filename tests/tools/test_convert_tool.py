"""tools/convert.py: converts published weights, writes them back, or refuses in one line."""

import os
import pickle
from argparse import Namespace

import pytest
import torch
from helpers.hub_models import NAMES, our_config
from mmdet.models.backbones import ResNet
from mmdet.models.backbones.swin import SwinTransformer
from safetensors.torch import load_file

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.foreign.export import export_weights
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.utils.config import load_config

TOOL = "convert.py"


def state_dict_of(config):
    return build_model(model_without_weights(config), config.default_scope).state_dict()


@pytest.fixture
def refused(run_tool):
    def run(*arguments) -> str:
        status, out, error = run_tool(TOOL, *arguments)
        assert status == 2 and not out and len(error.splitlines()) == 1
        return error

    return run


@pytest.fixture(scope="module")
def plain():
    """Return the weights of a shipped config, which has no other that fits."""
    torch.manual_seed(0)
    return state_dict_of(load_config("m2f_r18_shapes"))


@pytest.fixture
def small(tmp_path):
    """A config of small dimensions, as a file, and the weights of its model."""
    config = our_config()
    config.train_dataloader.dataset.metainfo = dict(classes=NAMES)
    config.dump(tmp_path / "small.py")
    return tmp_path / "small.py", state_dict_of(config)


@pytest.fixture
def detectron2(small, tmp_path):
    """A file of detectron2's zoo with those weights."""
    arrays = {k: v.numpy() for k, v in export_weights(small[1], "detectron2", "x").items()}
    file = tmp_path / "model_final.pkl"
    file.write_bytes(pickle.dumps({"model": arrays, "__author__": "them"}))
    return file


@pytest.mark.parametrize("out", ["sub/out.pth", "out.safetensors"])
def test_a_whole_model(run_tool, small, detectron2, tmp_path, out):
    config, weights = small
    status, said, _ = run_tool(TOOL, detectron2, out, "--config", config)
    assert status == 0
    lines = said.splitlines()
    assert lines[:2] == [f"config: {config}", "source: Mask2Former of detectron2"]
    assert any(
        line.startswith("reordered: 9 weights (backbone.stages.0.downsample.") for line in lines
    )
    assert any(
        line.startswith("dropped: 1 keys of the file (criterion.empty_weight)") for line in lines
    )
    assert "classes: the file names none; their order is kept" in lines
    assert lines[-1] == f"{len(weights)} weights are in {out}"
    written = tmp_path / out
    found = load_file(written) if out.endswith("safetensors") else torch.load(written)["state_dict"]
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    model = build_model(model_without_weights(load_config(config)), "mmdet")
    load_model_weights(model, written)
    if out.endswith(".pth"):
        meta = torch.load(written)["meta"]
        assert meta["source"] == "detectron2-mask2former" and meta["file"] == "model_final.pkl"
        assert tuple(meta["dataset_meta"]["classes"]) == NAMES
        assert tuple(meta["dataset_meta"]["thing_classes"]) == NAMES[:4]


def test_to_hugging_face_and_back(run_tool, small, tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    config, weights = small
    torch.save({"state_dict": weights}, tmp_path / "own.pth")
    assert run_tool(TOOL, "own.pth", "hub", "--to", "hf", "--config", config)[0] == 0
    status, said, _ = run_tool(TOOL, "hub", "back.safetensors", "--config", config)
    assert status == 0 and "merged (query, key, value): 22 weights" in said
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) for key, value in weights.items())


def test_to_detectron2_and_the_config_that_fits(run_tool, plain, tmp_path):
    config = load_config("m2f_r50_coco")
    weights = state_dict_of(config)
    torch.save({"state_dict": weights}, tmp_path / "own.pth")
    status, said, _ = run_tool(TOOL, "own.pth", "d2.pth", "--to", "detectron2")
    assert (status, said) == (0, "558 weights are in d2.pth\n")
    assert set(torch.load(tmp_path / "d2.pth")) == {"model"}
    status, said, _ = run_tool(TOOL, "d2.pth", "back.pth")
    assert status == 0 and said.startswith("config: m2f_r50_coco\n")
    back = torch.load(tmp_path / "back.pth")["state_dict"]
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) for key, value in weights.items())


def test_partial(run_tool, refused, plain, tmp_path):
    torch.save({"state_dict": plain}, tmp_path / "own.pth")
    arguments = ("own.pth", "out.pth", "--config", "proscale_m2f_r18_shapes")
    line = refused(*arguments)
    assert "own.pth (mmdet, mmseg or mmproscale) does not fit the config's model: " in line
    assert "1 left over (panoptic_head.pixel_decoder.output_convs.0.conv.weight)" in line
    status, said, _ = run_tool(TOOL, *arguments, "--partial")
    assert status == 0 and "missing: 2 weights of the model" in said
    found = torch.load(tmp_path / "out.pth")["state_dict"]
    model = build_model(load_config("proscale_m2f_r18_shapes").model, "mmdet")
    assert not model.load_state_dict(found, strict=False).unexpected_keys


@pytest.fixture
def published(tmp_path):
    """A complete training checkpoint of DINO, with its command line."""
    weights = ResNet(depth=18).state_dict()
    teacher = {f"module.backbone.{key}": value for key, value in weights.items()}
    teacher |= {"module.head.mlp.0.weight": torch.zeros(1)}
    content = {"student": {}, "teacher": teacher, "epoch": 800, "args": Namespace(arch="resnet18")}
    torch.save(content, tmp_path / "published.pth")
    return tmp_path / "published.pth"


def test_a_backbone_for_init_cfg(run_tool, published, tmp_path):
    status, out, _ = run_tool(TOOL, published, "sub/out.pth")
    assert status == 0 and out.startswith("source: DINO's self-supervised ResNet\n")
    assert out.endswith(
        "100 weights are in sub/out.pth; train with --cfg-options "
        "model.backbone.init_cfg.checkpoint=sub/out.pth\n"
    )
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "sub" / "out.pth"))
    model = ResNet(depth=18, init_cfg=init_cfg)
    model.init_weights()
    theirs = torch.load(published, weights_only=False)["teacher"]
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, theirs[f"module.backbone.{key}"])


def test_a_swin_must_not_be_converted_again(run_tool, tmp_path):
    source = SwinTransformer(
        embed_dims=8, depths=(1, 1), num_heads=(1, 1), strides=(4, 2), out_indices=(0, 1)
    )
    renamed = {
        "patch_embed.projection": "patch_embed.proj",
        "stages.": "layers.",
        ".w_msa": "",
        "ffn.layers.0.0": "mlp.fc1",
        "ffn.layers.1": "mlp.fc2",
    }
    weights = {}
    for key, value in source.state_dict().items():
        for ours, theirs in renamed.items():
            key = key.replace(ours, theirs)
        weights[key] = value
    weights = {k: v for k, v in weights.items() if not k.startswith("norm")}
    torch.save({"model": weights | {"norm.weight": torch.zeros(1)}}, tmp_path / "swin.pth")
    status, out, _ = run_tool(TOOL, "swin.pth", "out.pth")
    assert status == 0 and out.endswith(
        "train with --cfg-options model.backbone.init_cfg.checkpoint=out.pth "
        "model.backbone.convert_weights=False\n"
    )
    found = torch.load(tmp_path / "out.pth")["state_dict"]
    assert all(key.startswith("backbone.") for key in found)


def test_a_backbone_of_another_depth(refused, published):
    line = refused(published, "out.pth", "--config", "proscale_m2f_r50-dino_coco")
    assert "depths of ResNet: (2, 2, 2, 2) in the file, (3, 4, 6, 3) in the config" in line


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_existing_file_needs_overwrite(refused, run_tool, published, tmp_path, overwrite):
    out = tmp_path / "out.pth"
    out.write_text("mine")
    if not overwrite:
        assert "out.pth exists" in refused(published, out)
        assert out.read_text() == "mine"
        return
    assert run_tool(TOOL, published, out, "--overwrite")[0] == 0
    assert torch.load(out)["state_dict"]


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("name", ["code.pth", "code.pkl"])
def test_a_file_that_holds_code_is_refused_and_not_run(refused, tmp_path, name):
    if name.endswith(".pth"):
        torch.save({"model": RunsCode()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps({"model": RunsCode()}))
    assert f"{name} holds `os.system`, which is not data; refused" in refused(name, "out.pth")
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out.pth").exists()


def test_files_and_names_that_are_not_there(refused, published, tmp_path):
    assert "none.pth not found" in refused("none.pth", "out.pth")
    assert "ends in .safetensors or .pth" in refused(published, "out.bin")
    (tmp_path / "file").write_text("")
    assert "file/out.pth cannot be written" in refused(published, "file/out.pth")
    assert "--from d2: known are " in refused(published, "out.pth", "--from", "d2")


def test_an_unknown_architecture(refused, tmp_path):
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(2)}, tmp_path / "vit.pth")
    line = refused("vit.pth", "out.pth")
    assert (
        "vit.pth is of an unknown kind (1 keys: blocks.0.attn.qkv.weight, ...): known are" in line
    )


def test_a_config_is_asked_for(refused, plain, tmp_path):
    torch.save({"state_dict": plain}, tmp_path / "own.pth")
    assert "add --config NAME: none of the shipped ones has its dimensions" in refused(
        "own.pth", "out.pth"
    )


def test_a_wrong_kind(refused, plain, tmp_path):
    torch.save({"state_dict": plain}, tmp_path / "own.pth")
    options = ("--from", "huggingface-mask2former", "--config", "m2f_r18_shapes")
    line = refused("own.pth", "out.pth", *options)
    assert "own.pth (Mask2Former of transformers) does not fit" in line and "left over" in line
