"""A plain Mask2Former goes back to transformers and detectron2, bit by bit."""

import json

import pytest
import torch
from helpers.hub_models import NAMES, hub_model, our_config, our_model
from helpers.published_weights import released_model

from mmproscale.checkpoints.foreign.conversion import convert_weights
from mmproscale.checkpoints.foreign.export import export_weights, hub_config, write_hub_folder
from mmproscale.checkpoints.foreign.reading import read_foreign
from mmproscale.checkpoints.foreign.sources import recognise
from mmproscale.cost.random_model import build_model, model_without_weights, random_model
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("transformers", reason="transformers is not installed")
    return hub_model()


def test_the_way_back_is_bit_equal(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    file = read_foreign(tmp_path)
    ours = convert_weights(file.weights, file.kind, our_model().state_dict()).weights
    back = export_weights(ours, "hf", "ours")
    assert back.keys() == file.weights.keys()
    # No output depends on these.
    unused = ("swin.layernorm.weight", "swin.layernorm.bias", "criterion.empty_weight")
    for key, value in file.weights.items():
        assert key.endswith(unused) or torch.equal(back[key], value)


def test_transformers_loads_the_folder_and_computes_the_same(theirs, tmp_path):
    from transformers import Mask2FormerForUniversalSegmentation

    ours = convert_weights(
        theirs.state_dict(), recognise(theirs.state_dict()), our_model().state_dict()
    )
    config = hub_config(ours.weights, our_config(), NAMES)
    write_hub_folder(tmp_path / "out", export_weights(ours.weights, "hf", "ours"), config)
    loaded, report = Mask2FormerForUniversalSegmentation.from_pretrained(
        tmp_path / "out", output_loading_info=True, dtype=torch.float64
    )
    assert not any(report.values())
    assert loaded.config.id2label == dict(enumerate(NAMES))
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        outputs, expected = loaded.eval()(image), theirs(image)
    close = dict(rtol=0, atol=1e-6)  # other kernels of attention
    torch.testing.assert_close(outputs.masks_queries_logits, expected.masks_queries_logits, **close)
    torch.testing.assert_close(outputs.class_queries_logits, expected.class_queries_logits, **close)


@pytest.mark.slow
def test_a_resnet_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = load_config("m2f_r18_shapes")
    with pytest.raises(
        InputError, match=r"otherwise: groups of the pixel .*: 32 in the file, 8 in"
    ):
        hub_config(build_model(config.model).state_dict(), config, None)
    config.model.panoptic_head.pixel_decoder.norm_cfg.num_groups = 32
    model = random_model(model_without_weights(config)).eval().double()
    folder = tmp_path / "out"
    write_hub_folder(
        folder,
        export_weights(model.state_dict(), "hf", "ours"),
        hub_config(model.state_dict(), config, None),
    )
    loaded, report = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float64
    )
    assert not any(report.values())
    assert json.loads((folder / "config.json").read_text())["id2label"]["0"] == "class 0"
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        outputs = loaded.eval()(image)
        classes, masks = model.panoptic_head(model.backbone(image))
    torch.testing.assert_close(classes[-1], outputs.class_queries_logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(masks[-1], outputs.masks_queries_logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backbone", ["r50", "swin-t"])
@pytest.mark.slow
def test_detectron2_and_back(shared, backbone):
    released = released_model(shared, "mask2former_r50", backbone)
    weights = {key: torch.randn(value.shape) for key, value in released.items()}
    config = load_config(f"m2f_{backbone}_coco")
    target = build_model(model_without_weights(config), "mmdet").state_dict()
    ours = convert_weights(weights, "detectron2-mask2former", target).weights
    back = export_weights(ours, "detectron2", "ours")
    rebuilt = {key for key in weights if key.endswith("relative_position_index")}
    assert back.keys() == weights.keys() - rebuilt
    assert all(
        torch.equal(value, weights[key]) for key, value in back.items() if "empty_weight" not in key
    )
    assert back["criterion.empty_weight"][-1].item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("proscale_m2f_r18_shapes", "recalibration.phi"),
        ("eco_m2f_r18_shapes", "exit_gate.linear"),
        ("lite_m2f_r18_shapes", None),
        ("pem_m2f_r18_shapes", "input_convs.0.bn"),
        ("detr_r18_shapes", "neck."),
    ],
)
@pytest.mark.slow
def test_other_methods_have_no_place_there(name, first):
    config = load_config(name)
    weights = build_model(model_without_weights(config), "mmdet").state_dict()
    for to in ("hf", "detectron2"):
        if first is None:  # the schedule is not in the weights
            continue
        with pytest.raises(InputError) as caught:
            export_weights(weights, to, "ours.pth")
        text = str(caught.value)
        assert text.startswith("ours.pth is not a plain Mask2Former") and "\n" not in text
