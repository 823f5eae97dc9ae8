"""Schedules of encoders: the levels that each layer updates, and the levels that they read.

Sources: PRO-SCALE section 3.1 (growing tokens), Mask2Former (all levels in all layers), Lite-DETR
(coarse levels often, the finest rarely), ECO-M2F section 3 (exits). Levels are named by their
stride and listed from low resolution to high. This module does not import torch: a schedule is
checked, priced and printed without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmproscale.errors import InputError


def _as_strides(value: int | Sequence[int], key: str) -> tuple[int, ...]:
    """Return strides as a tuple, low resolution first; InputError if they can't be strides."""
    strides = tuple(value) if isinstance(value, Iterable) else (value,)
    if not strides or any(type(s) is not int or s < 1 for s in strides):
        raise InputError(f"{key}={value!r} must name levels by stride, e.g. (32, 16, 8)")
    if len(set(strides)) != len(strides):
        raise InputError(f"{key}={value!r} names a level twice")
    return tuple(sorted(strides, reverse=True))


MOST_LAYERS = 1000
_COUNT = f"whole number from 1 to {MOST_LAYERS}"


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_LAYERS


@dataclass(frozen=True)
class FeedForward:
    """Separate feed-forward, with its norm, for the tokens of some levels (Lite-DETR).

    Args:
        levels: Strides of those levels.
        channels: Inner channels.

    Raises:
        InputError: A field is invalid.
    """

    levels: tuple[int, ...]
    channels: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", _as_strides(self.levels, "feedforwards.levels"))
        if type(self.channels) is not int or self.channels < 1:
            raise InputError(f"feedforwards.channels={self.channels!r} must be a whole number >= 1")


