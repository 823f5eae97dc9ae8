"""Times of candidates that take turns, round by round, so that other work disturbs them least.

A disturbance in one round affects all candidates of that round. So ratios are taken within a round,
and their median over rounds is steadier than a ratio of medians.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

# A faster candidate is called several times in a round, so that a round is not all noise. Seconds.
SHORTEST_TURN = 0.02
MOST_CALLS = 100


class Stopwatch:
    """Seconds of parts, which may contain one another.

    Args:
        synchronize: Called before the clock is read, since work on CUDA runs in the background.
        clock: Returns seconds since any fixed time.
    """

    def __init__(
        self,
        synchronize: Callable[[], Any] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.synchronize, self.clock = synchronize, clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        start = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start

    @contextmanager
    def method(self, owner: object, method: str, name: str) -> Iterator[None]:
        """Within the block, add the time of each call of ``owner.method`` to part ``name``."""
        call = getattr(owner, method)

        @functools.wraps(call)
        def timed(*args, **kwargs):
            with self.part(name):
                return call(*args, **kwargs)

        with mock.patch.object(owner, method, timed):
            yield

    def _now(self) -> float:
        self.synchronize()
        return self.clock()


Run = Callable[[Stopwatch], None]


def measure(
    runs: Mapping[str, Run],
    rounds: int,
    warm_up: int = 2,
    new_watch: Callable[[], Stopwatch] = Stopwatch,
    after_round: Callable[[], Any] = lambda: None,
) -> dict[str, list[dict[str, float]]]:
    """Return the seconds of each part in each round, for each candidate.

    Every candidate has its turn in every round; each round starts with the next candidate.

    Args:
        runs: Candidates by name.
        rounds: Number of rounds that count.
        warm_up: Number of rounds before those.
        new_watch: Makes the stopwatch of one call.
        after_round: Called after each round, also of the warm-up.
    """
    names = list(runs)
    calls = dict.fromkeys(names, 1)
    for _ in range(warm_up):
        calls = {name: _calls_in_a_turn(run, new_watch) for name, run in runs.items()}
        after_round()
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(_turn(runs[name], calls[name], new_watch))
        after_round()
    return samples


def summarize(samples: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Return medians and quartiles of the parts, in ms and as ratios to the first candidate.

    A ratio compares two times of one round: 0.5 is half the time. A part that the first candidate
    does not have gets no ratio, and neither does a single candidate.
    """
    base = next(iter(samples.values()))
    with_ratio = set(base[0]) if len(samples) > 1 else set()

    def ratios(part: str, turns: Sequence[Mapping[str, float]]) -> list[float]:
        return [turn[part] / first[part] for turn, first in zip(turns, base, strict=True)]

    return [
        {
            "name": name,
            "parts": {
                part: {"ms": spread([1000 * turn[part] for turn in turns])}
                | ({"ratio": spread(ratios(part, turns))} if part in with_ratio else {})
                for part in turns[0]
            },
        }
        for name, turns in samples.items()
    ]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median and quartiles."""
    low, median, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [*values]
    )
    return {"median": median, "quartiles": [low, high]}


def _calls_in_a_turn(run: Run, new_watch: Callable[[], Stopwatch]) -> int:
    watch = new_watch()
    with watch.part("turn"):
        run(new_watch())
    return max(1, min(MOST_CALLS, int(SHORTEST_TURN / max(watch.seconds["turn"], 1e-9))))


def _turn(run: Run, calls: int, new_watch: Callable[[], Stopwatch]) -> dict[str, float]:
    """Return the mean seconds of each part over the calls of a turn."""
    watches = [new_watch() for _ in range(calls)]
    for watch in watches:
        run(watch)
    parts = watches[0].seconds
    return {part: sum(w.seconds[part] for w in watches) / calls for part in parts}
