"""Inference by torch.compile: from normalised images to class and mask logits, as one graph.

Each model runs as it is, and compiled with ``fullgraph=True``, where a graph break is an error. The
first call compiles, without a cache. Weights are random.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.models import build, model_config
from torch import Tensor
from torch._inductor import config as inductor

from mmproscale.cli.command_line import add_image_size, command_line
from mmproscale.export.graph import Graph, graph_of, traceable
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

CONFIGS = ["m2f_swin-t_coco", "proscale_m2f_swin-t_coco", "proscale-111_m2f_swin-t_coco"]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    add_image_size(parser, "--size", (800, 1088), least=32)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    candidates = {}
    for config in args.configs:
        candidates[config] = partial(prepare, config, args)
        candidates[f"{config}, compiled"] = partial(prepare_compiled, config, args)
    height, width = args.size
    case = Case(
        name=f"{height}x{width}",
        settings=dict(configs=args.configs, size=list(args.size)),
        candidates=candidates,
    )
    run_benchmark(__file__, args, [case], "torch.compile: from an image to masks, as one graph")


def prepare(config: str, args: argparse.Namespace) -> Prepared:
    graph, images = graph_and_images(config, args)

    @torch.no_grad()
    def run(watch: Stopwatch) -> None:
        with watch.part("whole"):
            graph(images)

    return Prepared(run=run, warm_up=lambda: None)


def prepare_compiled(config: str, args: argparse.Namespace) -> Prepared:
    """Return a compiled graph; the time of its first call, without a cache, is a part of all."""
    graph, images = graph_and_images(config, args)
    compiled, first = torch.compile(graph, fullgraph=True), Stopwatch()

    def run(watch: Stopwatch, part: str = "whole") -> None:
        with traceable(graph.model), watch.part(part):
            compiled(images)
        watch.seconds.update(first.seconds)

    with inductor.patch(force_disable_caches=True):
        run(first, "first call")
    return Prepared(run=run, warm_up=lambda: None)


def graph_and_images(config: str, args: argparse.Namespace) -> tuple[Graph, Tensor]:
    graph = graph_of(build(model_config(config)).eval().to(args.device))
    generator = torch.Generator().manual_seed(0)
    return graph, torch.randn(1, 3, *args.size, generator=generator).to(args.device)


if __name__ == "__main__":
    main()
