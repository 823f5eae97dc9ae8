"""Converted models compute what the originals do, and every key of both sides has its place."""

import copy

import pytest
import torch
from helpers.hub_models import NAMES, hub_model, our_model
from helpers.official_pem import CHANNELS, LAYERS, released_head
from helpers.pixel_decoders import LAYER, SMALL
from helpers.published_weights import (
    PIXELS,
    golden,
    golden_weights,
    released_model,
)

from mmproscale.checkpoints.foreign.conversion import convert_weights
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.errors import InputError
from mmproscale.registry import MODELS
from mmproscale.utils.config import load_config

EXACT = dict(rtol=0, atol=1e-5)


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        convert_weights(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def state_dict_of(name):
    config = load_config(name)
    return build_model(model_without_weights(config), config.default_scope).state_dict()


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("transformers", reason="transformers is not installed")
    return hub_model()


@pytest.fixture(scope="module")
def converted(theirs):
    model = our_model()
    conversion = convert_weights(theirs.state_dict(), "huggingface-mask2former", model.state_dict())
    model.load_state_dict(conversion.weights, strict=True)
    return model, conversion


@pytest.fixture(scope="module")
def m2f(shared):
    return released_model(shared, "mask2former_r50", "r50")


@pytest.fixture(scope="module")
def target():
    return state_dict_of("m2f_r50_coco")


class TestHuggingFace:
    """transformers' own forward pass, in double precision."""

    def test_account(self, theirs, converted):
        model, conversion = converted
        assert recognise(theirs.state_dict()) == conversion.kind
        assert set(conversion.weights) == set(model.state_dict())
        assert set(conversion.used) | set(conversion.dropped) == set(theirs.state_dict())
        assert not conversion.left_over and not conversion.missing and not conversion.differences
        assert len(conversion.merged) == 2 * (8 + 3)  # Swin's blocks and the decoder's layers
        assert len(conversion.reordered) == 3 * 3
        assert "merged (query, key, value): 22 weights" in "\n".join(conversion.lines())

    @pytest.mark.parametrize("size", [(64, 96), (93, 70)])
    @torch.no_grad()
    def test_outputs(self, theirs, converted, size):
        image = torch.randn(2, 3, *size, dtype=torch.float64)
        model, _ = converted
        inner = theirs.model.pixel_level_module(image, output_hidden_states=True)
        feats = model.backbone(image)
        for ours, expected in zip(feats, inner.encoder_hidden_states, strict=True):
            torch.testing.assert_close(ours, expected, **EXACT)
        mask_features, maps = model.panoptic_head.pixel_decoder(feats)
        torch.testing.assert_close(mask_features, inner.decoder_last_hidden_state, **EXACT)
        for ours, expected in zip(maps, inner.decoder_hidden_states, strict=True):
            torch.testing.assert_close(ours, expected, **EXACT)
        outputs = theirs(image)
        classes, masks = model.panoptic_head(feats)
        torch.testing.assert_close(classes[-1], outputs.class_queries_logits, **EXACT)
        torch.testing.assert_close(masks[-1], outputs.masks_queries_logits, **EXACT)
        assert classes[-1].std(1).mean() > 0.1 and masks[-1].std(1).mean() > 0.1

    @pytest.mark.parametrize(
        "spelling",
        [
            lambda key: key.removeprefix("model."),
            lambda key: key.replace("encoder.swin.", "encoder.model."),
        ],
        ids=["bare model", "very old"],
    )
    def test_other_spellings(self, theirs, converted, spelling):
        weights = {spelling(key): value for key, value in theirs.state_dict().items()}
        assert set(weights) != set(theirs.state_dict())
        kind = recognise(weights)
        ours = convert_weights(weights, kind, converted[0].state_dict()).weights
        assert all(torch.equal(ours[key], value) for key, value in converted[1].weights.items())

    def test_oneformer_shares_the_backbone_and_the_pixel_decoder(self, theirs, converted):
        weights = {
            key: value
            for key, value in theirs.state_dict().items()
            if ".pixel_level_module." in key
        }
        others = (
            "model.transformer_module.decoder.class_embed.weight",
            "model.transformer_module.queries_embedder.weight",
            "model.task_encoder.task_mlp.layers.0.0.weight",
            "model.text_mapper.text_encoder.ln_final.weight",
            "criterion.empty_weight",
        )
        weights |= {key: torch.zeros(1) for key in others}
        assert recognise(weights) == "huggingface-oneformer"
        model, whole = converted
        part = convert_weights(weights, "huggingface-oneformer", model.state_dict(), partial=True)
        assert not part.left_over and len(part.dropped) == 2 + len(others)
        assert all(key.startswith("panoptic_head.") for key in part.missing)
        assert not any(".pixel_decoder." in key for key in part.missing)
        assert all(torch.equal(value, whole.weights[key]) for key, value in part.weights.items())

    def test_class_rows_move_by_name(self, theirs, converted):
        wanted = ("car", "cow", "man", "dog", "tree", "sky", "road")
        moved = convert_weights(
            theirs.state_dict(),
            "huggingface-mask2former",
            converted[0].state_dict(),
            found_classes=NAMES,
            wanted_classes=wanted,
        )
        key = "panoptic_head.cls_embed.bias"
        theirs_by_name = dict(zip((*NAMES, "nothing"), theirs.class_predictor.bias, strict=True))
        expected = [theirs_by_name[name] for name in (*wanted, "nothing")]
        assert torch.equal(moved.weights[key], torch.stack(expected))
        assert key in moved.reordered

    @pytest.mark.parametrize("name", ["cat", "Car "])
    def test_a_class_that_matches_nothing(self, theirs, converted, name):
        wanted = (*NAMES[:1], name, *NAMES[2:])
        options = dict(found_classes=NAMES, wanted_classes=wanted, source="there")
        arguments = (theirs.state_dict(), "huggingface-mask2former", converted[0].state_dict())
        if name == "Car ":
            assert convert_weights(*arguments, **options).weights
            return
        text = refusal(*arguments, **options)
        assert text.startswith("there: 1 of the classes of there match none of the config by name")
        assert "(first: 'car')" in text
        partial = convert_weights(*arguments, **options, partial=True)
        assert partial.missing == tuple(f"panoptic_head.cls_embed.{p}" for p in ("weight", "bias"))

    def test_another_head_of_mmseg(self, theirs, converted):
        model, conversion = converted
        target = {
            key.replace("panoptic_head.", "decode_head."): value
            for key, value in model.state_dict().items()
        }
        weights = convert_weights(theirs.state_dict(), conversion.kind, target).weights
        assert set(weights) == set(target)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (dict(num_queries=9), "queries: 9 in the file, 12 in the config (num_queries)"),
            (dict(decoder_layers=3), "decoder layers: 2 in the file, 3 in the config"),
            (dict(encoder_layers=1), "encoder layers: 1 in the file, 2 in the config (encoder)"),
            (dict(id2label={0: "a"}), "classes: 1 in the file, 7 in the config (num_classes, or"),
            (dict(dim_feedforward=32), "feed-forward width of the decoder: 32 in the file, 96"),
            (dict(hidden_dim=32, feature_size=32), "width of the queries: 32 in the file, 64"),
            (dict(mask_feature_size=32), "channels of the mask features: 32 in the file, 48"),
        ],
    )
    def test_other_dimensions(self, theirs, converted, change, message):
        model, conversion = converted
        weights = hub_model(**change).state_dict()
        text = refusal(weights, conversion.kind, model.state_dict(), source="there")
        assert message in text and "or --partial" in text
        partial = convert_weights(weights, conversion.kind, model.state_dict(), partial=True)
        assert any(message in line for line in partial.differences)
        assert model.load_state_dict(partial.weights, strict=False).unexpected_keys == []


