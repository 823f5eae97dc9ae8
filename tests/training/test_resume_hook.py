"""A resume says what it continues, applies or refuses a changed schedule, and keeps its numbers."""

import logging

import pytest
import torch
from helpers.toy_training import toy_runner

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError
from mmproscale.training.random_states import random_state
from mmproscale.training.resume_hook import ResumeHook, training_random_state

CHECKPOINT = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=2)


def runner_of(folder, max_iters, resume=False, changed="apply", **options):
    cosine = dict(type="CosineAnnealingLR", by_epoch=False, eta_min=0, end=max_iters)
    hooks = [dict(type="mmproscale.ResumeHook", changed_schedule=changed)]
    settings = dict(checkpoint=CHECKPOINT, custom_hooks=hooks, param_scheduler=cosine)
    return toy_runner(folder, max_iters, resume=resume, **(settings | options))


@pytest.fixture
def said(monkeypatch):
    """Return the lines of the log."""
    lines = []
    monkeypatch.setattr(logging.Logger, "warning", lambda self, line, *a, **k: lines.append(line))
    monkeypatch.setattr(logging.Logger, "info", lambda self, line, *a, **k: lines.append(line))
    return lines


def rate(runner):
    return runner.optim_wrapper.param_groups[0]["lr"]


def test_more_iterations_follow_the_new_schedule(tmp_path, said):
    runner_of(tmp_path / "run", 4).train()
    whole = runner_of(tmp_path / "whole", 8)
    whole.train()
    longer = runner_of(tmp_path / "run", 8, resume=True)
    longer.train()
    assert rate(longer) == rate(whole)
    rates = [run.message_hub.get_scalar("train/lr").data[0].tolist() for run in (whole, longer)]
    assert rates[0][4:] == rates[1][4:] and len(rates[1]) == 8
    (line,) = [line for line in said if "schedule is not the checkpoint's" in line]
    for part in ("max_iters: 4 -> 8", "CosineAnnealingLR.end: 4 -> 8", "iteration 4 is 0.0005"):
        assert part in line
    assert "instead of 0" in line and "\n" not in line


def test_a_changed_schedule_is_refused_by_option(tmp_path):
    runner_of(tmp_path, 4).train()
    with pytest.raises(InputError, match=r"max_iters: 4 -> 8.*--changed-schedule apply"):
        runner_of(tmp_path, 8, resume=True, changed="refuse").train()
    runner_of(tmp_path, 4, resume=True, changed="refuse").train()


def test_an_unknown_choice_is_refused():
    with pytest.raises(InputError, match="changed_schedule='keep': it must be one of"):
        ResumeHook("keep")


def test_another_kind_of_schedule_is_taken(tmp_path):
    runner_of(tmp_path, 4).train()
    steps = dict(type="MultiStepLR", by_epoch=False, milestones=[3, 6], gamma=0.1)
    longer = runner_of(tmp_path, 8, resume=True, param_scheduler=[steps, steps])
    longer.train()
    assert rate(longer) == pytest.approx(1e-3 * 1e-4)


def test_a_finished_run_says_so(tmp_path, said):
    runner_of(tmp_path, 4).train()
    again = runner_of(tmp_path, 4, resume=True)
    again.train()
    assert again.iter == 4
    assert sum(line.startswith("Training is finished: iteration 4 of 4. To") for line in said) == 1


def test_nothing_to_resume_is_said(tmp_path, said):
    runner_of(tmp_path, 2, resume=True).train()
    assert any(f"no checkpoint in {tmp_path}; training starts" in line for line in said)


def test_a_checkpoint_without_random_states_is_resumed_with_a_warning(tmp_path, said):
    runner_of(tmp_path, 4).train()
    content = torch.load(tmp_path / "iter_4.pth", weights_only=False)
    del content["random_states"]
    torch.save(content, tmp_path / "iter_4.pth")
    runner_of(tmp_path, 6, resume=True).train()
    assert any("random states of 0 processes" in line for line in said)


def test_validation_keeps_the_random_state_of_training(tmp_path):
    runner = runner_of(tmp_path, 4)
    hook = next(hook for hook in runner.hooks if isinstance(hook, ResumeHook))
    before = random_state()
    hook.before_val(runner)
    torch.rand(3)
    assert torch.equal(training_random_state(runner)["torch"], before["torch"])
    hook.after_val_epoch(runner)
    assert torch.equal(torch.get_rng_state(), before["torch"])
    torch.rand(3)
    assert torch.equal(training_random_state(runner)["torch"], torch.get_rng_state())


def test_each_checkpoint_to_resume_has_a_state_of_each_process(tmp_path):
    runner_of(tmp_path, 2).train()
    (state,) = load_checkpoint(tmp_path / "iter_2.pth")["random_states"]
    assert {"python", "numpy", "torch"} <= state.keys()
