"""Weights from any source: ours, those of other packages, and names of the hub."""

import pytest
import torch
from helpers.hub_models import NAMES, STUFF, THINGS, hub_model, our_config
from helpers.loopback_hub import CARD, address_of, served, use_hub
from helpers.toy_training import ToyModel, toy_runner

from mmproscale.checkpoints import any_source
from mmproscale.checkpoints.any_source import convert_checkpoint, load_model_weights, load_source
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.errors import InputError

OURS = ("car", "cow", "man", "dog", "tree", "sky", "road")
IMAGES = torch.randn(1, 3, 64, 96, dtype=torch.float64)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A Mask2Former of transformers, and the folder that it saved itself to."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("published")
    model = hub_model()
    model.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return model, folder


def config_of(*classes, **more):
    config = our_config()
    config.merge_from_dict({f"model.{key}": value for key, value in more.items()})
    if classes:
        config.train_dataloader.dataset.metainfo = dict(classes=classes)
    return config


def model_of(config):
    model = build_model(model_without_weights(config), config.default_scope)
    return model.eval().double()


def mask_features(model) -> torch.Tensor:
    with torch.no_grad():
        return model.panoptic_head.pixel_decoder(model.extract_feat(IMAGES))[0]


def test_its_own_weights_load(tmp_path):
    source, target = ToyModel(), ToyModel()
    torch.save({"state_dict": source.state_dict(), "meta": {"a": 1}}, tmp_path / "a.pth")
    assert load_model_weights(target, tmp_path / "a.pth")["meta"] == {"a": 1}
    assert torch.equal(target.linear.weight, source.linear.weight)
    with pytest.raises(InputError, match="not a checkpoint of this model"):
        load_model_weights(ToyModel(width=5), tmp_path / "a.pth")


@pytest.mark.parametrize("form", ["folder", "file", "hub"])
def test_a_mask2former_of_transformers_computes_the_same(
    published, capsys, form, tmp_path, monkeypatch
):
    theirs, folder = published
    model = model_of(config_of(*OURS))
    with served({"owner/tiny": folder}) as server:
        use_hub(address_of(server), tmp_path, monkeypatch)
        source = {"folder": folder, "file": folder / "model.safetensors", "hub": "hf://owner/tiny"}
        meta = load_model_weights(model, source[form], config_of(*OURS))["meta"]
    with torch.no_grad():
        expected = theirs.model.pixel_level_module(IMAGES).decoder_last_hidden_state
    # transformers computes the sine encoding in fp32; 76 random models differ by up to 4e-8.
    assert torch.allclose(mask_features(model), expected, atol=1e-7)
    rows = [NAMES.index(name) for name in OURS] + [len(NAMES)]
    assert torch.equal(model.panoptic_head.cls_embed.weight, theirs.class_predictor.weight[rows])
    assert meta["dataset_meta"] == {
        "classes": OURS,
        "thing_classes": OURS[:THINGS],
        "stuff_classes": OURS[THINGS:],
    }
    lines = capsys.readouterr().err.splitlines()
    assert f"{source[form]} is converted" in lines
    assert "  source: Mask2Former of transformers" in lines
    assert any(line.startswith("  merged (query, key, value): ") for line in lines)


def test_other_classes_are_refused_and_left_out_for_fine_tuning(published):
    _, folder = published
    wanted = ("bus", *OURS[1:])
    model = model_of(config_of(*wanted))
    with pytest.raises(InputError, match="match none of"):
        load_model_weights(model, folder, config_of(*wanted))
    checkpoint = load_source(folder)
    lines = convert_checkpoint(model, checkpoint, "source", None, wanted, partial=True)
    missing = set(model.state_dict()) - set(checkpoint["state_dict"])
    missing = {key for key in missing if not key.endswith("relative_position_index")}
    assert missing == {"panoptic_head.cls_embed.weight", "panoptic_head.cls_embed.bias"}
    assert lines[-1].endswith("the class layer is left out and starts untrained")
    assert "--partial" not in lines[-1]


def test_another_number_of_classes_or_queries(published):
    _, folder = published
    head = {"num_stuff_classes": STUFF + 1, "loss_cls.class_weight": [1.0] * (len(NAMES) + 2)}
    model = model_of(config_of(**{f"panoptic_head.{key}": v for key, v in head.items()}))
    with pytest.raises(InputError, match="classes: 7 in the file, 8 in the config"):
        load_model_weights(model, folder)
    checkpoint = load_source(folder)
    lines = convert_checkpoint(model, checkpoint, "source", partial=True)
    assert "panoptic_head.cls_embed.weight" not in checkpoint["state_dict"]
    assert any("classes: 7 in the file, 8 in the config" in line for line in lines)
    model = model_of(config_of(**{"panoptic_head.num_queries": 9}))
    with pytest.raises(InputError, match="queries: 12 in the file, 9 in the config"):
        load_model_weights(model, folder)


def test_the_config_must_compute_as_the_source_does(published, monkeypatch):
    _, folder = published
    settings = {"panoptic_head.pixel_decoder.num_outs": 5}
    kinds = any_source.SOURCES["huggingface-mask2former"]
    monkeypatch.setitem(kinds.__dict__, "settings", settings)
    config = config_of(*OURS)
    model = model_of(config)
    message = r"add --cfg-options model\.panoptic_head\.pixel_decoder\.num_outs=5"
    with pytest.raises(InputError, match=message):
        load_model_weights(model, folder, config)
    lines = convert_checkpoint(model, load_source(folder), "source", config, OURS, partial=True)
    assert "num_outs=5" in lines[-1]
    config.model.panoptic_head.pixel_decoder.num_outs = 5
    load_model_weights(model, folder, config)


@pytest.mark.parametrize("fine_tuning", [True, False])
def test_load_from_of_a_runner(published, tmp_path, fine_tuning):
    theirs, folder = published
    model = model_of(config_of(*OURS))
    hooks = [{"type": "mmproscale.CheckpointMatchHook"}]
    runner = toy_runner(tmp_path, model=model, load_from=str(folder), custom_hooks=hooks)
    if fine_tuning:
        runner.train_dataloader.dataset.metainfo = {"classes": OURS}
        runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.load_or_resume()
    rows = [NAMES.index(name) for name in (OURS if fine_tuning else NAMES)] + [len(NAMES)]
    assert torch.equal(model.panoptic_head.cls_embed.weight, theirs.class_predictor.weight[rows])


def test_a_published_backbone_is_a_start_for_the_whole_model(tmp_path):
    model = model_of(our_config())
    weights = {
        "layers.0.blocks.0.attn.qkv.weight": torch.ones(48, 16),
        "layers.0.blocks.0.attn.qkv.bias": torch.ones(48),
    }
    torch.save({"model": weights}, tmp_path / "swin.pth")
    checkpoint = load_source(tmp_path / "swin.pth")
    convert_checkpoint(model, checkpoint, "swin.pth", None, None, partial=True)
    first, _ = checkpoint["state_dict"]
    assert first == "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight"
    with pytest.raises(InputError, match="not a checkpoint of this model"):
        load_model_weights(model, tmp_path / "swin.pth")