@pytest.mark.parametrize("name", ["m2f_swin-t_coco", "m2f_swin-l_coco"])
@pytest.mark.slow
def test_full_size_key_lists(name):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    target = state_dict_of(name)
    large = name.endswith("swin-l_coco")
    heads = [6, 12, 24, 48] if large else [3, 6, 12, 24]
    backbone = transformers.SwinConfig(
        embed_dim=192 if large else 96,
        depths=[2, 2, 18, 2] if large else [2, 2, 6, 2],
        num_heads=heads,
        window_size=12 if large else 7,
        out_features=[f"stage{i}" for i in range(1, 5)],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, num_queries=200 if large else 100, num_labels=133
    )
    with torch.device("meta"):
        theirs = transformers.Mask2FormerForUniversalSegmentation(config)
    conversion = convert_weights(theirs.state_dict(), "huggingface-mask2former", target)
    assert set(conversion.weights) == set(target)
    assert not conversion.left_over and len(conversion.dropped) == 3


@pytest.mark.parametrize("backbone", ["r50", "swin-t"])
@pytest.mark.parametrize(
    ("pixel_decoder", "method", "kind"),
    [
        ("mask2former_r50", "m2f", "detectron2-mask2former"),
        ("proscale_{}", "proscale_m2f", "detectron2-proscale"),
        ("eco_swint", "eco_m2f", "detectron2-eco"),
    ],
)
def test_every_released_key_list(shared, pixel_decoder, method, kind, backbone):
    listed = pixel_decoder.format(backbone.replace("-", ""))
    weights = released_model(shared, listed, backbone)
    target = state_dict_of(f"{method}_{backbone}_coco")
    assert recognise(weights) == kind
    conversion = convert_weights(weights, kind, target)
    assert set(conversion.weights) == set(target)
    assert not conversion.left_over and not conversion.missing
    own = "criterion.empty_weight"
    assert all(key == own or key.endswith("relative_position_index") for key in conversion.dropped)


