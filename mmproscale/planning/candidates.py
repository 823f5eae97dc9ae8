"""Encoders that a plan chooses from, and the config of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.models.backbones.timm_backbone import split_name
from mmproscale.models.encoders.schedule import Schedule, build_schedule
from mmproscale.planning.published import BOX_LEVELS, COCO, COCO_BOXES, CONV, LPE

ScheduleConfigs = Iterator[dict[str, Any]]


def mask2former_schedules(max_repeats: int, max_layers: int = 6) -> ScheduleConfigs:
    """Yield PRO-SCALE of at most ``max_repeats`` layers a stage, M2F and Lite of ``max_layers``."""
    for repeats in product(range(1, max_repeats + 1), repeat=3):
        yield dict(type="pro_scale", repeats=repeats)
    for layers in range(1, max_layers + 1):
        yield dict(type="m2f", layers=layers)
    for layers in range(1, max_layers):
        yield dict(type="lite", coarse_layers=layers)


def detection_schedules(max_repeats: int, max_layers: int = 6) -> ScheduleConfigs:
    """Yield the same over strides 64 to 8, and PRO-SCALE in three stages and Lite in blocks."""
    levels = dict(levels=BOX_LEVELS)
    for stages in (BOX_LEVELS, ((64, 32), 16, 8)):
        for repeats in product(range(1, max_repeats + 1), repeat=len(stages)):
            yield dict(type="pro_scale", repeats=repeats, levels=stages)
    for layers in range(1, max_layers + 1):
        yield dict(type="m2f", layers=layers) | levels
    for blocks in range(1, max_layers // 2 + 1):
        for layers in range(1, max_layers // blocks):
            fields = dict(type="lite", coarse_layers=layers, blocks=blocks)
            yield fields | levels | dict(fine_channels=256)


@dataclass(frozen=True)
class Framework:
    """Family of configs, ``METHOD_NAME_BACKBONE_DATASET.py``.

    Args:
        name: Name in the configs' file names.
        dataset: Dataset of the published figures; None if no paper has any.
        ordered_by: Backbone whose published rows order encoders if the chosen backbone has few.
        figures: Names of the published figures, the one that orders encoders first.
        embeddings: Pixel embeddings to choose from; None in a detector.
        schedules: Function from the largest number of layers in a stage to the schedules.
    """

    name: str
    dataset: str | None
    ordered_by: str = "r50"
    figures: tuple[str, ...] = ("AP",)
    embeddings: tuple[str | None, ...] = (None,)
    schedules: Callable[[int], ScheduleConfigs] = detection_schedules


M2F = Framework("m2f", COCO, "swin-t", ("PQ", "mIoU", "AP"), (LPE, CONV), mask2former_schedules)
FRAMEWORKS = {
    framework.name: framework
    for framework in (
        M2F,
        Framework("dino", COCO_BOXES),
        Framework("ddq", None),
        Framework("deformable-detr", None),
    )
}


@dataclass(frozen=True)
class Candidate:
    """Encoder, in Mask2Former together with its pixel embedding.

    Args:
        family: The schedule's type, as in a config.
        schedule: The schedule.
        config: Items of the schedule's config.
        pixel_embedding: ``'conv'`` or ``'lpe'``; None in a detector.
        macs: Multiply-accumulates of the whole model in the papers' form; 0 if unknown.
        latency: Milliseconds; None if not measured.
        timm_model: The backbone's model, if it is timm's.
    """

    family: str
    schedule: Schedule
    config: tuple[tuple[str, Any], ...]
    pixel_embedding: str | None
    macs: int = 0
    latency: float | None = None
    timm_model: str = ""

    @property
    def updates(self) -> tuple[int, ...]:
        """Number of layers that update each level, low resolution first."""
        layers = self.schedule.layers
        return tuple(sum(s in layer.queries for layer in layers) for s in self.schedule.strides)

    @property
    def mean_updates(self) -> float:
        """Geometric mean of :attr:`updates`; on COCO it orders PRO-SCALE's rows as PQ does."""
        return prod(self.updates) ** (1 / len(self.updates))

    @property
    def name(self) -> str:
        """Name in tables."""
        levels = dict(self.config).get("levels", ())
        first_stage = ", strides 64 and 32 together" if (64, 32) in levels else ""
        embedding = {None: "", LPE: ", LPE", CONV: ", 3x3 conv"}[self.pixel_embedding]
        return f"{self.schedule.name}{first_stage}{embedding}"

    @property
    def file_stem(self) -> str:
        """Start of the config's file name: ``proscale-331-lpe`` for repeats (3, 3, 1) and LPE."""
        others = ("type", "levels", "fine_channels")
        counts = [value for key, value in self.config if key not in others]
        numbers = counts[0] if isinstance(counts[0], tuple) else counts
        digits = "".join(map(str, numbers))
        embedding = f"-{self.pixel_embedding}" if self.pixel_embedding else ""
        return f"{self.family.replace('_', '')}-{digits}{embedding}"


