"""Infinity and NaN stop a run in one line, before a weight or a checkpoint has them."""

import copy
import math
import re
from types import SimpleNamespace

import pytest
import torch
from helpers.extent import all_or
from helpers.families import BUILDERS, inputs_of
from helpers.toy_training import ToyModel, toy_runner
from mmdet.models.task_modules.assigners import CrossEntropyLossCost
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError
from mmproscale.models.criterion import matching
from mmproscale.training.finite_numbers import FiniteNumbersHook, non_finite_source

FAMILIES = all_or(("PRO-SCALE", "PEM semantic", "DINO"), tuple(BUILDERS))
CROSS_ENTROPY = "mean_cross_entropy"
NAN = float("nan")
BATCH = dict(inputs=torch.ones(2, 3))
FINITE = dict(type="mmproscale.FiniteNumbersHook")


class Training:
    """A family's model, with the hook, and what its `train_step` needs."""

    def __init__(self, family, folder):
        torch.manual_seed(0)
        self.model = BUILDERS[family]().train()
        images, samples = inputs_of(self.model)
        for number, sample in enumerate(samples):
            sample.set_metainfo(dict(img_id=70 + number, img_path=f"{number}.jpg"))
        self.batch = dict(inputs=images, data_samples=samples)
        # The batch is ready; what is tested comes after the preprocessing.
        self.model.data_preprocessor = Unchanged()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4)
        self.wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=0.1))
        (folder / "last_checkpoint").write_text("good/iter_6.pth")
        runner = SimpleNamespace(
            model=self.model, optim_wrapper=self.wrapper, iter=6, work_dir=folder, _load_from=None
        )
        hook = FiniteNumbersHook()
        hook.before_train(runner)
        hook.before_train_iter(runner, 6, self.batch)

    def inputs(self):
        batch = copy.deepcopy(self.batch)
        return batch["inputs"], batch["data_samples"]

    def step(self):
        return self.model.train_step(copy.deepcopy(self.batch), optim_wrapper=self.wrapper)

    def fault(self):
        """Return the error of a step that is stopped, and see that it has changed no weight."""
        before = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        with pytest.raises(InputError) as caught:
            self.step()
        assert all(torch.equal(p, before[name]) for name, p in self.model.named_parameters())
        message = str(caught.value)
        assert "\n" not in message
        for part in (
            "iteration 7: ",
            "images 70 '0.jpg', 71 '1.jpg'",
            "learning rate 0.0003",
            "last good checkpoint: good/iter_6.pth",
        ):
            assert part in message, message
        return message


class Unchanged(torch.nn.Module):
    def forward(self, data, training):
        return copy.deepcopy(data)


def poison(module, value):
    """Have a module's first output hold ``value`` at one place."""

    def change(module, inputs, output):
        first = output[0] if isinstance(output, (tuple, list)) else output
        changed = first.clone()
        changed.view(-1)[5] = value
        return type(output)([changed, *output[1:]]) if first is not output else changed

    return module.register_forward_hook(change)


def first_named(model, *ends):
    return next((n, m) for n, m in model.named_modules() if n.rpartition("head.")[2] in ends)


def features(training):
    for value in (NAN, math.inf):
        handle = poison(training.model.backbone, value)
        assert "(first in the output of backbone)" in training.fault()
        handle.remove()
    return 2


def logits(training):
    name, module = first_named(training.model, "cls_embed", "cls_branches.0", "fc_cls")
    handle = poison(module, NAN)
    assert f"(first in the output of {name})" in training.fault()
    handle.remove()
    return 1


def costs(training):
    heads = ("bbox_head", "panoptic_head", "decode_head")
    head = next(getattr(training.model, name) for name in heads if hasattr(training.model, name))
    owner = head.assigner if hasattr(head, "assigner") else head.criterion
    for kind in {type(cost) for cost in owner.match_costs}:
        # Our criterion computes this cost in another form.
        place = (
            (kind, "__call__") if kind is not CrossEntropyLossCost else (matching, CROSS_ENTROPY)
        )
        with pytest.MonkeyPatch.context() as patch:
            call = getattr(*place)
            patch.setattr(*place, lambda *a, call=call, **more: call(*a, **more) + NAN)
            assert f"matching cost {kind.__name__}" in training.fault()
    return len(owner.match_costs)


def each_loss(training):
    loss = training.model.loss
    terms = [name for name in loss(*training.inputs()) if "loss" in name]
    assert len(terms) > 2
    terms = all_or(terms[::5], terms)
    for number, name in enumerate(terms):
        value = (NAN, math.inf)[number % 2]

        def poisoned(*args, name=name, value=value):
            losses = loss(*args)
            part = losses[name]
            wrong = part[:-1] + [part[-1] + value] if isinstance(part, list) else part + value
            return losses | {name: wrong}

        training.model.loss = poisoned
        found = re.match(r"iteration 7: (\S+) is (nan|inf); images", training.fault())
        assert found and found[1] == name
    training.model.loss = loss
    return len(terms)


def gradients(training):
    name, parameter = list(training.model.named_parameters())[-1]
    handle = parameter.register_hook(lambda grad: grad * NAN)
    assert f"the gradient of {name} is not finite" in training.fault()
    handle.remove()
    training.wrapper.zero_grad()
    return 1


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_each_injected_number_is_named(family, tmp_path):
    training = Training(family, tmp_path)
    injected = {f.__name__: f(training) for f in (features, logits, costs, each_loss, gradients)}
    print(f"non-finite injected: {family}: {injected}: each named; no weight changed")
    assert all(torch.isfinite(v) for v in training.step().values())


