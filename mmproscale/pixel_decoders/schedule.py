"""An encoder is a schedule: which levels are updated, which they read, how often.

Sources: PRO-SCALE section 3.1 (growing tokens), Mask2Former (all levels in all layers), Lite-DETR
(coarse levels often, the finest seldom), ECO-M2F section 3 (exits). Levels are named by their
stride and listed from low resolution to high. Nothing here needs torch: a schedule is checked,
priced and printed before a weight exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmproscale.errors import InputError


def _levels(value: int | Sequence[int], key: str) -> tuple[int, ...]:
    """Strides as a tuple, low resolution first; InputError where they can't be strides."""
    strides = (value,) if isinstance(value, int) else tuple(value)
    if not strides or any(type(s) is not int or s < 1 for s in strides):
        raise InputError(f"{key}={value!r} must name levels by stride, e.g. (32, 16, 8)")
    if len(set(strides)) != len(strides):
        raise InputError(f"{key}={value!r} names a level twice")
    return tuple(sorted(strides, reverse=True))


@dataclass(frozen=True)
class Stage:
    """``repeats`` equal layers in which the tokens of ``queries`` are updated by reading ``keys``.

    Args:
        queries: Strides of the levels that are updated.
        keys: Strides of the levels that they read.
        repeats: Number of layers, at least 1.

    Raises:
        InputError: A field that can't be.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    repeats: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", _levels(self.queries, "queries"))
        object.__setattr__(self, "keys", _levels(self.keys, "keys"))
        if type(self.repeats) is not int or self.repeats < 1:
            raise InputError(f"stage {self}: repeats={self.repeats!r} must be a whole number >= 1")

    def __str__(self) -> str:
        return f"{_join(self.queries)} <- {_join(self.keys)} x{self.repeats}"


@dataclass(frozen=True)
class Schedule:
    """The layers of an encoder, as stages, and where an image may leave it.

    Args:
        stages: Stages in the order in which they run.
        tail: Number of last layers that always run, also after an exit (Lite-M2F's full layer).
        name: What a config or a table prints; the stages where none is given.

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
            raise InputError(f"schedule {self} reads level {_join(unfilled)}, which nothing fills")
        if type(self.tail) is not int or not 0 <= self.tail < self.num_layers:
            raise InputError(
                f"schedule {self}: tail={self.tail!r} must be 0 to {self.num_layers - 1} layers"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Every level that the schedule updates, low resolution first."""
        return tuple(sorted({q for s in self.stages for q in s.queries}, reverse=True))

    @property
    def layers(self) -> tuple[Stage, ...]:
        """One stage for each layer, in order: a stage of three repeats stands three times."""
        return tuple(stage for stage in self.stages for _ in range(stage.repeats))

    @property
    def num_layers(self) -> int:
        return sum(stage.repeats for stage in self.stages)

    @property
    def exits(self) -> tuple[int, ...]:
        """Legal exits: k where layers 1..k and the tail together have updated every level."""
        body = self.num_layers - self.tail
        filled = {q for stage in self.layers[body:] for q in stage.queries}
        legal = []
        for k, stage in enumerate(self.layers[:body], start=1):
            filled |= set(stage.queries)
            if filled == set(self.strides):
                legal.append(k)
        return tuple(legal)

    def check_exits(self, exits: Sequence[int]) -> tuple[int, ...]:
        """``exits`` in ascending order; InputError where one is not legal."""
        wrong = [k for k in exits if k not in self.exits]
        if wrong or not exits:
            raise InputError(
                f"schedule {self} has no exit {wrong}: its legal exits are {self.exits}"
            )
        return tuple(sorted(set(exits)))

    def check_maps(self, strides: Sequence[int]) -> None:
        """Raise InputError where a level of the schedule has no map among ``strides``."""
        missing = [s for s in self.strides if s not in strides]
        if missing:
            raise InputError(
                f"schedule {self} needs level {_join(missing)}, which has no map: "
                f"the maps have strides {_join(strides)}"
            )

    def token_counts(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """(query tokens, key tokens) of each layer, for map sizes (H, W) by stride."""
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
        """Multiply-accumulates of each layer for one image, as fvcore counts the traced layer.

        Linear layers by their products, layer norms as 5 per element, sampling not counted.

        Args:
            shapes: Map size (H, W) of each level, by stride.
        """
        costs = []
        for stage, (queries, keys) in zip(self.layers, self.token_counts(shapes), strict=True):
            samples = num_heads * len(stage.keys) * num_points
            attention = queries * embed_dims * (3 * samples + embed_dims) + keys * embed_dims**2
            feedforward = 2 * queries * embed_dims * feedforward_channels
            norms = 2 * 5 * queries * embed_dims
            costs.append(attention + feedforward + norms)
        return tuple(costs)

    def __str__(self) -> str:
        stages = "; ".join(str(stage) for stage in self.stages)
        return f"{self.name} [{stages}]" if self.name else f"[{stages}]"


def pro_scale(
    repeats: Sequence[int] = (3, 3, 3), levels: Sequence[int | Sequence[int]] = (32, 16, 8)
) -> Schedule:
    """PRO-SCALE (p1, p2, ...): each stage adds the next finer level (section 3.1, eq. 1 to 3).

    Args:
        repeats: p_i, the number of layers of each stage.
        levels: What each stage adds, low resolution first: a stride or several.
    """
    if isinstance(repeats, int) or len(repeats) != len(levels):
        raise InputError(
            f"PRO-SCALE repeats={repeats!r} must hold one number for each of levels={levels!r}"
        )
    name = f"PRO-SCALE ({','.join(map(str, repeats))})"
    stages: list[Stage] = []
    grown: tuple[int, ...] = ()
    for repeat, added in zip(repeats, levels, strict=True):
        grown += _levels(added, "levels")
        stages.append(Stage(grown, grown, repeat))
    return Schedule(tuple(stages), name=name)


def mask2former(layers: int = 6, levels: Sequence[int] = (32, 16, 8)) -> Schedule:
    """Mask2Former: every layer updates and reads every level."""
    levels = _levels(levels, "levels")
    return Schedule((Stage(levels, levels, layers),), name=f"M2F x{layers}")


def lite(
    coarse_layers: int = 5, levels: Sequence[int] = (32, 16, 8), num_fine: int = 1
) -> Schedule:
    """Lite-M2F: ``coarse_layers`` update the coarse levels, one last full layer, the tail, all.

    Args:
        coarse_layers: Layers that leave the ``num_fine`` finest levels as they are, reading them.
        levels: Strides, in any order.
        num_fine: How many of the finest levels only the last layer updates.
    """
    levels = _levels(levels, "levels")
    if not 0 < num_fine < len(levels):
        raise InputError(f"num_fine={num_fine!r} must leave a coarse level among {_join(levels)}")
    coarse = Stage(levels[:-num_fine], levels, coarse_layers)
    return Schedule((coarse, Stage(levels, levels)), tail=1, name=f"Lite ({coarse_layers}+1)")


def from_stages(stages: Sequence[Mapping], tail: int = 0, name: str = "") -> Schedule:
    """Any schedule, written out: ``stages=[dict(queries=..., keys=..., repeats=...), ...]``."""
    return Schedule(tuple(Stage(**stage) for stage in stages), tail=tail, name=name)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "pro_scale": pro_scale,
    "m2f": mask2former,
    "lite": lite,
    "stages": from_stages,
}


def build_schedule(config: Mapping | Schedule) -> Schedule:
    """A schedule from its config, ``dict(type='pro_scale', repeats=(3, 3, 3))``.

    Raises:
        InputError: An unknown type or argument, or a schedule that can't be.
    """
    if isinstance(config, Schedule):
        return config
    if not isinstance(config, Mapping) or config.get("type") not in SCHEDULES:
        raise InputError(
            f"schedule={config!r} must be a dict with a type of {', '.join(sorted(SCHEDULES))}"
        )
    arguments = {key: value for key, value in config.items() if key != "type"}
    try:
        return SCHEDULES[config["type"]](**arguments)
    except TypeError as error:
        raise InputError(f"schedule={dict(config)!r}: {error}") from error


def _join(strides: Sequence[int]) -> str:
    return ",".join(str(stride) for stride in strides)
