"""Costs of configs and of exits, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.cost.activation_memory import (
    ActivationMemory,
    activation_memory,
    extrapolated_memory,
)
from mmproscale.cost.model_cost import ModelCost, Network, build_network, model_cost, traceable
from mmproscale.cost.random_model import load_any_config
from mmproscale.errors import InputError
from mmproscale.utils.shipped_config import pipeline_for_tests

GIGA, MEGA, MIB = 1e9, 1e6, 2**20
MEMORY_ROWS = {
    "inference": "inference, fp32",
    "inference_half": "inference, 16 bits",
    "training": "training, fp32",
    "training_half": "training, 16 bits",
}


@dataclass(frozen=True)
class ConfigCost:
    """Cost of one config's model.

    Args:
        config: The config's path or name, as given.
        shape: (H, W) of the image, before padding.
        cost: The model's cost.
        memory: Memory of its activations, if wanted. Of models that read values of tensors, such
            as DINO, it follows from two small images.
    """

    config: str
    shape: tuple[int, int]
    cost: ModelCost
    memory: ActivationMemory | None = None

    @property
    def name(self) -> str:
        """Name of the config's file without folder and suffix."""
        return Path(self.config).stem


@dataclass(frozen=True)
class ExitCost:
    """Multiply-accumulates of one image that leaves at an exit, named as in :class:`ModelCost`."""

    total: float
    pixel_decoder: float
    published_total: float
    published_pixel_decoder: float


def exit_cost(cost: ModelCost, exit_: int) -> ExitCost:
    """Return the cost at an exit that a gate may choose; the whole cost without a gate."""
    saved = cost.saved.get(exit_, 0)
    return ExitCost(*(getattr(cost, field.name) - saved for field in fields(ExitCost)))


def mean_cost(costs: Sequence[ExitCost]) -> ExitCost:
    """Return the mean over images."""
    columns = zip(*map(astuple, costs), strict=True)
    return ExitCost(*(sum(column) / len(costs) for column in columns))


# Tests on COCO and ADE20K bound both sides of images; these are the sizes (H, W) of a photograph
# whose sides are 3 to 4, in multiples of 32.
BOUNDS = {(1333, 800): (800, 1088), (2560, 640): (640, 864), (2048, 512): (512, 704)}


def own_size(config: Config) -> tuple[int, int]:
    """Return the size (H, W) of images at which a config tests; COCO's if it states none.

    The last step with a scale counts.
    """
    steps = [step for step in pipeline_for_tests(config) if isinstance(step, Mapping)]
    scales = [tuple(step["scale"]) for step in steps if isinstance(step.get("scale"), Sequence)]
    width, height = scales[-1] if scales else (1333, 800)
    return BOUNDS.get((width, height)) or (height, width)


def cost_of(
    config: str, shape: tuple[int, int] | None = None, with_memory: bool = False
) -> ConfigCost:
    """Return the cost of a config, given by path or name, or as ``mmdet::detr/NAME.py``.

    Args:
        config: Its path or name.
        shape: (H, W) of an image; None for the config's :func:`own_size`.
        with_memory: Predict the memory of activations, too.

    Raises:
        InputError: There is no such config, or its model can't run on such an image.
    """
    loaded = load_any_config(config)
    shape, network = shape or own_size(loaded), build_network(loaded)
    try:
        cost = model_cost(network, shape)
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        said = (str(error).strip() or "no reason").splitlines()[0]
        size = "{}x{}".format(*shape)
        raise InputError(
            f"{config} can't be followed through an image of {size}: {type(error).__name__}: {said}"
        ) from error
    return ConfigCost(config, shape, cost, _memory(network, cost.size) if with_memory else None)


def _memory(network: Network, size: tuple[int, int]) -> ActivationMemory | None:
    """Return None for a model that neither fake tensors nor small images can run."""
    for predicted in (activation_memory, extrapolated_memory):
        with suppress(NotImplementedError, RuntimeError):
            return predicted(traceable(network), size)
    return None


def as_json(costs: Sequence[ConfigCost]) -> list[dict[str, Any]]:
    """Return a dict for each config: costs in GMACs, numbers of parameters, memory in bytes."""
    return [
        {
            "config": one.config,
            "shape": list(one.shape),
            "padded_shape": list(one.cost.size),
            "total": one.cost.total / GIGA,
            "pixel_decoder": one.cost.pixel_decoder / GIGA,
            "published_total": one.cost.published_total / GIGA,
            "published_pixel_decoder": one.cost.published_pixel_decoder / GIGA,
            "exits": [
                {"exit": k} | {name: macs / GIGA for name, macs in asdict(cost).items()}
                for k, cost in _exit_costs(one).items()
            ],
            "params": one.cost.params,
            "parts": [
                {"name": part.name, "gmacs": part.macs / GIGA, "params": part.params}
                for part in one.cost.parts
            ],
            "activation_memory": one.memory and asdict(one.memory),
        }
        for one in costs
    ]


