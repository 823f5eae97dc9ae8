"""DistributedDataParallel on CPUs: batch norms over all processes, configs for it, and FSDP."""

import pytest
import torch
from helpers.batch_norms import SHARES, batch_norm, four_maps, normalise_a_share, normalised
from helpers.gloo import on_processes
from mmengine.config import Config

from mmproscale.training.parallel import train_on_cpus


@pytest.mark.slow
def test_batch_norms_are_over_all_processes(tmp_path):
    kinds = [{}, dict(momentum=None), dict(affine=False)]
    answers = on_processes(2, tmp_path / "run", normalise_a_share, kinds)
    for number, options in enumerate(kinds):
        whole = normalised(batch_norm(torch.nn.BatchNorm2d, **options), four_maps())
        for share, answer in zip(SHARES, answers, strict=True):
            for expected, found in zip(whole, answer[number], strict=True):
                expected, found = torch.tensor(expected), torch.tensor(found)
                of_images = expected.dim() == 4
                torch.testing.assert_close(found, expected[share] if of_images else expected)


@pytest.mark.parametrize(
    ("given", "key", "expected"),
    [
        (
            dict(find_unused_parameters=True),
            "model_wrapper_cfg",
            dict(
                type="mmproscale.CPUDistributedDataParallel",
                broadcast_buffers=False,
                find_unused_parameters=True,
            ),
        ),
        (
            dict(model_wrapper_cfg=dict(type="MMDistributedDataParallel", static_graph=True)),
            "model_wrapper_cfg",
            dict(type="mmproscale.CPUDistributedDataParallel", static_graph=True),
        ),
        (
            dict(model_wrapper_cfg=dict(type="Mine")),
            "model_wrapper_cfg",
            dict(type="Mine"),
        ),
        (
            dict(strategy=dict(type="FSDPStrategy")),
            "strategy",
            dict(type="FSDPStrategy", model_wrapper=dict(device_id="cpu")),
        ),
        (
            dict(strategy=dict(type="DDPStrategy")),
            "strategy",
            dict(
                type="DDPStrategy",
                model_wrapper=dict(
                    type="mmproscale.CPUDistributedDataParallel", broadcast_buffers=False
                ),
            ),
        ),
    ],
)
def test_a_config_for_cpus(given, key, expected):
    config = Config(dict(given, env_cfg=dict(dist_cfg=dict(backend="nccl"), cudnn_benchmark=True)))
    train_on_cpus(config)
    assert config[key] == expected
    assert config.env_cfg == dict(dist_cfg=dict(backend="gloo"), cudnn_benchmark=True)
