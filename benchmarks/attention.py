"""The attention operator: its backends against mmcv's PyTorch form, over sizes.

python benchmarks/attention.py measures an encoder layer of an 800x1088 image, where every token is
a query, and a list of smaller sizes. --maps, --queries, --head-dim and --batch measure another
size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor

from mmproscale.cli.command_line import at_least, command_line
from mmproscale.models.precision import PRECISIONS
from mmproscale.ops import deformops_attention, mmcv_attention, multi_scale_deformable_attention
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import autocast, set_up
from mmproscale.timing.measurement import Stopwatch

MMCV_FALLBACK = "mmcv's fallback"
COCO_MAPS = ((25, 34), (50, 68), (100, 136))


@dataclass(frozen=True)
class Size:
    """Sizes of one case; ``queries`` is None where the tokens are the queries."""

    maps: tuple[tuple[int, int], ...] = COCO_MAPS
    queries: int | None = None
    head_dim: int = 32
    batch: int = 1
    heads: int = 8
    points: int = 4

    @property
    def tokens(self) -> int:
        return sum(h * w for h, w in self.maps)

    def __str__(self) -> str:
        maps = ", ".join(f"{h}x{w}" for h, w in self.maps)
        queries = f"{self.queries or self.tokens:,} queries"
        return f"{queries} over maps {maps}; head_dim {self.head_dim}, batch {self.batch}"


def square(*sides: int) -> tuple[tuple[int, int], ...]:
    return tuple((side, side) for side in sides)


SIZES = [
    Size(),
    Size(queries=100),
    Size(queries=900),
    Size(square(2, 4, 8), head_dim=8),
    Size(square(2, 4, 8), head_dim=8, batch=4),
    Size(square(4, 8, 16), head_dim=8, batch=4),
    Size(square(8, 16, 32), head_dim=8, batch=4),
    Size(square(8, 16, 32), head_dim=32),
    Size(square(16, 32, 64), head_dim=16),
]
# The size that each child process runs before the measured one.
TINY = Size(square(2, 4), head_dim=8)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--maps", nargs="+", type=height_and_width, metavar="HxW", help="maps")
    parser.add_argument(
        "--queries", type=at_least(1), help="random queries; default: one at each token"
    )
    parser.add_argument("--head-dim", type=at_least(1), default=32)
    parser.add_argument("--batch", type=at_least(1), default=1)
    return parser.parse_args()


def height_and_width(text: str) -> tuple[int, int]:
    height, width = map(int, text.split("x"))
    return height, width


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    own = Size(tuple(args.maps or ()), args.queries, args.head_dim, args.batch)
    cases = [make_case(size, args) for size in ([own] if args.maps else SIZES)]
    run_benchmark(__file__, args, cases, "Deformable attention: one call of the operator")


def make_case(size: Size, args: argparse.Namespace) -> Case:
    return Case(
        name=str(size),
        settings=vars(size),
        candidates={
            name: partial(prepare, attend, size, args) for name, attend in candidates(args.device)
        },
    )


Attend = Callable[[Tensor, tuple[tuple[int, int], ...], Tensor, Tensor], Tensor]


def candidates(device: str) -> Iterator[tuple[str, Attend]]:
    """Yield name and function of each implementation; ratios are to the first."""
    yield MMCV_FALLBACK, mmcv_fallback
    yield "automatic", multi_scale_deformable_attention
    names = ["torch", "grid_sample"]
    for name, backend in (("mmcv", mmcv_attention), ("deformops", deformops_attention)):
        if device == "cuda" and backend.refuses(torch.zeros(1, device=device)) is None:
            names.append(name)
    for name in names:
        yield name, partial(multi_scale_deformable_attention, backend=name)


def mmcv_fallback(
    value: Tensor, shapes: tuple[tuple[int, int], ...], locations: Tensor, weights: Tensor
) -> Tensor:
    own = multi_scale_deformable_attn_pytorch.__wrapped__
    return own(value, torch.tensor(shapes), locations, weights)


def prepare(attend: Attend, size: Size, args: argparse.Namespace) -> Prepared:
    """Prepare a forward pass without gradients, and forward and backward passes with them."""

    def attend_on(inputs: tuple[Tensor, Tensor, Tensor], maps: tuple, watch: Stopwatch) -> None:
        value, locations, weights = inputs
        with autocast(args):
            with watch.part("forward"), torch.no_grad():
                output = attend(value, maps, locations, weights)
            probe = torch.ones_like(output)
            with watch.part("forward + backward"):
                output = attend(value, maps, locations, weights)
                torch.autograd.grad(output, inputs, probe)

    tiny = make_inputs(TINY, args)
    return Prepared(
        run=partial(attend_on, make_inputs(size, args), size.maps),
        warm_up=lambda: attend_on(tiny, TINY.maps, Stopwatch()),
    )


def make_inputs(size: Size, args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, locations and weights as in an encoder layer, with gradients enabled.

    A token samples a few pixels around itself; queries that are not tokens sample anywhere.
    """
    generator = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=generator)
    queries = size.queries or size.tokens
    of_points = size.batch, queries, size.heads, len(size.maps), size.points
    value = normal(size.batch, size.tokens, size.heads, size.head_dim)
    if size.queries:
        locations = torch.rand(*of_points, 2, generator=generator)
    else:
        pixels = torch.tensor([(w, h) for h, w in size.maps])[:, None]  # Lx1x2
        centres = torch.cat([pixel_centres(h, w) for h, w in size.maps])
        locations = centres[:, None, None, None] + 2 * normal(*of_points, 2) / pixels
    weights = normal(*of_points).flatten(3).softmax(-1).view(of_points)
    value = value.to(PRECISIONS[args.precision])
    on_device = (t.to(args.device).requires_grad_() for t in (value, locations, weights))
    return tuple(on_device)  # type: ignore[return-value]


def pixel_centres(height: int, width: int) -> Tensor:
    """Return centres (H * W, 2) as (x, y) in 0..1."""
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


if __name__ == "__main__":
    main()
