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


def _resnet(
    stem: str, stages: list[str], layers: list[str], conv: str, norm: str
) -> tuple[KeyRule, ...]:
    """Return the table of a ResNet whose stages, layers and their parts have other names."""
    names = {f"{stem}{conv}": "conv1", f"{stem}{norm}": "bn1"}
    parts = {f"{layer}{conv}": f"conv{i}" for i, layer in enumerate(layers, 1)}
    parts |= {f"{layer}{norm}": f"bn{i}" for i, layer in enumerate(layers, 1)}
    parts |= {f"shortcut{conv}": "downsample.0", f"shortcut{norm}": "downsample.1"}
    for number, stage in enumerate(stages, 1):
        names |= {f"{stage}.{theirs}": f"layer{number}.{{b}}.{p}" for theirs, p in parts.items()}
    return modules(names)


RESNET_DETECTRON2 = _resnet(
    stem="stem.conv1",
    stages=[f"res{i}.{{b}}" for i in (2, 3, 4, 5)],
    layers=["conv1", "conv2", "conv3"],
    conv="",
    norm=".norm",
)
RESNET_HUGGING_FACE = _resnet(
    stem="embedder.embedder",
    stages=[f"encoder.stages.{i}.layers.{{b}}" for i in range(4)],
    layers=["layer.0", "layer.1", "layer.2"],
    conv=".convolution",
    norm=".normalization",
)
