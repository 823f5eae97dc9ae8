"""PEM's prototype attention against Mask2Former's masked attention, over sizes of the map.

First one cross-attention of 100 queries is measured, on maps of 1024x2048 images with strides 32 to
4 (PEM's Figure 4); shapes and masks are the same for all. Then the whole mask decoder with six
layers is measured, up to the masks at stride 4. Ours runs on maps of PEM's width, mmdet's on maps
of Mask2Former's.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.encoded import STRIDES, decode, head_on_noise
from common.models import model_config, stock_twin
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmproscale.cli.command_line import add_image_size, at_least, command_line
from mmproscale.models.layers.attention import Attention
from mmproscale.models.query_decoders.prototype_attention import PrototypeAttention
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import autocast, set_up
from mmproscale.timing.measurement import Stopwatch

CONFIG, MASK2FORMER = "pem_m2f_r50_cityscapes", "m2f_r50_cityscapes"
LAYERS = {"masked attention": "MaskedAttentionLayer", "prototypes": "PrototypeAttentionLayer"}
CHANNELS, HEADS = 256, 8
TINY = (4, 4)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_image_size(parser, "--size", (1024, 2048), least=32)
    parser.add_argument("--queries", type=at_least(1), default=100)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    height, width = args.size
    cases = [attention_case((height // s, width // s), args) for s in STRIDES]
    sizes = [(height // 4, width // 4), (height // 2, width // 2), (height, width)]
    cases += [decoder_case(size, args) for size in sizes]
    run_benchmark(__file__, args, cases, "Prototype attention against masked attention")


def attention_case(shape: tuple[int, int], args: argparse.Namespace) -> Case:
    return Case(
        name="One cross-attention, {} queries, a map of {}x{}".format(args.queries, *shape),
        settings=dict(shape=list(shape), queries=args.queries, channels=CHANNELS),
        candidates={
            "mmdet": partial(prepare_attention, stock_attention, shape, args),
            "masked attention": partial(prepare_attention, masked_attention, shape, args),
            "prototypes": partial(prepare_attention, prototype_attention, shape, args),
        },
    )


class OnMaps(nn.Module):
    """Plain attention with the arguments of prototype attention."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, queries, query_pos, memory, memory_pos, shape, reads) -> Tensor:
        tokens = dict(query=queries, key=memory, value=memory)
        return self.attention(**tokens, query_pos=query_pos, key_pos=memory_pos, attn_mask=reads)


class Stock(MultiheadAttention):
    """mmcv's attention, as in mmdet's Mask2Former; its mask is true where reading is barred."""

    def forward(self, *, attn_mask: Tensor, **tensors: Tensor) -> Tensor:
        barred = ~attn_mask.expand(-1, self.num_heads, -1, -1).flatten(0, 1)
        return super().forward(**tensors, attn_mask=barred)


def stock_attention() -> nn.Module:
    return OnMaps(Stock(CHANNELS, HEADS, batch_first=True))


def masked_attention() -> nn.Module:
    return OnMaps(Attention(CHANNELS, HEADS, batch_first=True))


def prototype_attention() -> nn.Module:
    return PrototypeAttention(CHANNELS, HEADS)


def prepare_attention(make, shape: tuple[int, int], args: argparse.Namespace) -> Prepared:
    attention = make().eval().to(args.device)

    @torch.no_grad()
    def attend(inputs: tuple, watch: Stopwatch) -> None:
        with autocast(args), watch.part("whole"):
            attention(*inputs)

    own, tiny = (attention_inputs(size, args) for size in (shape, TINY))
    return Prepared(run=partial(attend, own), warm_up=lambda: attend(tiny, Stopwatch()))


def attention_inputs(shape: tuple[int, int], args: argparse.Namespace) -> tuple:
    """Return noise for queries, memory and positions, and rectangular masks.

    A mask covers at most a ninth of the map.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = shape[0] * shape[1]
    tensors = (
        torch.randn(1, n, CHANNELS, generator=generator).to(args.device)
        for n in (args.queries, args.queries, tokens, tokens)
    )
    return *tensors, shape, rectangles(shape, args.queries, generator).to(args.device)


def rectangles(shape: tuple[int, int], queries: int, generator: torch.Generator) -> Tensor:
    """Return booleans (1, 1, Q, H * W) that are true in one rectangle for each query."""
    reads = torch.zeros(queries, *shape, dtype=torch.bool)
    for mask in reads:
        y, x = (int(torch.randint(side, (1,), generator=generator)) for side in shape)
        mask[y : y + max(1, shape[0] // 3), x : x + max(1, shape[1] // 3)] = True
    return reads.flatten(1)[None, None]


def decoder_case(size: tuple[int, int], args: argparse.Namespace) -> Case:
    ours = {name: model_with(layer) for name, layer in LAYERS.items()}
    stock = stock_twin(model_config(MASK2FORMER))
    depth = ours["prototypes"].panoptic_head.transformer_decoder.num_layers
    stock.panoptic_head.transformer_decoder.num_layers = depth
    heads = {"mmdet": stock, **ours}
    return Case(
        name="Mask decoder, {} layers, {}x{}, {} queries".format(depth, *size, args.queries),
        settings=dict(configs=[MASK2FORMER, CONFIG], size=list(size), queries=args.queries),
        candidates={
            name: partial(prepare_decoder, model, size, args) for name, model in heads.items()
        },
    )


def model_with(layer: str) -> ConfigDict:
    """Return PEM's model with the named decoder layer."""
    model = model_config(CONFIG)
    model.panoptic_head.transformer_decoder.layer_cfg.type = layer
    return model


def prepare_decoder(model: ConfigDict, size: tuple[int, int], args: argparse.Namespace) -> Prepared:
    model.panoptic_head.num_queries = args.queries
    # Our pixel decoders return maps in this memory format.
    own, small = (
        head_on_noise(model, shape, args, memory_format=torch.channels_last)
        for shape in (size, (128, 192))
    )
    return Prepared(
        run=partial(decode, own, args), warm_up=lambda: decode(small, args, Stopwatch())
    )


if __name__ == "__main__":
    main()
