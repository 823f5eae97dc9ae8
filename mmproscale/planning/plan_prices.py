"""What candidates of a plan cost: multiply-accumulates predicted, milliseconds measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmproscale.cost.model_cost import Network, build_network, model_cost, padded_size
from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.planning.frameworks import M2F, Framework
from mmproscale.planning.planning import (
    Candidate,
    base_config,
    config_of,
    make_candidate,
)
from mmproscale.timing.measurement import Run, Stopwatch, measure
from mmproscale.timing.model_latency import (
    ENCODER,
    PIXEL_DECODER,
    WHOLE,
    random_inputs,
    timed_prediction,
)

REST = "all but the encoder"


def priced_candidates(
    configs: Path,
    backbone: str,
    shape: tuple[int, int],
    max_repeats: int,
    framework: Framework = M2F,
) -> Iterator[Candidate]:
    """Every schedule with either pixel embedding, and the model's cost in the papers' form.

    One model is traced for each embedding, of a detector one in all; schedules predict the rest.

    Args:
        configs: Folder of configs.
        backbone: As configs name it.
        shape: (H, W) of an image.
        max_repeats: Layers of a PRO-SCALE stage at most.
        framework: What the encoder is of.

    Raises:
        InputError: There is no config with that backbone.
    """
    base = base_config(configs, backbone, framework)
    for embedding in framework.embeddings:
        cheapest = next(framework.schedules(1))
        network = build_network(config_of(make_candidate(cheapest, embedding), base))
        encoder = (network.mask_head.pixel_decoder if embedding else network.model).encoder
        shapes = _map_shapes(padded_size(network, shape), encoder.schedule.strides)
        fixed, recalibration = _fixed_costs(network, shape)
        for schedule in framework.schedules(max_repeats):
            candidate = make_candidate(schedule, embedding)
            layers = sum(candidate.schedule.cost(shapes, **encoder.widths))
            gates = recalibration if candidate.family == "pro_scale" else 0
            yield replace(candidate, macs=fixed + layers + gates)


def _fixed_costs(network: Network, shape: tuple[int, int]) -> tuple[int, int]:
    """Multiply-accumulates of all but the encoder and its gates, and of the gates."""
    cost = model_cost(network, shape)
    layers = sum(part.macs for part in cost.parts if part.name.startswith("encoder"))
    gates = sum(part.macs for part in cost.parts if part.name == "token recalibration")
    return cost.published_total - layers - gates, gates


def _map_shapes(size: tuple[int, int], strides: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Map sizes of an image of a padded size; a last row or column may be cut short."""
    return {stride: (ceil(size[0] / stride), ceil(size[1] / stride)) for stride in strides}


@torch.no_grad()
def with_latency(
    candidates: Sequence[Candidate],
    base: Path,
    shape: tuple[int, int],
    device: str,
    rounds: int,
    after_round: Callable[[], object] = lambda: None,
) -> list[Candidate]:
    """The candidates with the milliseconds of one image, all measured in one run, in turns.

    Pixel decoders, or a detector's encoders, run one by one on the same maps; what is the same for
    all is measured once.

    Args:
        candidates: Which.
        base: Their :func:`base_config`.
        shape: (H, W) of the image.
        device: ``'cpu'`` or ``'cuda'``.
        rounds: How many count; one comes before them.
        after_round: Called after each.
    """
    model = _random(config_of(candidates[0], base), device)
    images, samples = random_inputs(model, shape)
    maps = model.extract_feat(images)
    runs = {REST: partial(_time_rest, model, images, samples)}
    for candidate in candidates:
        built = _random(config_of(candidate, base), device)
        runs[candidate.name] = _encoding(built, maps, samples)
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    samples_of = measure(runs, rounds, 1, partial(Stopwatch, synchronize), after_round)
    milliseconds = {
        name: 1000 * statistics.median(turn[WHOLE] for turn in turns)
        for name, turns in samples_of.items()
    }
    return [
        replace(candidate, latency=milliseconds[REST] + milliseconds[candidate.name])
        for candidate in candidates
    ]


def _random(config: Config, device: str) -> nn.Module:
    return random_model(model_without_weights(config)).eval().to(device)


def _time_rest(model: nn.Module, images: Tensor, samples: Sequence, watch: Stopwatch) -> None:
    timed_prediction(model, images, samples, watch)
    apart = watch.seconds.get(PIXEL_DECODER, watch.seconds.get(ENCODER))
    watch.seconds = {WHOLE: watch.seconds[WHOLE] - apart}


def _encoding(model: nn.Module, maps: Sequence[Tensor], samples: Sequence) -> Run:
    """What a candidate's pixel decoder, or a detector's encoder, does with the maps."""
    if hasattr(model, "panoptic_head"):
        return partial(_time_call, partial(model.panoptic_head.pixel_decoder, maps))
    inputs, _ = model.pre_transformer(maps, samples)
    return partial(_time_call, partial(model.forward_encoder, **inputs))


def _time_call(call: Callable[[], object], watch: Stopwatch) -> None:
    with watch.part(WHOLE):
        call()
