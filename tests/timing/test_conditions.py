"""Conditions of a measurement: what options set, and what is recorded."""

import sys
from argparse import ArgumentParser

import pytest
import torch
from mmcv.ops import multi_scale_deform_attn
from mmdet.models.backbones import ResNet
from mmdet.models.backbones.swin import SwinTransformer

from mmproscale.cli.command_line import add_measuring_options
from mmproscale.errors import InputError
from mmproscale.timing import conditions as conditions_module
from mmproscale.timing.conditions import (
    autocast,
    conditions,
    own_arguments,
    set_up,
    stock_attention,
)
from mmproscale.utils.processes import usable_cores


def options(*given):
    parser = ArgumentParser()
    add_measuring_options(parser)
    return parser.parse_args(given)


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        set_up(options("--threads", "3", "--no-memory"))
        assert torch.get_num_threads() == 3
        set_up(options("--no-memory"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--device cuda: PyTorch finds no GPU here"):
        set_up(options("--device", "cuda"))


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(InputError, match="precision fp16 is for GPUs"):
        set_up(options("--precision", "fp16", "--no-memory"))


@pytest.mark.parametrize(
    ("given", "dtype"), [((), torch.float32), (("--precision", "bf16"), torch.bfloat16)], ids=str
)
def test_autocast_only_in_half_precision(given, dtype):
    with autocast(options(*given)):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a.py", "--out", "x", "--batch"], ["a.py", "--batch"]),
        (["--out=x", "--output", "y"], ["--output", "y"]),
        (["--out"], []),
    ],
)
def test_the_command_is_without_the_option_for_results(monkeypatch, given, kept):
    monkeypatch.setattr(sys, "argv", ["tool.py", *given])
    assert own_arguments(without="--out") == kept


def test_the_record_names_machine_versions_precision_and_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool.py", "a b", "--json", "-"])
    record = conditions(options("--precision", "bf16"), "tools/tool.py", without="--json")
    assert record["command"] == "python tools/tool.py 'a b'"
    assert (record["device"], record["dtype"]) == ("cpu", "bfloat16")
    assert record["torch"] == torch.__version__ and record["mmdet"]
    assert record["machine"]["cores"] == usable_cores()
    assert record["machine"]["threads"] == torch.get_num_threads()
    assert conditions(options(), "a.py", without="--json")["dtype"] == "float32"


@pytest.mark.parametrize(
    ("gpu", "text"), [("H100", "2 x H100"), (None, "a CPU, 6 threads on 8 cores, no GPU")]
)
def test_a_machine_is_described_with_all_processes(monkeypatch, gpu, text):
    machine = {"cpu": "a CPU", "cores": 8, "threads": 3, "gpu": gpu}
    monkeypatch.setattr(conditions_module, "_processors", lambda: machine)
    monkeypatch.setattr(conditions_module, "get_world_size", lambda: 2)
    assert conditions_module.describe_machine() == text


def test_stock_modules_are_stock_within_the_block():
    ours = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch
    backbones = ResNet.forward, SwinTransformer.forward
    with stock_attention():
        assert not any(hasattr(kind.forward, "__wrapped__") for kind in (ResNet, SwinTransformer))
        assert multi_scale_deform_attn.multi_scale_deformable_attn_pytorch is ours.__wrapped__
    assert multi_scale_deform_attn.multi_scale_deformable_attn_pytorch is ours
    assert (ResNet.forward, SwinTransformer.forward) == backbones
