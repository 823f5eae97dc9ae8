"""Random states are saved and restored whole, and a seeded block leaves them as they were."""

import random

import numpy as np
import pytest
import torch

from mmproscale.checkpoints.read_checkpoint import load_content
from mmproscale.errors import InputError
from mmproscale.training.random_states import random_state, restore_random_state, seeded


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(2).tolist(),
    )


def test_states_survive_a_file(tmp_path):
    draw()  # an odd number of Gaussian numbers: both generators keep the second one
    torch.save(random_state(), tmp_path / "state.pth")
    expected = draw()
    assert draw() != expected
    restore_random_state(load_content(tmp_path / "state.pth"))
    assert draw() == expected


@pytest.mark.parametrize(
    "damage",
    [
        dict(python=[torch.tensor([1, 2]), None]),
        dict(python=[torch.full((625,), -1), None]),
        dict(numpy=[torch.zeros(3), 0, 0, 0.0]),
        dict(numpy=[torch.zeros(624), 10**6, 0, 0.0]),
        dict(numpy=3),
        dict(torch=torch.zeros(5, dtype=torch.uint8)),
        dict(torch="text"),
    ],
)
def test_damaged_states_are_one_line(damage):
    with pytest.raises(InputError, match="random_states are damaged") as caught:
        restore_random_state(random_state() | damage)
    assert "\n" not in str(caught.value)


def test_a_missing_state_is_one_line():
    state = random_state()
    del state["torch"]
    with pytest.raises(InputError, match="random_states are damaged"):
        restore_random_state(state)


def test_a_seeded_block_depends_on_its_numbers_only():
    before = random_state()
    with seeded((1, 2, 3)):
        first = draw()
    with seeded((1, 2, 4)):
        assert not set(map(str, draw())) & set(map(str, first))
    torch.rand(7)
    with seeded((1, 2, 3)):
        assert draw() == first
    restore_random_state(before)
    expected = draw()
    restore_random_state(before)
    with seeded((5,)):
        draw()
    assert draw() == expected


def test_a_seeded_block_restores_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), seeded((1,)):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
