"""Options of a training: trackers, an early stop, averaged weights."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend

from mmproscale.errors import InputError
from mmproscale.training import run_options
from mmproscale.training.run_options import (
    TRACKERS,
    EarlyStopHook,
    add_tracker,
    average_weights,
    show_in_trackers,
    stop_early,
)
from mmproscale.utils.config import load_config


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_is_a_backend_next_to_the_local_one(monkeypatch, name):
    monkeypatch.setattr(run_options, "find_spec", lambda package: object())
    for config in (load_config("m2f_r18_shapes"), Config({})):
        add_tracker(config, name)
        add_tracker(config, name)
        backends = [one["type"] for one in config.visualizer.vis_backends]
        assert backends == ["LocalVisBackend", TRACKERS[name][0]]
        assert VISBACKENDS.get(backends[1]) is not None


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(run_options, "find_spec", lambda package: None)
    with pytest.raises(InputError, match="--tracker wandb needs its package: pip install wandb"):
        add_tracker(Config({}), "wandb")


def test_pictures_go_to_trackers_only(tmp_path):
    shown = []
    tracker = SimpleNamespace(add_image=lambda *picture, step: shown.append((*picture, step)))
    backends = {"local": LocalVisBackend(str(tmp_path)), "tracker": tracker}
    runner = SimpleNamespace(iter=7, visualizer=SimpleNamespace(_vis_backends=backends))
    picture = np.zeros((2, 2, 3), np.uint8)
    show_in_trackers(runner, "validation", picture)
    ((name, sent, step),) = shown
    assert (name, step) == ("validation", 7) and sent is picture


@pytest.mark.parametrize("key", ["universal/PQ", "mIoU", "coco/bbox_mAP"])
def test_training_ends_without_a_better_figure(key):
    loop = SimpleNamespace(stop_training=False)
    runner = SimpleNamespace(train_loop=loop, logger=SimpleNamespace(info=lambda text: None))
    hook = EarlyStopHook(patience=2)
    stopped = []
    for value in (10.0, 12.0, 11.0, 12.5, 12.4, 12.4):
        hook.after_val_epoch(runner, {"universal/SQ": 1.0, key: value})
        stopped.append(loop.stop_training)
    assert stopped == [False] * 5 + [True]


def test_an_early_stop_needs_a_figure():
    with pytest.raises(InputError, match=r"needs one of PQ, mIoU.*the metrics are loss"):
        EarlyStopHook().after_val_epoch(SimpleNamespace(), {"loss": 1.0})


def test_options_keep_the_hooks_of_the_config():
    config = Config({"custom_hooks": [{"type": "Own"}]})
    stop_early(config, 3)
    average_weights(config, 0.01)
    assert [hook["type"] for hook in config.custom_hooks] == [
        "Own",
        "mmproscale.EarlyStopHook",
        "EMAHook",
    ]