def single_table(one: ConfigCost) -> list[list[str]]:
    """Return heading and rows of one model: each part with its share and its parameters."""
    cost = one.cost
    rows = [["", "GMACs", "share", "parameters"]]
    for part in cost.parts:
        share = part.macs / max(1, cost.total)
        rows.append([part.name, _giga(part.macs), f"{share:.1%}", f"{part.params / MEGA:.2f} M"])
    rows.append(["total as run", _giga(cost.total), "100.0%", f"{cost.params / MEGA:.2f} M"])
    if cost.published is not None:
        rows.append(["pixel decoder (Tx. Enc.)", _giga(cost.pixel_decoder), "", ""])
        rows.append(["published form, pixel decoder", _giga(cost.published_pixel_decoder), "", ""])
        rows.append(["published form, total", _giga(cost.published_total), "", ""])
    elif cost.pixel_decoder:
        rows.append(["encoder (Tx. Enc.)", _giga(cost.pixel_decoder), "", ""])
    for key, name in MEMORY_ROWS.items() if one.memory else ():
        rows.append([f"activations, {name}", f"{getattr(one.memory, key) / MIB:,.0f} MiB", "", ""])
    return rows


def exits_table(one: ConfigCost) -> list[list[str]]:
    """Return a heading and a row for each exit that a gate may choose; [] without a gate."""
    heading = ["exit", "total as run", "pixel decoder", "published form", "its pixel decoder"]
    if one.cost.published is None:  # a detector has no other form
        heading = ["exit", "total as run", "encoder"]
    rows = [heading]
    for exit_, cost in _exit_costs(one).items():
        figures = astuple(cost)[: len(heading) - 1]  # its fields are the columns
        rows.append([str(exit_), *map(_giga, figures)])
    return rows if len(rows) > 1 else []


def _exit_costs(one: ConfigCost) -> dict[int, ExitCost]:
    return {exit_: exit_cost(one.cost, exit_) for exit_ in one.cost.saved}


def side_by_side(costs: Sequence[ConfigCost]) -> list[list[str]]:
    """Return heading and rows of several models, with percentages of the first.

    The stages of an encoder are one row, as schedules have different stages.
    """
    merged = [_merged_parts(one.cost) for one in costs]
    names = _in_order([list(parts) for parts in merged])
    rows = [["GMACs", *(one.name for one in costs)]]
    for name in names:
        rows.append([name, *_compared([parts.get(name) for parts in merged])])
    masks = any(one.cost.published is not None for one in costs)
    encoder = "pixel decoder (Tx. Enc.)" if masks else "encoder (Tx. Enc.)"
    for title, key in (
        (encoder, "pixel_decoder"),
        ("total as run", "total"),
        *([("published form, pixel decoder", "published_pixel_decoder")] if masks else []),
        *([("published form, total", "published_total")] if masks else []),
    ):
        rows.append([title, *_compared([getattr(one.cost, key) for one in costs])])
    if len({one.cost.size for one in costs}) > 1:
        rows.append(["padded to", *("{}x{}".format(*one.cost.size) for one in costs)])
    params = [one.cost.params for one in costs]
    rows.append(["parameters", *_compared(params, MEGA, " M")])
    if any(one.memory for one in costs):
        for key, name in MEMORY_ROWS.items():
            values = [getattr(one.memory, key) if one.memory else None for one in costs]
            rows.append([f"activations, {name}", *_compared(values, MIB, " MiB")])
    return rows


def _merged_parts(cost: ModelCost) -> dict[str, int]:
    parts: dict[str, int] = {}
    for part in cost.parts:
        name = "encoder" if part.name.startswith("encoder stage") else part.name
        parts[name] = parts.get(name, 0) + part.macs
    return parts


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return every name once, after the name that precedes it in the first list that has it."""
    merged: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged


def _compared(values: Sequence[int | None], unit: float = GIGA, suffix: str = "") -> list[str]:
    first, *_ = values
    cells = []
    for index, value in enumerate(values):
        cell = "-" if value is None else f"{_figure(value / unit)}{suffix}"
        if index and value is not None and first:
            cell += f" ({value / first:.0%})"
        cells.append(cell)
    return cells


def _giga(macs: int) -> str:
    return _figure(macs / GIGA)


def _figure(number: float) -> str:
    """Format a number as papers do, 281.26, and small ones as 0.013."""
    return f"{number:,.2f}" if number >= 0.1 or number == 0 else f"{number:.2g}"
