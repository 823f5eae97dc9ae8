"""An encoder is a schedule: which levels are updated, which they read, how often.

Sources: PRO-SCALE section 3.1 (growing tokens), Mask2Former (all levels in all layers), Lite-DETR
(coarse levels often, the finest seldom), ECO-M2F section 3 (exits). Levels are named by their
stride and listed from low resolution to high. Nothing here needs torch: a schedule is checked,
priced and printed before a weight exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mmproscale.errors import InputError


def _levels(value: int | Sequence[int], key: str) -> tuple[int, ...]:
    """Strides as a tuple, low resolution first; InputError where they can't be strides."""
    strides = tuple(value) if isinstance(value, Iterable) else (value,)
    if not strides or any(type(s) is not int or s < 1 for s in strides):
        raise InputError(f"{key}={value!r} must name levels by stride, e.g. (32, 16, 8)")
    if len(set(strides)) != len(strides):
        raise InputError(f"{key}={value!r} names a level twice")
    return tuple(sorted(strides, reverse=True))


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward of their own, with its norm, for the tokens of some levels (Lite-DETR).

    Args:
        levels: Strides of those levels.
        channels: Inner channels.

    Raises:
        InputError: A field that can't be.
    """

    levels: tuple[int, ...]
    channels: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", _levels(self.levels, "feedforwards.levels"))
        if type(self.channels) is not int or self.channels < 1:
            raise InputError(f"feedforwards.channels={self.channels!r} must be a whole number >= 1")


@dataclass(frozen=True)
class Stage:
    """``repeats`` equal layers in which the tokens of ``queries`` are updated by reading ``keys``.

    Args:
        queries: Strides of the levels that are updated.
        keys: Strides of the levels that they read.
        repeats: Number of layers, at least 1.
        feedforwards: For levels whose tokens go not through the layer's feed-forward but through
            one of their own: a :class:`FeedForward` or its fields for each group of levels.

    Raises:
        InputError: A field that can't be.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    repeats: int = 1
    feedforwards: tuple[FeedForward, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", _levels(self.queries, "queries"))
        object.__setattr__(self, "keys", _levels(self.keys, "keys"))
        object.__setattr__(self, "feedforwards", _feedforwards(self.feedforwards))
        if type(self.repeats) is not int or self.repeats < 1:
            raise InputError(f"stage {self}: repeats={self.repeats!r} must be a whole number >= 1")
        own = [stride for feedforward in self.feedforwards for stride in feedforward.levels]
        if len(set(own)) != len(own) or not set(own) <= set(self.queries):
            raise InputError(
                f"stage {self}: feedforwards must name levels among the queries, each once"
            )
        if set(own) == set(self.queries):
            raise InputError(f"stage {self}: feedforwards leave no level to the layer's own")

    def feedforward_of(self, stride: int) -> int:
        """Which feed-forward a level's tokens go through: 0 the layer's, k the k-th of its own."""
        groups = (feedforward.levels for feedforward in self.feedforwards)
        return next((k for k, levels in enumerate(groups, start=1) if stride in levels), 0)

    def __str__(self) -> str:
        own = "".join(f", {_join(f.levels)} by {f.channels}" for f in self.feedforwards)
        return f"{_join(self.queries)} <- {_join(self.keys)} x{self.repeats}{own}"


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

    def skipped_layers(self, exit_: int) -> range:
        """Indices of the layers that an image does without that leaves after ``exit_`` layers."""
        return range(exit_, self.num_layers - self.tail)

    def check_exits(self, exits: Sequence[int]) -> tuple[int, ...]:
        """``exits`` in ascending order; InputError where one is not legal."""
        wrong = [k for k in exits if type(k) is not int or k not in self.exits]
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
        tokens = {stride: h * w for stride, (h, w) in shapes.items()}
        costs = []
        for stage, (queries, keys) in zip(self.layers, self.token_counts(shapes), strict=True):
            samples = num_heads * len(stage.keys) * num_points
            attention = queries * embed_dims * (3 * samples + embed_dims) + keys * embed_dims**2
            channels = (feedforward_channels, *(own.channels for own in stage.feedforwards))
            inner = sum(tokens[s] * channels[stage.feedforward_of(s)] for s in stage.queries)
            norms = 2 * 5 * queries * embed_dims
            costs.append(attention + 2 * embed_dims * inner + norms)
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
    coarse_layers: int = 5,
    levels: Sequence[int] = (32, 16, 8),
    num_fine: int = 1,
    blocks: int = 1,
    fine_channels: int | None = None,
) -> Schedule:
    """Lite-DETR: ``coarse_layers`` update the coarse levels, then one all; so ``blocks`` times.

    Lite-M2F is (5+1), without ``fine_channels``. The paper's (6+1)x1 is (5+1) here, its (2+1)x3
    three blocks of (1+1): it counts a full layer for each kind of level. The last layer is the
    tail: it runs after any exit.

    Args:
        coarse_layers: Layers that leave the ``num_fine`` finest levels as they are, reading them.
        levels: Strides, in any order.
        num_fine: How many of the finest levels only a block's last layer updates.
        blocks: How often coarse layers and full layer follow one another.
        fine_channels: Inner channels of a feed-forward of the finest levels' own in full layers.
    """
    levels = _levels(levels, "levels")
    if type(num_fine) is not int or not 0 < num_fine < len(levels):
        raise InputError(f"num_fine={num_fine!r} must leave a coarse level among {_join(levels)}")
    if type(blocks) is not int or blocks < 1:
        raise InputError(f"blocks={blocks!r} must be a whole number >= 1")
    own = () if fine_channels is None else (FeedForward(levels[-num_fine:], fine_channels),)
    coarse = Stage(levels[:-num_fine], levels, coarse_layers)
    full = Stage(levels, levels, feedforwards=own)
    name = f"Lite ({coarse_layers}+1)" + (f"x{blocks}" if blocks > 1 else "")
    return Schedule((coarse, full) * blocks, tail=1, name=name)


def from_stages(stages: Sequence[Mapping], tail: int = 0, name: str = "") -> Schedule:
    """Any schedule, written out: ``stages=[dict(queries=..., keys=..., repeats=...), ...]``.

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
    except (InputError, TypeError) as error:
        raise InputError(f"schedule={dict(config)!r}: {error}") from error


def _feedforwards(values: Sequence[FeedForward | Mapping]) -> tuple[FeedForward, ...]:
    if isinstance(values, Mapping):
        raise InputError("feedforwards must be a list of them")
    return tuple(v if isinstance(v, FeedForward) else FeedForward(**v) for v in values)


def _join(strides: Sequence[int]) -> str:
    return ",".join(str(stride) for stride in strides)
