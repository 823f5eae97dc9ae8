"""Two processes with two images each learn what one process learns from all four."""

import pytest
from helpers.families import BUILDERS
from helpers.split_batches import relative_difference, train_split

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    return [train_split(world, folder / str(world)) for world in (1, 2)]


@pytest.mark.parametrize("family", BUILDERS)
def test_two_processes_learn_what_one_does(family, runs):
    (gradients, before, after), split = runs[0][family], runs[1][family]
    split_gradients, split_before, split_after = split
    assert relative_difference(before, split_before) == 0
    assert relative_difference(gradients, split_gradients) <= 1e-5
    largest = max(gradient.norm() for gradient in gradients.values())
    for name, gradient in gradients.items():
        # Gradients that are zero but for rounding, as of a bias before a norm, are left out.
        if gradient.norm() > 1e-6 * largest:
            difference = (gradient - split_gradients[name]).norm() / gradient.norm()
            assert difference <= 1e-5, name
    assert relative_difference(after, split_after) <= 1e-6
    assert relative_difference(before, after) > 1e-6
