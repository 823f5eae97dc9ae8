"""A resume says what it continues, applies or refuses a changed schedule, and keeps its numbers."""

import logging

import pytest
import torch
from helpers.toy_training import toy_runner
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError
from mmproscale.training.random_states import random_state
from mmproscale.training.resume_hook import ConfigSchedule, ResumeHook, training_random_states

WARM_UP = dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=3)
COSINE = dict(type="CosineAnnealingLR", by_epoch=False, begin=3, end=40, T_max=37)
STEPS = dict(type="MultiStepLR", by_epoch=False, milestones=[2, 9], gamma=0.1)
EPOCHS = dict(type="ExponentialLR", by_epoch=True, gamma=0.5)
ONE_CYCLE = dict(type="OneCycleLR", eta_max=0.1, total_steps=50, by_epoch=False)
PLATEAU = dict(type="ReduceOnPlateauLR", monitor="loss")
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
    assert torch.equal(training_random_states(runner)[0]["torch"], before["torch"])
    hook.after_val_epoch(runner)
    assert torch.equal(torch.get_rng_state(), before["torch"])
    torch.rand(3)
    assert torch.equal(training_random_states(runner)[0]["torch"], torch.get_rng_state())


def test_each_checkpoint_to_resume_has_a_state_of_each_process(tmp_path):
    runner_of(tmp_path, 2).train()
    (state,) = load_checkpoint(tmp_path / "iter_2.pth")["random_states"]
    assert {"python", "numpy", "torch"} <= state.keys()


class Run:
    """Parts of a runner that a schedule uses."""

    def __init__(self, schedulers, lr=0.1, decay=0.01, max_iters=40, loop=IterBasedTrainLoop):
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
        groups = [dict(params=[w], lr=lr * (1 + n % 2)) for n, w in enumerate(weights)]
        optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=decay)
        self.optim_wrapper = OptimWrapper(optimizer)
        self.param_schedulers = [
            PARAM_SCHEDULERS.build(dict(s, optimizer=self.optim_wrapper)) for s in schedulers
        ]
        self.iter, self.max_iters, self.max_epochs = 0, max_iters, 1
        self.train_loop, self.train_dataloader = loop.__new__(loop), range(4)

    def train(self, iterations):
        for _ in range(iterations):
            self.optim_wrapper.optimizer.step()
            self.iter += 1
            for scheduler in self.param_schedulers:
                epoch_ends = isinstance(self.train_loop, EpochBasedTrainLoop) and not self.iter % 4
                if not scheduler.by_epoch or epoch_ends:
                    scheduler.step()
        return self

    def checkpoint(self):
        return dict(
            message_hub=dict(runtime_info=dict(max_iters=self.max_iters, max_epochs=1)),
            optimizer=self.optim_wrapper.state_dict(),
            param_schedulers=[s.state_dict() for s in self.param_schedulers],
        )

    def rates(self):
        return [group["lr"] for group in self.optim_wrapper.param_groups]


def resumed(new, old):
    """Return the run with the checkpoint's optimizer and iteration, and its schedule."""
    schedule = ConfigSchedule(new)
    new.optim_wrapper.load_state_dict(old.checkpoint()["optimizer"])
    new.iter = old.iter
    return schedule


@pytest.mark.parametrize("loop", [IterBasedTrainLoop, EpochBasedTrainLoop])
@pytest.mark.parametrize(
    "schedulers",
    [[], [WARM_UP, COSINE], [WARM_UP, STEPS], [STEPS, EPOCHS], [ONE_CYCLE]],
    ids=["none", "cosine", "steps", "epochs", "one cycle"],
)
def test_the_new_schedule_is_that_of_a_run_from_the_start(schedulers, loop):
    old = Run([dict(COSINE, end=10, T_max=7)], lr=0.3, max_iters=10).train(9)
    new = Run(schedulers, decay=0.2, loop=loop)
    resumed(new, old).apply(new)
    expected = Run(schedulers, decay=0.2, loop=loop).train(9)
    assert new.rates() == expected.rates()
    assert {group["weight_decay"] for group in new.optim_wrapper.param_groups} == {0.2}
    assert new.train(20).rates() == expected.train(20).rates()


def test_an_unchanged_schedule_has_no_differences():
    old = Run([WARM_UP, COSINE, EPOCHS, ONE_CYCLE]).train(6)
    assert not ConfigSchedule(Run([WARM_UP, COSINE, EPOCHS, ONE_CYCLE])).differences(
        old.checkpoint()
    )


@pytest.mark.parametrize(
    ("schedulers", "options", "named"),
    [
        ([WARM_UP, COSINE], dict(max_iters=80), ["max_iters: 40 -> 80"]),
        ([WARM_UP, COSINE], dict(decay=0.05), ["weight_decay: 0.01 -> 0.05"]),
        (
            [WARM_UP, COSINE],
            dict(lr=0.2),
            ["initial_lr: 0.1 -> 0.2", "initial_lr: 0.2 -> 0.4"],
        ),
        ([WARM_UP, dict(COSINE, end=41)], {}, ["CosineAnnealingLR.end: 40 -> 41"]),
        ([WARM_UP], {}, ["param_schedulers: 2 -> 1"]),
        ([WARM_UP, STEPS], {}, ["param_schedulers: another one -> MultiStepLR"]),
    ],
)
def test_differences_are_named(schedulers, options, named):
    old = Run([WARM_UP, COSINE]).train(6)
    assert ConfigSchedule(Run(schedulers, **options)).differences(old.checkpoint()) == named


def test_milestones_are_named():
    old = Run([STEPS]).train(1).checkpoint()
    new = ConfigSchedule(Run([dict(STEPS, milestones=[4, 9])]))
    assert new.differences(old) == ["MultiStepLR.milestones: [2, 9] -> [4, 9]"]


def test_a_schedule_by_a_metric_keeps_its_state():
    old = Run([PLATEAU]).train(0)
    new = Run([PLATEAU], lr=0.2)
    new.param_schedulers[0].load_state_dict(dict(num_bad_epochs=3))
    resumed(new, old).apply(new)
    assert new.param_schedulers[0].num_bad_epochs == 3
    assert new.rates()[:3] == [0.2, 0.4, 0.2]


@pytest.mark.parametrize(
    "checkpoint", [{}, dict(message_hub=3), dict(optimizer=[1], param_schedulers={"a": 1})]
)
def test_other_forms_have_no_differences(checkpoint):
    assert ConfigSchedule(Run([STEPS])).differences(checkpoint) == []
