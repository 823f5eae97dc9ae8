"""Prices of candidates: computed multiply-accumulates, or measured milliseconds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmproscale.cost.model_cost import Network, build_network, model_cost, padded_size
from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.planning.candidates import (
    M2F,
    Candidate,
    Framework,
    base_config,
    candidate_config,
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
    """Yield every schedule with every pixel embedding and the model's cost in the papers' form.

    One model is traced for each embedding, and one for a detector. The schedules predict the cost
    of the others.

    Args:
        configs: Folder of configs.
        backbone: Name of the backbone in the configs' file names, or ``timm/NAME``.
        shape: (H, W) of an image.
        max_repeats: Layers of a PRO-SCALE stage at most.
        framework: Family of configs.

    Raises:
        InputError: No config has that backbone.
    """
    base = base_config(configs, backbone, framework)
    for embedding in framework.embeddings:
        cheapest = make_candidate(next(framework.schedules(1)), embedding, backbone)
        network: Any = build_network(candidate_config(cheapest, base))
        encoder = (network.mask_head.pixel_decoder if embedding else network.model).encoder
        shapes = _map_shapes(padded_size(network, shape), encoder.schedule.strides)
        fixed, recalibration = _fixed_costs(network, shape)
        for schedule in framework.schedules(max_repeats):
            candidate = make_candidate(schedule, embedding, backbone)
            layers = sum(candidate.schedule.cost(shapes, **encoder.widths))
            gates = recalibration if candidate.family == "pro_scale" else 0
            yield replace(candidate, macs=fixed + layers + gates)


def _fixed_costs(network: Network, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the multiply-accumulates of all parts except encoder and TRC, and those of TRC."""
    cost = model_cost(network, shape)
    layers = sum(part.macs for part in cost.parts if part.name.startswith("encoder"))
    gates = sum(part.macs for part in cost.parts if part.name == "token recalibration")
    return cost.published_total - layers - gates, gates


def _map_shapes(size: tuple[int, int], strides: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return each map's (H, W) of a padded image; a last row or column may be cut short."""
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
    """Return the candidates with the milliseconds of one image.

    One run measures all of them in turns. The pixel decoders, or a detector's encoders, get the
    same maps. Everything else is the same for all candidates and measured once.

    Args:
        candidates: Candidates of one backbone and framework.
        base: Their :func:`base_config`.
        shape: (H, W) of the image.
        device: ``'cpu'`` or ``'cuda'``.
        rounds: Rounds that count; one more comes first and does not.
        after_round: Called after each round.
    """
    model = _random(candidate_config(candidates[0], base), device)
    images, samples = random_inputs(model, shape)
    maps = model.extract_feat(images)
    runs: dict[str, Run] = {REST: partial(_time_rest, model, images, samples)}
    for candidate in candidates:
        built = _random(candidate_config(candidate, base), device)
        runs[candidate.name] = partial(_time_call, _encoding(built, maps, samples))
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


def _random(config: Config, device: str) -> Any:
    return random_model(model_without_weights(config)).eval().to(device)


def _time_rest(model: Any, images: Tensor, samples: Sequence, watch: Stopwatch) -> None:
    timed_prediction(model, images, samples, watch)
    encoder = PIXEL_DECODER if PIXEL_DECODER in watch.seconds else ENCODER
    watch.seconds = {WHOLE: watch.seconds[WHOLE] - watch.seconds[encoder]}


def _encoding(model: Any, maps: Sequence[Tensor], samples: Sequence) -> Callable[[], object]:
    """Return the call of a candidate's pixel decoder, or of a detector's encoder, on the maps."""
    if hasattr(model, "panoptic_head"):
        return partial(model.panoptic_head.pixel_decoder, maps)
    inputs, _ = model.pre_transformer(maps, samples)
    return partial(model.forward_encoder, **inputs)


def _time_call(call: Callable[[], object], watch: Stopwatch) -> None:
    with watch.part(WHOLE):
        call()
