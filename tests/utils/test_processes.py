"""Joining the processes of a launcher, and noticing that one of them is lost."""

import os

import pytest
import torch
from helpers.gloo import on_processes
from helpers.lost_processes import ask_who_reports, leave_without_a_word

from mmproscale.errors import InputError
from mmproscale.utils import processes
from mmproscale.utils.processes import (
    cpu_has_bf16,
    join_processes,
    launcher_of,
    lost_process,
    take_gpu,
    usable_cores,
)

SLURM = dict(SLURM_PROCID="3", SLURM_NTASKS="4", SLURM_LOCALID="1", SLURM_NODELIST="node[1-2]")


@pytest.fixture
def environment(monkeypatch):
    """Variables of no launcher, and what the test sets."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", *SLURM):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


@pytest.fixture
def joined(monkeypatch):
    """Return the processes that were joined, as (backend, rank, world size, first node)."""
    calls = []
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR")
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda backend, timeout: calls.append((backend, *(os.environ[name] for name in names))),
    )
    return calls


def test_torchrun_is_found_without_an_option(environment):
    assert launcher_of("none") == "none"
    environment(WORLD_SIZE="1")
    assert launcher_of("none") == "none"
    environment(WORLD_SIZE="2")
    assert launcher_of("none") == launcher_of("pytorch") == "pytorch"
    assert launcher_of("slurm") == "slurm"


def test_a_single_process_joins_nothing(environment, joined):
    join_processes("none", "gloo")
    assert joined == []


def test_slurms_variables_become_torchs(environment, joined, monkeypatch):
    environment(**SLURM)
    monkeypatch.setattr(processes, "_first_host", lambda nodes: nodes.replace("[1-2]", "1"))
    join_processes("slurm", "gloo")
    assert joined == [("gloo", "3", "4", "node1")]
    assert (os.environ["LOCAL_RANK"], os.environ["MASTER_PORT"]) == ("1", "29500")


@pytest.mark.parametrize(
    ("launcher", "given", "message"),
    [
        ("pytorch", {}, "RANK is not set: start the processes by tools/dist_train.sh"),
        ("slurm", {}, "SLURM_PROCID is not set: start the processes by tools/slurm_train.sh"),
        ("mpi", {}, "OMPI_COMM_WORLD_RANK is not set: start the processes by mpirun"),
        ("pytorch", dict(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0"), "MASTER_ADDR is not set"),
    ],
)
def test_a_missing_variable_is_named(launcher, given, message, environment):
    environment(**given)
    with pytest.raises(InputError, match=message):
        join_processes(launcher, "gloo")


def test_each_process_needs_a_gpu(environment, monkeypatch):
    environment(LOCAL_RANK="2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="process 2 of this machine has no GPU: it has 2"):
        take_gpu()


def test_other_errors_are_no_lost_process():
    assert lost_process(RuntimeError("gloo: connection closed")) is None, "no process is joined"
    assert lost_process(None) is None


@pytest.mark.slow
def test_a_lost_process_is_noticed_at_once(tmp_path):
    (message, bug, seconds), lost = on_processes(2, tmp_path / "run", leave_without_a_word)
    assert lost is None and bug is None
    assert "Connection" in message and "gloo" not in message
    assert seconds < 30


@pytest.mark.slow
def test_one_of_three_processes_reports(tmp_path):
    answers = on_processes(3, tmp_path / "run", ask_who_reports)
    assert sorted(answers) == [[False, False], [False, False], [True, False]]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes")
def test_cores_that_the_process_may_not_use_do_not_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


def test_without_affinity_the_machines_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t: fpu avx512_bf16 avx512_vnni", True),
        ("flags\t: fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t: fpu avx512bw\nmodel name\t: a bf16 CPU", False),
    ],
)
def test_instructions_for_bf16_are_found(tmp_path, line, has):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert cpu_has_bf16(tmp_path / "cpuinfo") is has
    assert not cpu_has_bf16(tmp_path / "absent")