class Diverging(ToyModel):
    """A model whose loss is infinite from a step on."""

    count = 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.count += 1
        found = super().forward(inputs, data_samples, mode)
        return {"loss": found["loss"] / (self.count < 4)} if mode == "loss" else found


def test_the_last_checkpoint_stays_where_a_loss_is_infinite(tmp_path):
    checkpoint = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=1)
    checkpoint |= dict(max_keep_ckpts=1)
    hooks = [FINITE]
    runner = toy_runner(tmp_path, 6, model=Diverging(), checkpoint=checkpoint, custom_hooks=hooks)
    with pytest.raises(InputError, match=rf"iteration 4: loss is inf; .*{tmp_path}/iter_3\.pth\."):
        runner.train()
    assert [file.name for file in tmp_path.glob("*.pth")] == ["iter_3.pth"]
    weights = load_checkpoint(tmp_path / "iter_3.pth")["state_dict"]
    assert all(weight.isfinite().all() for weight in weights.values())


class Spoil(Hook):
    """Hook that writes NaN into a weight, or a state, after step 3."""

    def __init__(self, spoil):
        self.spoil = spoil

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 2:
            self.spoil(runner).data.view(-1)[0] = NAN


def _weight(runner):
    return runner.model.linear.weight


def _average(runner):
    return next(h for h in runner.hooks if hasattr(h, "ema_model")).ema_model.module.linear.bias


def _moment(runner):
    return runner.optim_wrapper.optimizer.state[runner.model.linear.weight]["exp_avg"]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_weight, r"\(ema_state_dict\.module\.linear\.weight\)"),
        (_average, r"\(state_dict\.linear\.bias\)"),
        (_moment, r"\(optimizer\.state\.0\.exp_avg\)"),
    ],
)
def test_no_checkpoint_holds_a_number_that_is_not_finite(tmp_path, spoil, named):
    checkpoint = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=1)
    hooks = [FINITE, dict(type="EMAHook"), Spoil(spoil)]
    runner = toy_runner(tmp_path, 6, checkpoint=checkpoint, custom_hooks=hooks)
    with pytest.raises(
        InputError, match=rf"no checkpoint is saved at iteration 3.* 1 of .*{named}"
    ):
        runner.train()
    assert sorted(file.name for file in tmp_path.glob("*.pth")) == ["iter_1.pth", "iter_2.pth"]
    assert (tmp_path / "last_checkpoint").read_text().endswith("iter_2.pth")


def test_a_buffer_that_is_infinite_from_the_start_is_saved(tmp_path):
    model = ToyModel()
    model.register_buffer("mask", torch.full((2,), -math.inf))
    toy_runner(tmp_path, 2, model=model, custom_hooks=[FINITE]).train()
    assert (tmp_path / "iter_2.pth").is_file()


class Scaled(OptimWrapper):
    """A wrapper that skips steps as in mixed precision."""

    loss_scaler = True

    def step(self, **kwargs):
        pass


@pytest.mark.parametrize("finite_step", [None, 4])
def test_many_skipped_steps_in_a_row_stop_mixed_precision(finite_step, tmp_path):
    model = ToyModel()
    wrapper = Scaled(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(
        model=model, optim_wrapper=wrapper, iter=0, work_dir=tmp_path, _load_from=None
    )
    hook = FiniteNumbersHook(skipped_steps=5)
    hook.before_train(runner)
    for number in range(1, 9):
        value = 1.0 if number == finite_step else NAN
        model.linear.weight.grad = torch.full_like(model.linear.weight, value)
        stops = number == (5 if finite_step is None else finite_step + 5)
        if stops:
            with pytest.raises(
                InputError, match=r"linear\.weight is not finite, for 5 steps in a row"
            ):
                wrapper.step()
            break
        wrapper.step()


def test_the_logs_numbers_are_unchanged():
    model = ToyModel()
    parsed = model.parse_losses({"loss_a": torch.tensor(0.1), "acc": torch.tensor(NAN)})
    runner = SimpleNamespace(
        model=model, optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    )
    FiniteNumbersHook().before_train(runner)
    total, terms = model.parse_losses({"loss_a": torch.tensor(0.1), "acc": torch.tensor(NAN)})
    assert total == parsed[0] and list(terms) == list(parsed[1])
    assert terms["loss_a"] == parsed[1]["loss_a"] and terms["acc"].isnan()


class Net(BaseModel):
    """Two layers; ``wrong`` makes the first one's output NaN."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.wrong = wrong
        self.first = torch.nn.Sequential(torch.nn.Linear(3, 3), Scale(NAN if wrong else 1.0))
        self.second = torch.nn.Linear(3, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss": self.second(self.first(inputs)).mean()}


class Scale(torch.nn.Module):
    """A factor, without weights; returns parts as models do."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def source(model, batch=BATCH):
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    return non_finite_source(model, wrapper, batch)


def test_the_first_output_is_named():
    assert source(Net(wrong=True)) == "the output of first.1"


def test_a_weight_is_named():
    model = Net()
    model.second.bias.data[0] = NAN
    assert source(model) == "the weight second.bias"


@pytest.mark.parametrize("batch", [BATCH, None, dict(inputs="text")])
def test_without_a_source_nothing_is_named_and_no_hook_stays(batch):
    model = Net()
    assert source(model, batch) == ""
    assert not any(module._forward_hooks for module in model.modules())
