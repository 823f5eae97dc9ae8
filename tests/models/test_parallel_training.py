"""Training on two processes: each parameter is used in each step, and the processes stay equal."""

import pytest
from helpers.parallel_families import cases, train_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_all(tmp_path_factory.mktemp("processes") / "run")


@pytest.mark.parametrize("case", cases())
def test_two_processes_use_every_parameter_and_stay_equal(trained, case):
    first, second = trained[case]
    assert first["unused"] == second["unused"] == []
    assert first["error"] == second["error"] == ""
    assert first["weights"] == second["weights"]
    assert first["changed"]
