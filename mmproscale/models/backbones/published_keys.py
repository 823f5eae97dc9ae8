"""Keys of published backbones: official Swin, detectron2's and torchvision's ResNet, transformers.

Sources: microsoft/Swin-Transformer (MIT), facebookresearch/detectron2 and huggingface/transformers
(Apache-2.0); names only.
"""

from mmproscale.utils.key_rules import MERGED, REORDERED, KeyRule, modules

_BLOCK, _OURS = "layers.{s}.blocks.{b}", "stages.{s}.blocks.{b}"
_TABLE = "relative_position_bias_table"
_DOWN, _OUR_DOWN = "layers.{s}.downsample", "stages.{s}.downsample"

SWIN = (
    *modules(
        {
            "patch_embed.proj": "patch_embed.projection",
            "patch_embed.norm": "patch_embed.norm",
            f"{_BLOCK}.norm1": f"{_OURS}.norm1",
            f"{_BLOCK}.attn.qkv": f"{_OURS}.attn.w_msa.qkv",
            f"{_BLOCK}.attn.proj": f"{_OURS}.attn.w_msa.proj",
            f"{_BLOCK}.norm2": f"{_OURS}.norm2",
            f"{_BLOCK}.mlp.fc1": f"{_OURS}.ffn.layers.0.0",
            f"{_BLOCK}.mlp.fc2": f"{_OURS}.ffn.layers.1",
        }
    ),
    KeyRule(f"{_BLOCK}.attn.{_TABLE}", f"{_OURS}.attn.w_msa.{_TABLE}"),
    KeyRule(f"{_DOWN}.norm.{{p}}", f"{_OUR_DOWN}.norm.{{p}}", REORDERED),
    KeyRule(f"{_DOWN}.reduction.{{p}}", f"{_OUR_DOWN}.reduction.{{p}}", REORDERED),
)
"""Official Swin and detectron2's, without the norms of the maps, which a classifier lacks."""
SWIN_NORMS = modules({f"norm{i}": f"norm{i}" for i in range(4)})
"""Norms of the maps in dense prediction."""

_HF_ATTENTION = f"encoder.{_BLOCK}.attention"
_HF_NAMES = ("query", "key", "value")
SWIN_HUGGING_FACE = (
    *modules(
        {
            "embeddings.patch_embeddings.projection": "patch_embed.projection",
            "embeddings.norm": "patch_embed.norm",
            f"encoder.{_BLOCK}.layernorm_before": f"{_OURS}.norm1",
            f"{_HF_ATTENTION}.output.dense": f"{_OURS}.attn.w_msa.proj",
            f"{_HF_ATTENTION}.o_proj": f"{_OURS}.attn.w_msa.proj",
            f"encoder.{_BLOCK}.layernorm_after": f"{_OURS}.norm2",
            f"encoder.{_BLOCK}.intermediate.dense": f"{_OURS}.ffn.layers.0.0",
            f"encoder.{_BLOCK}.mlp.fc1": f"{_OURS}.ffn.layers.0.0",
            f"encoder.{_BLOCK}.output.dense": f"{_OURS}.ffn.layers.1",
            f"encoder.{_BLOCK}.mlp.fc2": f"{_OURS}.ffn.layers.1",
        }
    ),
    KeyRule(
        tuple(f"{_HF_ATTENTION}.self.{name}.{{p}}" for name in _HF_NAMES),
        f"{_OURS}.attn.w_msa.qkv.{{p}}",
        MERGED,
    ),
    KeyRule(
        tuple(f"{_HF_ATTENTION}.{name[0]}_proj.{{p}}" for name in _HF_NAMES),
        f"{_OURS}.attn.w_msa.qkv.{{p}}",
        MERGED,
    ),
    KeyRule(f"{_HF_ATTENTION}.self.{_TABLE}", f"{_OURS}.attn.w_msa.{_TABLE}"),
    KeyRule(f"{_HF_ATTENTION}.relative_position_bias.{_TABLE}", f"{_OURS}.attn.w_msa.{_TABLE}"),
    KeyRule(f"encoder.{_DOWN}.norm.{{p}}", f"{_OUR_DOWN}.norm.{{p}}", REORDERED),
    KeyRule(f"encoder.{_DOWN}.reduction.{{p}}", f"{_OUR_DOWN}.reduction.{{p}}", REORDERED),
    *modules({f"hidden_states_norms.stage{i + 1}": f"norm{i}" for i in range(4)}),
    *modules({f"hidden_states_norms.{i}": f"norm{i}" for i in range(4)}),
)
"""Swin in transformers: the names of its files first, then those that version 5 has in memory."""

_BLOCK_PARTS = ("conv{n}", "bn{n}", "downsample.0", "downsample.1")
_RESNET = ("conv1", "bn1", *(f"layer{{s}}.{{b}}.{part}" for part in _BLOCK_PARTS))
RESNET = modules(dict(zip(_RESNET, _RESNET, strict=True)))
"""torchvision's ResNet: mmdet has the same names."""


def _detectron2_resnet() -> dict[str, str]:
    names = {"stem.conv1.norm": "bn1", "stem.conv1": "conv1"}
    for stage in range(4):
        theirs, ours = f"res{stage + 2}.{{b}}", f"layer{stage + 1}.{{b}}"
        for i in (1, 2, 3):
            names[f"{theirs}.conv{i}.norm"] = f"{ours}.bn{i}"
            names[f"{theirs}.conv{i}"] = f"{ours}.conv{i}"
        names[f"{theirs}.shortcut.norm"] = f"{ours}.downsample.1"
        names[f"{theirs}.shortcut"] = f"{ours}.downsample.0"
    return names


def _hugging_face_resnet() -> dict[str, str]:
    names = {
        "embedder.embedder.convolution": "conv1",
        "embedder.embedder.normalization": "bn1",
    }
    for stage in range(4):
        theirs, ours = f"encoder.stages.{stage}.layers.{{b}}", f"layer{stage + 1}.{{b}}"
        for i in range(3):
            names[f"{theirs}.layer.{i}.convolution"] = f"{ours}.conv{i + 1}"
            names[f"{theirs}.layer.{i}.normalization"] = f"{ours}.bn{i + 1}"
        names[f"{theirs}.shortcut.convolution"] = f"{ours}.downsample.0"
        names[f"{theirs}.shortcut.normalization"] = f"{ours}.downsample.1"
    return names


RESNET_DETECTRON2 = modules(_detectron2_resnet())
RESNET_HUGGING_FACE = modules(_hugging_face_resnet())