class TestReleases:
    """The authors' outputs at small widths."""

    def converted(self, shared, name, decoder, kind):
        tensors = golden(shared, name)
        target = {
            f"panoptic_head.pixel_decoder.{key}": value
            for key, value in decoder.state_dict().items()
        }
        weights = golden_weights(tensors)
        assert recognise(weights) == kind
        conversion = convert_weights(weights, kind, target)
        prefix = "panoptic_head.pixel_decoder."
        own = {key.removeprefix(prefix): value for key, value in conversion.weights.items()}
        decoder.load_state_dict(own, strict=True)
        return tensors, conversion

    def decoder(self, schedule, **parts):
        encoder = dict(schedule=schedule, layer_cfg=copy.deepcopy(LAYER))
        kind = "mmproscale.DeformablePixelDecoder"
        return MODELS.build(dict(type=kind, encoder=encoder, **SMALL, **parts)).eval()

    @torch.no_grad()
    def test_proscale(self, shared):
        kind = "detectron2-proscale"
        layout = SOURCES[kind].settings["panoptic_head.pixel_decoder.recalibration.token_layout"]
        decoder = self.decoder(
            dict(type="pro_scale", repeats=(2, 1, 2)),
            recalibration=dict(type="TRC", token_layout=layout),
            pixel_embedding=dict(type="LPE"),
        )
        tensors, _ = self.converted(shared, "proscale_official", decoder, kind)
        outputs = decoder([tensors[f"in/res{i}"] for i in (2, 3, 4, 5)])
        assert_outputs(outputs, tensors, "out/")

    @torch.no_grad()
    def test_eco(self, shared):
        decoder = self.decoder(dict(type="m2f", layers=6), exit_gate=dict(type="ExitGate"))
        tensors, _ = self.converted(shared, "eco_official", decoder, "detectron2-eco")
        for image in range(4):
            feats = [tensors[f"in/{image}/res{i}"] for i in (2, 3, 4, 5)]
            assert decoder.embed(feats)[0] == tuple(tensors[f"out/{image}/exit_layers"].tolist())
            assert_outputs(decoder(feats), tensors, f"out/{image}/")

    @torch.no_grad()
    def test_pem(self, shared):
        tensors = golden(shared, "pem_official")
        head = released_head()
        target = {f"panoptic_head.{key}": value for key, value in head.state_dict().items()}
        conversion = convert_weights(golden_weights(tensors), "detectron2-pem", target)
        assert recognise(golden_weights(tensors)) == conversion.kind
        weights = {k.removeprefix("panoptic_head."): v for k, v in conversion.weights.items()}
        head.load_state_dict(weights, strict=True)
        classes, masks = head([tensors[f"in/pixel_decoder/res{i}"] for i in (2, 3, 4, 5)])
        expected = (tensors["out/chained/pred_logits"], tensors["out/chained/pred_masks"])
        torch.testing.assert_close((classes[-1], masks[-1]), expected, rtol=0, atol=1e-4)
        assert len(classes) == LAYERS + 1 and CHANNELS == 32


