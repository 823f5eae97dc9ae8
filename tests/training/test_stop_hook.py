"""SIGTERM and Ctrl-C during a training, sent to real processes at chosen and random moments."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.stopped_commands import NAME, STATUS, Command, children_of, left

from mmproscale.checkpoints.read_checkpoint import load_checkpoint

LAUNCH = Path(__file__).resolve().parents[2] / "tools" / "launch.py"
# Fifty by hand: STOPS=50 pytest tests/training/test_stop_hook.py
STOPS = int(os.environ.get("STOPS", "5"))

pytestmark = pytest.mark.slow

TRAINING = """
import sys
from mmproscale.cli.command_line import command_line
@command_line
def main():
    print("begins", flush=True)
    from helpers.stoppable_training import train
    train(*sys.argv[1:])
main()
"""


def training(work_dir: Path, **options: object) -> Command:
    return Command("-c", TRAINING, str(work_dir), json.dumps(options))


def saved_step(work_dir: Path) -> int:
    """Check that one whole checkpoint is there, and return its iteration."""
    (file,) = work_dir.glob("*.pth")
    assert (work_dir / "last_checkpoint").read_text() == str(file)
    step = load_checkpoint(file)["meta"]["iter"]
    assert file.name == f"iter_{step}.pth"
    return step


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_training_saves_its_step_and_leaves(tmp_path, number, workers):
    command = training(tmp_path, workers=workers)
    command.wait_for("step 3")
    children = children_of(command)
    command.stop(number)
    status, error = command.end()
    step = saved_step(tmp_path)
    assert status == STATUS[number] and step >= 3 and len(children) == workers
    file = tmp_path / f"iter_{step}.pth"
    assert error == (
        f"stopped by {NAME[number]}: {file} is saved, and --resume continues from it\n"
    )
    assert not left(children)


@pytest.mark.parametrize("moment", ["step 4", "batch 3"])
def test_a_stopped_and_resumed_run_equals_an_unbroken_one(tmp_path, moment):
    options = dict(steps=12, val_interval=6)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    first, second = training(unbroken, pause=0, **options), training(broken, **options)
    second.wait_for(moment)
    second.stop(signal.SIGTERM)
    assert second.end()[0] == 143 and first.end()[0] == 0
    step = saved_step(broken)
    assert step < 12 and (moment != "batch 3" or step == 6)
    assert training(broken, pause=0, resume=True, **options).end()[0] == 0
    (wanted, found) = (load_checkpoint(one / "iter_12.pth") for one in (unbroken, broken))
    for part in ("state_dict", "ema_state_dict"):
        for name, weight in wanted[part].items():
            assert torch.equal(weight, found[part][name]), (part, name)


def test_gradients_that_are_accumulated_are_used_before_the_run_leaves(tmp_path):
    command = training(tmp_path, accumulate=4, pause=0.2)
    command.wait_for("step 5")
    command.stop(signal.SIGTERM)
    assert command.end()[0] == 143 and saved_step(tmp_path) % 4 == 0


def test_a_run_that_counts_epochs_continues_within_its_epoch(tmp_path):
    command = training(tmp_path, epochs=100)
    command.wait_for("step 11")  # eight make an epoch
    command.stop(signal.SIGTERM)
    status, error = command.end()
    step = saved_step(tmp_path)
    assert status == 143 and error.endswith(" is saved, and --resume continues from it\n")
    epochs = step // 8 + 1
    assert training(tmp_path, epochs=epochs, pause=0, resume=True).end()[0] == 0
    assert load_checkpoint(tmp_path / f"epoch_{epochs}.pth")["meta"]["iter"] == 8 * epochs


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    command = training(tmp_path, pause=60, workers=2)
    command.wait_for("step 1")
    children = children_of(command)
    command.stop(signal.SIGINT)
    time.sleep(0.5)
    assert command.process.poll() is None, "the step is not at its end"
    command.stop(signal.SIGINT)
    assert command.end(timeout=5) == (130, "stopped by Ctrl-C\n")
    assert not left(children) and not list(tmp_path.glob("*.pth"))


def test_a_second_sigterm_does_not_cut_saving_short(tmp_path):
    command = training(tmp_path, pause=1)
    command.wait_for("step 1")
    command.stop(signal.SIGTERM)
    time.sleep(0.3)
    command.stop(signal.SIGTERM)
    assert command.end()[0] == 143 and saved_step(tmp_path) >= 1


def test_training_is_stopped_at_random_moments(tmp_path):
    """While it imports, sets up, trains, validates and saves."""
    draw, faults = random.Random(0), []
    for count in range(STOPS):
        work_dir, number = tmp_path / str(count), draw.choice(list(STATUS))
        command = training(work_dir, workers=2, val_interval=3, pause=0.01, steps=10**6)
        command.wait_for("begins")
        time.sleep(15 * draw.random())
        command.stop(number)
        status, error = command.end()
        loads = [load_checkpoint(file) for file in work_dir.glob("*.pth")]
        if (status, error.count("\n")) != (STATUS[number], 1) or len(loads) > 1:
            faults.append((status, error))
    print(f"{STOPS} stops of a training: {len(faults)} with a trace or another exit status")
    assert faults == []


@pytest.mark.parametrize("launcher", [["-m", "torch.distributed.run"], [str(LAUNCH)]])
def test_processes_of_torchrun_save_once_and_leave_together(tmp_path, launcher):
    options = [str(tmp_path), json.dumps({"workers": 1})]
    start = [*launcher, "--nproc-per-node=2", "--no-python", sys.executable, "-c", TRAINING]
    command = Command(*start, *options)
    command.wait_for("step 3")
    command.stop(signal.SIGTERM, group=False)
    status, error = command.end()
    step = saved_step(tmp_path)
    line = (
        f"stopped by SIGTERM: {tmp_path}/iter_{step}.pth is saved, and --resume continues from it"
    )
    assert [said for said in error.splitlines() if said.startswith("stopped by")] == [line]
    if launcher == [str(LAUNCH)]:
        assert status == 143 and error.endswith(f"{line}\n")


def test_a_process_that_still_validates_saves_without_those_that_are_done(tmp_path):
    options = json.dumps({"val_interval": 3, "pause": 0, "first_waits": 3})
    start = [str(LAUNCH), "--nproc-per-node=2", "--no-python", sys.executable, "-c", TRAINING]
    command = Command(*start, str(tmp_path), options)
    command.wait_for("batch 3")  # of the second process, which then waits for the first
    command.stop(signal.SIGTERM, group=False)
    assert command.end(timeout=60)[0] == 143 and saved_step(tmp_path) == 3
    assert len(load_checkpoint(tmp_path / "iter_3.pth")["random_states"]) == 2
