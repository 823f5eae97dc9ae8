"""Kinds of published weights: the keys by which one is recognised, and the table that maps it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mmproscale.checkpoints.model_match import REBUILT, SHARED
from mmproscale.models.backbones import published_keys as backbones
from mmproscale.models.detectors import published_keys as detectors
from mmproscale.models.pixel_decoders import published_keys as pixel_decoders
from mmproscale.models.query_decoders import published_keys as query_decoders
from mmproscale.utils.key_rules import KeyRule, modules, under

HEAD = "panoptic_head."
"""Head of our tables; mmseg's models have `decode_head.` instead."""
_BACKBONE, _PIXELS = "backbone.", f"{HEAD}pixel_decoder."


@dataclass(frozen=True)
class Source:
    """Kind of published weights.

    Attributes:
        title: Name in messages.
        marks: Patterns that recognise the kind: each matches the beginning of one of its keys.
        rules: Table of its keys.
        dropped: Patterns of keys that a model of ours does not need.
        prefixes: Substitutions that bring other spellings of the beginning of a key to the table's.
        method: Beginning of the names of fitting configs, e.g. `m2f`.
        classes: The source's own lists of classes, by `class_lists`: 'detectron2' or 'coco-ids'.
        settings: Settings, below `model`, of a config that computes as the source does; `HEAD`
            stands for the head.
        is_backbone: The weights are a backbone's; the others are a whole model's.
    """

    title: str
    marks: tuple[str, ...]
    rules: tuple[KeyRule, ...] = ()
    dropped: tuple[str, ...] = ()
    prefixes: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    classes: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_backbone: bool = False

    @cached_property
    def dropped_pattern(self) -> re.Pattern[str]:
        """Pattern of all keys that are dropped."""
        return re.compile("|".join(self.dropped) or r"(?!)")

    def their_key(self, key: str) -> str:
        """Return a key in the spelling of the table."""
        for pattern, replacement in self.prefixes:
            key = re.sub(pattern, replacement, key)
        return key

    def marks_of(self, keys: Iterable[str]) -> bool:
        """Return whether every mark of the kind matches a key."""
        keys = tuple(keys)
        return all(any(re.match(mark, key) for key in keys) for mark in self.marks)


# Buffers that a model computes itself, and a criterion's.
_REBUILT = tuple(rf".+\.{name}" for name in (*REBUILT, "attn_mask"))
_CRITERION = (r"criterion\..+",)
_D2_STATISTICS = (r"pixel_mean", r"pixel_std")

_HF_PREFIXES = (
    (r"^(pixel_level_module|transformer_module)\.", r"model.\1."),
    (r"^(model\.pixel_level_module\.encoder\.)(?:model|swin)\.", r"\1"),
)
_HF_ENCODER, _HF_DECODER = "model.pixel_level_module.encoder.", "model.pixel_level_module.decoder."
_HF_BACKBONES = (
    *under(backbones.SWIN_HUGGING_FACE, _HF_ENCODER, _BACKBONE),
    *under(backbones.RESNET_HUGGING_FACE, _HF_ENCODER, _BACKBONE),
    *under(backbones.RESNET, f"{_HF_ENCODER}_backbone.", _BACKBONE),
)
_HF_PIXELS = under(pixel_decoders.HUGGING_FACE, _HF_DECODER, _PIXELS)
_HF_DROPPED = (*_REBUILT, *_CRITERION, r"model\.pixel_level_module\.encoder\.layernorm\.\w+")

_D2_HEAD = "sem_seg_head."
_D2_BACKBONES = (
    *under(backbones.SWIN, _BACKBONE, _BACKBONE),
    *under(backbones.SWIN_NORMS, _BACKBONE, _BACKBONE),
    *under(backbones.RESNET_DETECTRON2, _BACKBONE, _BACKBONE),
)
_D2_PREFIXES = (
    # The first release has the pixel decoder directly under the head.
    (r"^sem_seg_head\.(?!pixel_decoder\.|predictor\.)", "sem_seg_head.pixel_decoder."),
)


def _detectron2(title: str, marks: tuple[str, ...], method: str, **more: Any) -> Source:
    """Return a model with Mask2Former's two decoders in detectron2."""
    pixels = more.pop("pixels", pixel_decoders.DETECTRON2)
    queries = more.pop("queries", query_decoders.DETECTRON2)
    return Source(
        title=title,
        marks=marks,
        rules=(
            *_D2_BACKBONES,
            *under(pixels, f"{_D2_HEAD}pixel_decoder.", _PIXELS),
            *under(queries, f"{_D2_HEAD}predictor.", HEAD),
        ),
        dropped=(*_REBUILT, *_CRITERION, *_D2_STATISTICS),
        prefixes=_D2_PREFIXES,
        method=method,
        classes="detectron2",
        **more,
    )


_IDEA_BACKBONES = (
    *under(backbones.RESNET, "backbone.0.body.", _BACKBONE),
    *under(backbones.SWIN, "backbone.0.", _BACKBONE),
    *under(backbones.SWIN_NORMS, "backbone.0.", _BACKBONE),
)
# The decoder holds the prediction layers a second time.
_IDEA_DROPPED = (*_REBUILT, r"transformer\.decoder\.(class|bbox)_embed\..+")
_IDEA: dict[str, Any] = dict(
    rules=(*_IDEA_BACKBONES, *detectors.DINO),
    dropped=_IDEA_DROPPED,
    classes="coco-ids",
    settings={"neck.bias": True},
)

