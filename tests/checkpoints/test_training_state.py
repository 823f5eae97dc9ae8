"""A run resumes only from state of its own form: counters, logs, schedulers, averages."""

import copy
from collections import Counter

import pytest
import torch
from helpers.toy_training import ToyModel, toy_runner

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.training_state import check_training_state
from mmproscale.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained run, and the content of its checkpoint."""
    runner = toy_runner(
        tmp_path_factory.mktemp("trained"), custom_hooks=[dict(type="EMAHook")], max_iters=4
    )
    runner.train()
    return runner, load_checkpoint(f"{runner.work_dir}/iter_4.pth")


def check(trained, change=lambda content: None) -> dict:
    runner, content = trained[0], copy.deepcopy(trained[1])
    change(content)
    state = (runner.optim_wrapper, runner.param_schedulers)
    check_training_state(content, "file.pth", runner.model, *state)
    return content


def put(*keys_and_value):
    *path, last, value = keys_and_value

    def change(content: dict) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


def test_real_state_passes(trained):
    content = check(trained)
    assert type(content["param_schedulers"][1]["milestones"]) is Counter


@pytest.mark.parametrize(
    "lacking", [["message_hub"], ["optimizer", "param_schedulers"], ["message_hub", "optimizer"]]
)
def test_what_is_missing_is_said(trained, lacking):
    def change(content: dict) -> None:
        for key in lacking:
            content.pop(key)

    with pytest.raises(InputError, match=f"file.pth has no {', '.join(lacking)}: no training can"):
        check(trained, change)


HUB, INFO = "message_hub", ("message_hub", "runtime_info")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("meta", "iter", -1), r"meta\.iter -1, no number from 0"),
        (put("meta", "iter", 2.0), r"meta\.iter 2\.0"),
        (put("meta", "epoch", True), r"meta\.epoch True"),
        (put("meta", "epoch", None), r"meta\.epoch None"),
        (put("meta", "seed", "1"), r"meta\.seed '1'"),
        (put(HUB, []), "message_hub without a dict 'log_scalars'"),
        (put(HUB, "resumed_keys", [1]), "message_hub without a dict 'resumed_keys'"),
        (put(HUB, "log_scalars", "train/loss", [1.0]), "train/loss .*, no history"),
        (put(HUB, "resumed_keys", "train/loss", 2), "no yes or no"),
        (put(*INFO, "iter", "4"), r"runtime_info\.iter '4', no number from 0"),
        (put(*INFO, "best_score", float("nan")), "best_score nan, no finite number"),
        (put(*INFO, "best_ckpt_coco", ["/"]), "best_ckpt_coco .*, no path"),
        (put(*INFO, "keep_ckpt_ids", ["../a"]), "keep_ckpt_ids .*, no list of numbers"),
        (put(*INFO, "outdated_ckpts", [3]), "outdated_ckpts .*, no list of names"),
        (put("optimizer", "state", 0, "exp_avg", torch.zeros(7)), r"optimizer with state\[0\]"),
        (put("param_schedulers", []), "0 param_schedulers, and the run has 3"),
        (
            put("param_schedulers", 0, "step", print),
            r"param_schedulers\[0\] with an unknown 'step'",
        ),
        (put("param_schedulers", 0, "last_step", -2), "last_step -2"),
        (put("param_schedulers", 0, "total_iters", 0), "total_iters 0"),
        (put("param_schedulers", 0, "base_values", [1.0, 2.0]), "base_values"),
        (put("param_schedulers", 0, "_last_value", [float("inf")]), "_last_value"),
        (put("param_schedulers", 0, "by_epoch", 1), "by_epoch 1, and the run has False"),
        (put("param_schedulers", 1, "milestones", {3: "a"}), "milestones"),
        (put("param_schedulers", 2, "anneal_func", "a"), "anneal_func 'a'"),
        (put("param_schedulers", 2, "_schedule_phases", [{}, {}]), "_schedule_phases"),
    ],
)
def test_wrong_state_is_named(trained, change, message):
    with pytest.raises(InputError, match=message) as caught:
        check(trained, change)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("file.pth holds ") and "load_from" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("ema_state_dict", "steps", torch.tensor(-1)), "steps is no number from 0"),
        (put("ema_state_dict", "module.linear.bias", torch.zeros(9)), "1 of another shape"),
        (lambda c: c["ema_state_dict"].pop("module.linear.bias"), "1 of 2 parameters missing"),
        (lambda c: c["state_dict"].pop("linear.bias"), "ema_state_dict has linear.bias, and"),
    ],
)
def test_wrong_averages_are_named(trained, change, message):
    with pytest.raises(InputError, match=message):
        check(trained, change)


def test_a_checkpoint_of_weights_does_not_resume(tmp_path):
    file = tmp_path / "gate.pth"
    torch.save({"state_dict": ToyModel().state_dict(), "meta": {"early_exit": {}}}, file)
    hooks = [dict(type="mmproscale.CheckpointMatchHook")]
    runner = toy_runner(tmp_path / "run", resume=True, load_from=str(file), custom_hooks=hooks)
    with pytest.raises(InputError, match=r"gate\.pth has no message_hub, optimizer, param_sched"):
        runner.train()


def test_a_checkpoint_from_beyond_the_end_does_not_resume(trained, tmp_path):
    hooks = [dict(type="mmproscale.CheckpointMatchHook")]
    file = f"{trained[0].work_dir}/iter_4.pth"
    options = dict(resume=True, load_from=file, custom_hooks=hooks, max_iters=3)
    with pytest.raises(InputError, match=r"iter_4\.pth is at iter 4, and this training ends at 3"):
        toy_runner(tmp_path, **options).train()