@dataclass(frozen=True)
class Stage:
    """Equal layers in which the tokens of ``queries`` are updated by reading ``keys``.

    Args:
        queries: Strides of the levels that are updated.
        keys: Strides of the levels that they read.
        repeats: Number of layers, at least 1.
        feedforwards: Separate feed-forwards of some levels, which replace the layer's: a
            :class:`FeedForward` or its fields for each group of levels.

    Raises:
        InputError: A field is invalid.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    repeats: int = 1
    feedforwards: tuple[FeedForward, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", _as_strides(self.queries, "queries"))
        object.__setattr__(self, "keys", _as_strides(self.keys, "keys"))
        object.__setattr__(self, "feedforwards", _feedforwards(self.feedforwards))
        if not _is_count(self.repeats):
            raise InputError(f"stage {self}: repeats={self.repeats!r} must be a {_COUNT}")
        own = [stride for feedforward in self.feedforwards for stride in feedforward.levels]
        if len(set(own)) != len(own) or not set(own) <= set(self.queries):
            raise InputError(
                f"stage {self}: feedforwards must name levels among the queries, each once"
            )
        if set(own) == set(self.queries):
            raise InputError(
                f"stage {self}: feedforwards leave no level to the layer's feed-forward"
            )

    def feedforward_index(self, stride: int) -> int:
        """Return the index of a level's feed-forward: 0 is the layer's, k the k-th separate one."""
        groups = (feedforward.levels for feedforward in self.feedforwards)
        return next((k for k, levels in enumerate(groups, start=1) if stride in levels), 0)

    def __str__(self) -> str:
        own = "".join(f", {_join(f.levels)} by {f.channels}" for f in self.feedforwards)
        return f"{_join(self.queries)} <- {_join(self.keys)} x{self.repeats}{own}"


@dataclass(frozen=True)
class Schedule:
    """Layers of an encoder, as stages, and the exits between them.

    Args:
        stages: Stages in the order in which they run.
        tail: Number of last layers that always run, also after an exit (Lite-M2F's full layer).
        name: Name in configs and tables; without one the stages are printed.

    Raises:
        InputError: No layers; a stage that reads a level which no stage updates; a tail that is
            longer than the schedule. The message prints the schedule.
    """

    stages: tuple[Stage, ...]
    tail: int = 0
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages:
            raise InputError(f"schedule {self} has no layers")
        unfilled = sorted({k for s in self.stages for k in s.keys} - set(self.strides))
        if unfilled:
            raise InputError(
                f"schedule {self} reads level {_join(unfilled)}, which no stage updates"
            )
        if type(self.tail) is not int or not 0 <= self.tail < self.num_layers:
            raise InputError(
                f"schedule {self}: tail={self.tail!r} must be 0 to {self.num_layers - 1} layers"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of all levels that the schedule updates, low resolution first."""
        return tuple(sorted({q for s in self.stages for q in s.queries}, reverse=True))

    @property
    def layers(self) -> tuple[Stage, ...]:
        """Stage of each layer, in order; a stage with three repeats appears three times."""
        return tuple(stage for stage in self.stages for _ in range(stage.repeats))

    @property
    def num_layers(self) -> int:
        """Number of layers, the tail included."""
        return sum(stage.repeats for stage in self.stages)

    @property
    def exits(self) -> tuple[int, ...]:
        """Legal exits: each k for which layers 1..k and the tail together update every level."""
        body = self.num_layers - self.tail
        filled = {q for stage in self.layers[body:] for q in stage.queries}
        legal = []
        for k, stage in enumerate(self.layers[:body], start=1):
            filled |= set(stage.queries)
            if filled == set(self.strides):
                legal.append(k)
        return tuple(legal)

    def skipped_layers(self, exit_: int) -> range:
        """Return the indices of the layers that an image skips if it leaves after ``exit_``."""
        return range(exit_, self.num_layers - self.tail)

    def check_exits(self, exits: Sequence[int]) -> tuple[int, ...]:
        """Return ``exits`` in ascending order; InputError if one of them is not legal."""
        wrong = [k for k in exits if type(k) is not int or k not in self.exits]
        if wrong or not exits:
            raise InputError(
                f"schedule {self} has no exit {wrong}: its legal exits are {self.exits}"
            )
        return tuple(sorted(set(exits)))

    def check_maps(self, strides: Sequence[int]) -> None:
        """Raise InputError if a level of the schedule has no map among ``strides``."""
        missing = [s for s in self.strides if s not in strides]
        if missing:
            raise InputError(
                f"schedule {self} needs level {_join(missing)}, which has no map: "
                f"the maps have strides {_join(strides)}"
            )

    def token_counts(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Return (query tokens, key tokens) of each layer, for map sizes (H, W) by stride."""
        size = {stride: h * w for stride, (h, w) in shapes.items()}
        return tuple(
            (sum(size[s] for s in stage.queries), sum(size[s] for s in stage.keys))
            for stage in self.layers
        )

    def cost(
        self,
        shapes: Mapping[int, tuple[int, int]],
        embed_dims: int = 256,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
    ) -> tuple[int, ...]:
        """Return the multiply-accumulates of each layer for one image, as fvcore counts them.

        Linear layers count by their products, layer norms as 5 per element, sampling not at all.

        Args:
            shapes: Map size (H, W) of each level, by stride.
        """
        tokens = {stride: h * w for stride, (h, w) in shapes.items()}
        costs = []
        for stage, (queries, keys) in zip(self.layers, self.token_counts(shapes), strict=True):
            samples = num_heads * len(stage.keys) * num_points
            attention = queries * embed_dims * (3 * samples + embed_dims) + keys * embed_dims**2
            channels = (feedforward_channels, *(own.channels for own in stage.feedforwards))
            inner = sum(tokens[s] * channels[stage.feedforward_index(s)] for s in stage.queries)
            norms = 2 * 5 * queries * embed_dims
            costs.append(attention + 2 * embed_dims * inner + norms)
        return tuple(costs)

    def __str__(self) -> str:
        stages = "; ".join(str(stage) for stage in self.stages)
        return f"{self.name} [{stages}]" if self.name else f"[{stages}]"


def pro_scale(
    repeats: Sequence[int] = (3, 3, 3), levels: Sequence[int | Sequence[int]] = (32, 16, 8)
) -> Schedule:
    """Return PRO-SCALE (p1, p2, ...): each stage adds the next finer level (section 3.1, eq. 1-3).

    Args:
        repeats: p_i, the number of layers of each stage.
        levels: Strides that each stage adds, low resolution first: one or several.
    """
    if isinstance(repeats, int) or len(repeats) != len(levels):
        raise InputError(
            f"PRO-SCALE repeats={repeats!r} must hold one number for each of levels={levels!r}"
        )
    name = f"PRO-SCALE ({','.join(map(str, repeats))})"
    stages: list[Stage] = []
    grown: tuple[int, ...] = ()
    for repeat, added in zip(repeats, levels, strict=True):
        grown += _as_strides(added, "levels")
        stages.append(Stage(grown, grown, repeat))
    return Schedule(tuple(stages), name=name)


def mask2former(layers: int = 6, levels: Sequence[int] = (32, 16, 8)) -> Schedule:
    """Return Mask2Former's schedule: every layer updates and reads every level."""
    levels = _as_strides(levels, "levels")
    return Schedule((Stage(levels, levels, layers),), name=f"M2F x{layers}")


def lite(
    coarse_layers: int = 5,
    levels: Sequence[int] = (32, 16, 8),
    num_fine: int = 1,
    blocks: int = 1,
    fine_channels: int | None = None,
) -> Schedule:
    """Return Lite-DETR's schedule: in each block coarse layers, then one full layer.

    Lite-M2F is (5+1), without ``fine_channels``. Lite-DETR's (6+1)x1 is (5+1) here, its (2+1)x3 is
    (1+1) in three blocks: the paper counts a full layer in both numbers. The last layer is the
    tail: it runs after any exit.

    Args:
        coarse_layers: Layers of a block that read all levels but update only the coarse ones.
        levels: Strides, in any order.
        num_fine: Number of finest levels, which only the full layers update.
        blocks: Number of blocks.
        fine_channels: Inner channels of the finest levels' own feed-forward in full layers.
    """
    levels = _as_strides(levels, "levels")
    if type(num_fine) is not int or not 0 < num_fine < len(levels):
        raise InputError(f"num_fine={num_fine!r} must leave a coarse level among {_join(levels)}")
    if not _is_count(blocks):
        raise InputError(f"blocks={blocks!r} must be a {_COUNT}")
    own = () if fine_channels is None else (FeedForward(levels[-num_fine:], fine_channels),)
    coarse = Stage(levels[:-num_fine], levels, coarse_layers)
    full = Stage(levels, levels, feedforwards=own)
    name = f"Lite ({coarse_layers}+1)" + (f"x{blocks}" if blocks > 1 else "")
    return Schedule((coarse, full) * blocks, tail=1, name=name)


def from_stages(stages: Sequence[Mapping], tail: int = 0, name: str = "") -> Schedule:
    """Return the schedule of ``stages=[dict(queries=(32, 16), keys=(32, 16, 8), repeats=5)]``.

    A stage may have ``feedforwards=[dict(levels=8, channels=256)]``, as Lite-DETR's full layers.
    """
    if isinstance(stages, Mapping):
        raise InputError("stages must be a list of stages")
    return Schedule(tuple(Stage(**stage) for stage in stages), tail=tail, name=name)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "pro_scale": pro_scale,
    "m2f": mask2former,
    "lite": lite,
    "stages": from_stages,
}


def build_schedule(config: Mapping | Schedule) -> Schedule:
    """Build a schedule from its config, ``dict(type='pro_scale', repeats=(3, 3, 3))``.

    Raises:
        InputError: An unknown type or argument; an invalid schedule.
    """
    if isinstance(config, Schedule):
        return config
    if not isinstance(config, Mapping) or str(config.get("type")) not in SCHEDULES:
        raise InputError(
            f"schedule={config!r} must be a dict with a type of {', '.join(sorted(SCHEDULES))}"
        )
    arguments = {key: value for key, value in config.items() if key != "type"}
    try:
        return SCHEDULES[config["type"]](**arguments)
    except (InputError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"schedule={dict(config)!r}: {error}") from error


def _feedforwards(values: Sequence[FeedForward | Mapping]) -> tuple[FeedForward, ...]:
    if isinstance(values, Mapping):
        raise InputError("feedforwards must be a list of dicts with levels and channels")
    return tuple(v if isinstance(v, FeedForward) else FeedForward(**v) for v in values)


def _join(strides: Sequence[int]) -> str:
    return ",".join(str(stride) for stride in strides)