def assert_outputs(outputs, tensors, place):
    mask_features, maps = outputs
    expected = [tensors[f"{place}multi_scale_features{i}"] for i in range(3)]
    torch.testing.assert_close(list(maps), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(mask_features, tensors[f"{place}mask_features"], rtol=0, atol=1e-4)


class TestWrongInput:
    """One line that says what was found and what to do."""

    def refused(self, weights, target):
        return refusal(weights, recognise(weights), target, source="model.pkl")

    def test_a_key_too_many(self, m2f, target):
        text = self.refused(m2f | {"sem_seg_head.predictor.extra.weight": torch.zeros(1)}, target)
        assert "weights 1 left over (sem_seg_head.predictor.extra.weight): give" in text
        assert text.startswith("model.pkl (Mask2Former of detectron2) does not fit")

    def test_a_key_too_few(self, m2f, target):
        weights = {k: v for k, v in m2f.items() if k != f"{PIXELS}mask_features.bias"}
        assert "weights 1 missing (panoptic_head.pixel_decoder.mask_feature.bias): give" in (
            self.refused(weights, target)
        )

    def test_a_key_in_two_spellings(self, m2f, target):
        double = {"sem_seg_head.mask_features.bias": torch.zeros(256)}
        text = self.refused(m2f | double, target)
        assert "weights 1 left over (sem_seg_head.mask_features.bias): give" in text

    def test_another_method(self, m2f, target, shared):
        text = self.refused(released_model(shared, "proscale_r50", "r50"), target)
        assert "(PRO-SCALE of its authors)" in text
        assert "encoder layers: 9 in the file, 6 in the config" in text

    def test_another_backbone(self, target, shared):
        weights = released_model(shared, "mask2former_r50", "swin-t")
        assert "265 missing (backbone.conv1.weight, " in self.refused(weights, target)

    def test_another_architecture(self, m2f):
        target = state_dict_of("detr_r18_shapes")
        assert "does not fit the config's model: " in self.refused(m2f, target)
        text = refusal(
            {key: value for key, value in m2f.items() if not key.startswith("backbone.")},
            "detectron2-mask2former",
            target,
            partial=True,
            source="model.pkl",
        )
        assert text == "model.pkl: none of its weights fits the config's model"

    def test_other_widths_of_the_backbone(self, m2f):
        target = state_dict_of("m2f_r18_shapes")
        text = self.refused(m2f, target)
        assert "depths of ResNet: (3, 4, 6, 3) in the file, (2, 2, 2, 2) in the config" in text

    def test_partial_into_proscale(self, m2f):
        target = state_dict_of("proscale_m2f_r50_coco")
        conversion = convert_weights(m2f, "detectron2-mask2former", target, partial=True)
        # Layers 6 to 8 and TRC are new; of the first six layers, offsets and weights differ.
        assert len(conversion.missing) == 3 * 16 + 2 and len(conversion.reshaped) == 6 * 4
        assert len(conversion.weights) == 606 - 50 - 24


class TestOwn:
    """Weights of mmdet, mmseg and this package keep their names."""

    @pytest.mark.parametrize(
        ("stock", "ours"),
        [
            ("mask2former_r50_8xb2-lsj-50e_coco-panoptic", "m2f_r50_coco"),
            ("mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic", "m2f_swin-t_coco"),
            ("mask2former_r50_8xb2-lsj-50e_coco", "m2f_r50_coco-instance"),
            ("mask2former_r50_8xb2-90k_cityscapes-512x1024", "m2f_r50_cityscapes-semantic"),
            ("mask2former_swin-t_8xb2-160k_ade20k-512x512", "m2f_swin-t_ade20k-semantic"),
        ],
    )
    @pytest.mark.slow
    def test_stock_mask2former_loads_whole(self, stock, ours):
        scope = "mmseg" if "semantic" in ours else "mmdet"
        config = load_config(f"{scope}::mask2former/{stock}.py")
        weights = build_model(model_without_weights(config), scope).state_dict()
        target = state_dict_of(ours)
        assert recognise(weights) == "mmdet"
        conversion = convert_weights(weights, "mmdet", target)
        assert set(conversion.weights) == set(target) and not conversion.merged
        assert all(torch.equal(conversion.weights[key], weights[key]) for key in conversion.kept)

    @pytest.mark.slow
    def test_between_the_heads_of_mmdet_and_mmseg(self):
        panoptic = state_dict_of("m2f_r50_cityscapes")
        semantic = state_dict_of("m2f_r50_cityscapes-semantic")
        conversion = convert_weights(panoptic, "mmdet", semantic)
        assert set(conversion.weights) == set(semantic)
        back = convert_weights(conversion.weights, recognise(semantic), panoptic)
        assert all(torch.equal(back.weights[key], value) for key, value in panoptic.items())
