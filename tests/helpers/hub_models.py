"""Small Mask2Formers: one of transformers with random weights, and ours of the same dimensions."""

from __future__ import annotations

import torch
from torch import nn

from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.utils.config import load_config

WIDTH, MASKS, QUERIES, THINGS, STUFF = 64, 48, 12, 4, 3
EMBED, DEPTHS, HEADS, WINDOW = 16, [2, 2, 2, 2], [1, 2, 4, 8], 4
ENCODER_LAYERS, DECODER_LAYERS, ENCODER_FFN, DECODER_FFN = 2, 3, 80, 96
NAMES = ("tree", "car", "sky", "cow", "road", "man", "dog")


def hub_model(seed: int = 0, **changes) -> nn.Module:
    """A Mask2Former of transformers, whose outputs depend on every weight."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        embed_dim=EMBED,
        depths=DEPTHS,
        num_heads=HEADS,
        window_size=WINDOW,
        image_size=64,
        out_features=[f"stage{i}" for i in range(1, 5)],
    )
    options = dict(
        backbone_config=backbone,
        feature_size=WIDTH,
        mask_feature_size=MASKS,
        hidden_dim=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=DECODER_LAYERS + 1,
        encoder_feedforward_dim=ENCODER_FFN,
        dim_feedforward=DECODER_FFN,
        num_attention_heads=8,
        num_queries=QUERIES,
        id2label=dict(enumerate(NAMES)),
    )
    torch.manual_seed(seed)
    model = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(**options | changes)).eval()
    for parameter in model.parameters():
        # Zeros and ones hide mistakes; large values let all queries become the same.
        nn.init.normal_(parameter, float(parameter.ndim == 1 and bool(parameter.mean() > 0.5)), 0.1)
    return model.double()


def our_config():
    """Return the config of a model of ours of the same dimensions."""
    head = "model.panoptic_head."
    encoder, decoder = f"{head}pixel_decoder.encoder.layer_cfg.", f"{head}transformer_decoder."
    attentions = (
        f"{encoder}self_attn_cfg",
        *(f"{decoder}layer_cfg.{kind}_attn_cfg" for kind in ("self", "cross")),
    )
    ffns = {f"{encoder}ffn_cfg": ENCODER_FFN, f"{decoder}layer_cfg.ffn_cfg": DECODER_FFN}
    options = {
        "model.backbone.embed_dims": EMBED,
        "model.backbone.depths": DEPTHS,
        "model.backbone.num_heads": HEADS,
        "model.backbone.window_size": WINDOW,
        f"{head}in_channels": [EMBED * 2**i for i in range(4)],
        f"{head}feat_channels": WIDTH,
        f"{head}out_channels": MASKS,
        f"{head}num_queries": QUERIES,
        f"{head}num_things_classes": THINGS,
        f"{head}num_stuff_classes": STUFF,
        f"{head}loss_cls.class_weight": [1.0] * (THINGS + STUFF) + [0.1],
        "model.panoptic_fusion_head.num_things_classes": THINGS,
        "model.panoptic_fusion_head.num_stuff_classes": STUFF,
        f"{decoder}num_layers": DECODER_LAYERS,
        f"{head}pixel_decoder.encoder.schedule.layers": ENCODER_LAYERS,
        f"{head}positional_encoding.num_feats": WIDTH // 2,
        f"{head}pixel_decoder.positional_encoding.num_feats": WIDTH // 2,
        **{f"{attention}.embed_dims": WIDTH for attention in attentions},
        **{f"{ffn}.embed_dims": WIDTH for ffn in ffns},
        **{f"{ffn}.feedforward_channels": width for ffn, width in ffns.items()},
    }
    return load_config("m2f_swin-t_coco", options)


def our_model() -> nn.Module:
    """Our model of the same dimensions, in double precision, with weights of its constructors."""
    config = our_config()
    return build_model(model_without_weights(config), config.default_scope).eval().double()
