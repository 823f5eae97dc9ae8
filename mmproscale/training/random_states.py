"""Random states of a process: saved with a checkpoint, restored by a resume, kept around others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch

from mmproscale.errors import InputError


def random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's generators, as tensors and numbers.

    ``cuda`` is the state of the current GPU; without GPU it is absent.
    """
    _, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached_gauss = cast(tuple, np.random.get_state())
    state = {
        "python": [torch.tensor(words), gauss],
        "numpy": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached_gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], source: str = "the checkpoint") -> None:
    """Set the generators to the states that `random_state` returned.

    Args:
        state: The states.
        source: The file that they are from, for the message.

    Raises:
        InputError: The states have another form.
    """
    try:
        words, gauss = state["python"]
        keys, position, has_gauss, cached_gauss = state["numpy"]
        if not 0 <= position <= len(keys):
            # NumPy would read beyond its keys.
            raise ValueError(f"position {position} of {len(keys)}")
        random.setstate((3, tuple(words.tolist()), gauss))
        keys = keys.cpu().numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, position, has_gauss, cached_gauss))
        torch.set_rng_state(state["torch"].cpu())
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"].cpu())
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as e:
        raise InputError(
            f"{source}: its random_states are damaged ({' '.join(str(e).split())[:80]}): "
            "resume from another checkpoint"
        ) from e


@contextmanager
def seeded(entropy: Sequence[int]) -> Iterator[None]:
    """Seed the generators of the CPU for a block, and restore their states after it.

    Args:
        entropy: Numbers of at least 0; different sequences give independent random numbers.
    """
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    python, *numpy = np.random.SeedSequence(entropy).generate_state(6).tolist()
    random.seed(python)
    np.random.seed(numpy)
    # torch.manual_seed would seed the GPUs too.
    torch.default_generator.manual_seed(numpy[0] << 32 | numpy[1])
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