_SWIN_CLASSIFIER = (*_REBUILT, r"norm\.\w+", r"head\..+")
_MOBY_TRAINING = (r"encoder_k\..+", r"(projector|predictor)(_k)?\..+", r"queue\d", r"queue_ptr")
_WITHOUT_CONVERSION = {"backbone.convert_weights": False}

SOURCES: Mapping[str, Source] = {
    "huggingface-oneformer": Source(
        title="OneFormer of transformers",
        marks=(
            r"(model\.)?pixel_level_module\.decoder\.",
            r"(model\.)?(task_encoder|text_mapper|transformer_module\.decoder\.class_embed)\.",
        ),
        rules=(*_HF_BACKBONES, *_HF_PIXELS),
        dropped=(*_HF_DROPPED, r"model\.transformer_module\..+", r"(model\.)?task_encoder\..+")
        + (r"(model\.)?text_mapper\..+",),
        prefixes=_HF_PREFIXES,
        method="m2f",
    ),
    "huggingface-mask2former": Source(
        title="Mask2Former of transformers",
        marks=(r"(model\.)?pixel_level_module\.decoder\.(input_projections|encoder)\.",),
        rules=(
            *_HF_BACKBONES,
            *_HF_PIXELS,
            *under(query_decoders.HUGGING_FACE, "model.", HEAD),
            *modules({"class_predictor": f"{HEAD}cls_embed"}),
        ),
        dropped=_HF_DROPPED,
        prefixes=_HF_PREFIXES,
        method="m2f",
    ),
    "detectron2-pem": _detectron2(
        "PEM of its authors",
        (r"sem_seg_head\.pixel_decoder\.csm\.",),
        "pem_m2f",
        pixels=pixel_decoders.PEM,
        queries=query_decoders.PEM,
        settings={
            f"{_PIXELS}modulation.gate": "double_sigmoid",
            f"{HEAD}transformer_decoder.layer_cfg.cross_attn_cfg.normalised_over": "queries",
            f"{HEAD}transformer_decoder.layer_cfg.cross_attn_cfg.empty_masks": "image",
        },
    ),
    "detectron2-eco": _detectron2(
        "ECO-M2F of its authors",
        (r"sem_seg_head\.(pixel_decoder\.)?transformer\.encoder\.gt\.",),
        "eco_m2f",
    ),
    "detectron2-proscale": _detectron2(
        "PRO-SCALE of its authors",
        (r"sem_seg_head\.(pixel_decoder\.)?transformer\.encoder\.token_excite\.",),
        "proscale_m2f",
        settings={f"{_PIXELS}recalibration.token_layout": "release"},
    ),
    "detectron2-mask2former": _detectron2(
        "Mask2Former of detectron2",
        (r"sem_seg_head\.((pixel_decoder\.)?transformer\.encoder\.|predictor\.)",),
        "m2f",
    ),
    "lite-detr": Source(
        title="Lite-DETR of its authors",
        marks=(r"transformer\.encoder\.layers\.\d+\.linear12\.", r"transformer\.enc_output\."),
        # Weights of key-aware attention, which is off in the released models.
        **_IDEA | {"dropped": (*_IDEA_DROPPED, r".+_attn\.query_proj\.\w+")},
    ),
    "idea-dino": Source(
        title="DINO of IDEA",
        marks=(r"transformer\.enc_output\.", r"label_enc\."),
        **_IDEA,
    ),
    "detr": Source(
        title="DETR of its authors",
        marks=(
            r"transformer\.decoder\.layers\.0\.multihead_attn\.",
            r"class_embed\.",
            r"bbox_embed\.",
        ),
        rules=(*_IDEA_BACKBONES, *detectors.DETR),
        dropped=_REBUILT,
        classes="coco-ids",
    ),
    "moby": Source(
        title="MoBY's Swin",
        marks=(r"encoder\.layers\.0\.blocks\.0\.attn\.qkv\.", r"encoder_k\."),
        rules=under(backbones.SWIN, "encoder.", _BACKBONE),
        dropped=(*_REBUILT, r"encoder\.(norm|head)\..+", *_MOBY_TRAINING),
        settings=_WITHOUT_CONVERSION,
        is_backbone=True,
    ),
    "dino-self-supervised": Source(
        title="DINO's self-supervised ResNet",
        marks=(r"backbone\.layer1\.0\.conv1\.", r"head\.(mlp|last_layer)\."),
        rules=under(backbones.RESNET, _BACKBONE, _BACKBONE),
        dropped=(*_REBUILT, r"head\..+"),
        is_backbone=True,
    ),
    "swin": Source(
        title="official Swin",
        marks=(r"layers\.0\.blocks\.0\.attn\.qkv\.",),
        rules=under(backbones.SWIN, "", _BACKBONE),
        dropped=_SWIN_CLASSIFIER,
        settings=_WITHOUT_CONVERSION,
        is_backbone=True,
    ),
    "torchvision": Source(
        title="torchvision's ResNet",
        marks=(r"conv1\.", r"layer1\.0\.conv1\."),
        rules=under(backbones.RESNET, "", _BACKBONE),
        dropped=(*_REBUILT, r"(fc|head)\..+"),
        is_backbone=True,
    ),
    "mmdet": Source(
        title="mmdet, mmseg or mmproscale",
        marks=(r"(panoptic_head|decode_head|bbox_head)\.",),
        dropped=(*_REBUILT, f"{re.escape(SHARED)}.+"),
        prefixes=((r"^decode_head\.", HEAD),),
    ),
}
"""Kinds by name; the first that is recognised counts."""


def recognise(weights: Mapping[str, Any]) -> str | None:
    """Return the kind of weights by their keys; None if no kind has such keys."""
    return next((name for name, source in SOURCES.items() if source.marks_of(weights)), None)