def make_candidate(
    schedule: dict[str, Any], pixel_embedding: str | None, backbone: str = ""
) -> Candidate:
    """Make a candidate from the config of its schedule; the backbone may be ``timm/NAME``."""
    return Candidate(
        family=schedule["type"],
        schedule=build_schedule(schedule),
        config=tuple(schedule.items()),
        pixel_embedding=pixel_embedding,
        timm_model=split_name(backbone)[1],
    )


def base_config(configs: Path, backbone: str, framework: Framework = M2F) -> Path:
    """Return the config that candidates with a backbone inherit from: of COCO, else of CamVid.

    Raises:
        InputError: No config has that backbone; the message lists those that exist.
    """
    name, before = split_name(backbone)[0], f"proscale_{framework.name}_"
    found = {
        path.stem.removeprefix(before).removesuffix(after): path
        for after in ("_camvid", "_coco")  # the last one counts
        for path in sorted(configs.glob(f"{before}*{after}.py"))
    }
    if name in found:
        return found[name]
    close = get_close_matches(name, found, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"--backbone {backbone} is not among {', '.join(sorted(found))}{hint}")


def candidate_config(candidate: Candidate, base: Path) -> Config:
    """Build the candidate's config in memory."""
    text = candidate_config_text(candidate, str(base.resolve()))
    return Config.fromstring(text, file_format=".py")


def candidate_config_text(candidate: Candidate, base: str, comment: str = "") -> str:
    """Write the candidate's config as the text of a file that trains.

    Args:
        candidate: The candidate.
        base: Path of its :func:`base_config`, absolute or relative to the file's folder.
        comment: First line of the file.
    """
    items = ((key, json.dumps(v) if isinstance(v, str) else v) for key, v in candidate.config)
    schedule = ", ".join(f"{key}={value}" for key, value in items)
    lines = [
        *([f"# {comment}"] if comment else []),
        f"_base_ = {json.dumps(base)}",
        f"schedule = dict(_delete_=True, {schedule})",
        *_model_lines(candidate),
    ]
    return "\n".join(lines) + "\n"


def _model_lines(candidate: Candidate) -> list[str]:
    grows = candidate.family == "pro_scale"
    if candidate.pixel_embedding is None:
        recalibration = 'dict(type="TRC")' if grows else None
        return [
            f"model = dict(encoder=dict(schedule=schedule), recalibration={recalibration})",
            "del schedule",
        ]
    embedding = {LPE: "LPE", CONV: "ConvPixelEmbedding"}[candidate.pixel_embedding]
    model = candidate.timm_model
    backbone = f"backbone=dict(model={json.dumps(model)}), " if model else ""
    return [
        "decoder = dict(",
        f'    type="mmproscale.{"ProScale" if grows else "Deformable"}PixelDecoder",',
        "    encoder=dict(schedule=schedule),",
        f'    pixel_embedding=dict(type="{embedding}"),',
        ")",
        f"model = dict({backbone}panoptic_head=dict(pixel_decoder=decoder))",
        "del schedule, decoder",
    ]
