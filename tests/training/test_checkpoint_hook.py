"""A crash while a checkpoint is written loses neither the old one nor `last_checkpoint`.

A run removes only files of its own folder, and only those that it wrote.
"""

import errno
import os
from pathlib import Path

import pytest
import torch
from helpers.toy_training import ToyDataset, toy_runner
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.registry import METRICS

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import read_header
from mmproscale.errors import InputError
from mmproscale.training.checkpoint_hook import drop_foreign_files, left_behind
from mmproscale.utils import atomic_files
from mmproscale.utils.config import load_config


class CrashError(Exception):
    """Error that the tests raise in the middle of a write."""


@METRICS.register_module()
class RisingMetric(BaseMetric):
    """A score that is better each time."""

    count = 0

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict[str, float]:
        self.count += 1
        return {"acc": float(self.count)}


def runner_of(work_dir: Path, max_iters: int = 6, **hook):
    checkpoint = {
        "type": "mmproscale.AtomicCheckpointHook",
        "by_epoch": False,
        "interval": 2,
        "max_keep_ckpts": 1,
        **hook,
    }
    options = {"checkpoint": checkpoint}
    if "save_best" in hook:
        loader = {"dataset": ToyDataset(), "batch_size": 2, "sampler": {"type": "DefaultSampler"}}
        options |= {"val_dataloader": loader, "val_cfg": {}}
        options |= {"val_evaluator": {"type": "RisingMetric"}}
        options["train_cfg"] = {"by_epoch": False, "max_iters": max_iters, "val_interval": 2}
    return toy_runner(work_dir, max_iters, **options)


def files(folder: Path) -> set[str]:
    """Everything left in a folder but logs, hidden files too."""
    return {name for name in os.listdir(folder) if "pth" in name or "last" in name}


def write_half_of(number: int, monkeypatch, error: BaseException):
    """Make the `number`-th torch.save write a half of its bytes and raise."""
    save, count = torch.save, iter(range(1, 100))

    def crash(content, stream):
        if next(count) < number:
            return save(content, stream)
        stream.write(b"PK\x03\x04 half a file")
        raise error

    monkeypatch.setattr(torch, "save", crash)


def refuse_rename_of(number: int, monkeypatch):
    """Let the `number`-th rename fail as on a full disk, after the bytes were written."""
    replace, count = os.replace, iter(range(1, 100))

    def full(source, target):
        if next(count) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)


def check_resumable(work_dir: Path, step: int) -> None:
    last = (work_dir / "last_checkpoint").read_text()
    assert last == str(work_dir / f"iter_{step}.pth")
    assert load_checkpoint(last)["meta"]["iter"] == step


def test_keeps_as_many_as_asked(tmp_path):
    runner_of(tmp_path).train()
    assert files(tmp_path) == {"iter_6.pth", "last_checkpoint"}
    check_resumable(tmp_path, 6)


def test_best_and_last(tmp_path):
    runner_of(tmp_path, save_best="acc").train()
    assert files(tmp_path) == {"iter_6.pth", "best_acc_iter_6.pth", "last_checkpoint"}
    info = load_checkpoint(tmp_path / "iter_6.pth")["message_hub"]["runtime_info"]
    assert info["best_ckpt"] == str(tmp_path / "best_acc_iter_6.pth")


def test_a_best_checkpoint_of_the_same_name_survives(tmp_path):
    runner_of(tmp_path, save_best="acc", filename_tmpl="same.pth").train()
    assert "best_acc_same.pth" in files(tmp_path)


@pytest.mark.parametrize("error", [CrashError(), KeyboardInterrupt()])
def test_a_crash_in_torch_save(tmp_path, monkeypatch, error):
    write_half_of(2, monkeypatch, error)
    with pytest.raises(type(error)):
        runner_of(tmp_path).train()
    assert files(tmp_path) == {"iter_2.pth", "last_checkpoint"}
    check_resumable(tmp_path, 2)


def test_a_full_disk(tmp_path, monkeypatch):
    # Renames: iter_2, last_checkpoint, iter_4.
    refuse_rename_of(3, monkeypatch)
    with pytest.raises(InputError, match=r"iter_4\.pth cannot be written: No space left"):
        runner_of(tmp_path).train()
    assert files(tmp_path) == {"iter_2.pth", "last_checkpoint"}
    check_resumable(tmp_path, 2)


def test_a_full_disk_when_last_checkpoint_is_written(tmp_path, monkeypatch):
    refuse_rename_of(4, monkeypatch)
    with pytest.raises(InputError, match="last_checkpoint cannot be written"):
        runner_of(tmp_path).train()
    assert files(tmp_path) == {"iter_2.pth", "iter_4.pth", "last_checkpoint"}
    check_resumable(tmp_path, 2)


def test_a_crash_while_the_best_is_written(tmp_path, monkeypatch):
    # Saves: iter_2, best of 2, iter_2 again, iter_4, best of 4.
    write_half_of(5, monkeypatch, CrashError())
    with pytest.raises(CrashError):
        runner_of(tmp_path, save_best="acc").train()
    assert files(tmp_path) == {"iter_4.pth", "best_acc_iter_2.pth", "last_checkpoint"}
    check_resumable(tmp_path, 4)
    assert load_checkpoint(tmp_path / "best_acc_iter_2.pth")["meta"]["iter"] == 2


def test_resumes_after_a_crash(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        write_half_of(2, patch, CrashError())
        with pytest.raises(CrashError):
            runner_of(tmp_path).train()
    resumed = runner_of(tmp_path)
    resumed._resume = True
    resumed.train()
    assert files(tmp_path) == {"iter_6.pth", "last_checkpoint"}


def test_an_unwritable_folder_is_said_before_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    runner = runner_of(tmp_path / "work", out_dir=str(blocked))
    with pytest.raises(InputError, match="cannot be written to"):
        runner.train()
    assert runner.iter == 0


def test_the_averaged_weights_are_written_for_use(tmp_path):
    average = {"type": "EMAHook", "momentum": 0.5, "priority": "NORMAL"}
    runner = toy_runner(
        tmp_path,
        checkpoint={"type": "mmproscale.AtomicCheckpointHook", "by_epoch": False, "interval": 2},
        custom_hooks=[average],
    )
    runner.train()
    written = load_checkpoint(tmp_path / "weights.safetensors")
    last = load_checkpoint(tmp_path / "iter_4.pth")
    for name, weight in last["state_dict"].items():
        assert torch.equal(written["state_dict"][name], weight)
    assert not torch.equal(written["state_dict"]["linear.weight"], runner.model.linear.weight)
    assert written["meta"]["dataset_meta"]["classes"] == ["a", "b"]


def test_the_best_weights_are_written_for_use(tmp_path):
    runner = runner_of(tmp_path, save_best="acc", rule="less")
    runner.train()
    (best,) = tmp_path.glob("best_acc_*.pth")
    assert best.name == "best_acc_iter_2.pth"
    assert "inherits from no config" in read_header(tmp_path / "weights.safetensors").reason
    written = load_checkpoint(tmp_path / "weights.safetensors")["state_dict"]
    assert torch.equal(
        written["linear.weight"], load_checkpoint(best)["state_dict"]["linear.weight"]
    )
    assert not torch.equal(written["linear.weight"], runner.model.linear.weight)


def test_the_header_of_the_weights_names_the_config(tmp_path):
    runner = runner_of(tmp_path)
    runner.cfg = load_config("m2f_r50_coco")
    runner.train()
    assert read_header(tmp_path / "weights.safetensors").config.name == "m2f_r50_coco"


def resumed_elsewhere(tmp_path, monkeypatch, change=lambda info: None):
    """Train in one folder, resume with its checkpoint in another, and return the other's info."""
    runner_of(tmp_path / "first", save_best="acc").train()
    file = tmp_path / "first" / "iter_6.pth"
    content = load_checkpoint(file)
    change(content["message_hub"]["runtime_info"])
    torch.save(content, tmp_path / "changed.pth")
    monkeypatch.setattr(RisingMetric, "count", 10)
    runner = runner_of(tmp_path / "second", max_iters=10, save_best="acc")
    runner._resume, runner._load_from = True, str(tmp_path / "changed.pth")
    runner.train()
    return runner.message_hub.runtime_info


def test_a_resume_in_another_folder_leaves_the_first_ones_files(tmp_path, monkeypatch):
    info = resumed_elsewhere(tmp_path, monkeypatch)
    assert files(tmp_path / "first") == {"iter_6.pth", "best_acc_iter_6.pth", "last_checkpoint"}
    assert files(tmp_path / "second") == {"iter_10.pth", "best_acc_iter_10.pth", "last_checkpoint"}
    assert info["best_ckpt"] == str(tmp_path / "second" / "best_acc_iter_10.pth")


def test_a_folder_as_best_checkpoint_is_not_removed(tmp_path, monkeypatch):
    guard = tmp_path / "guard"
    (guard / "best_acc_iter_6.pth").mkdir(parents=True)
    (guard / "best_acc_iter_6.pth" / "mine.txt").write_text("mine")
    best = dict(best_ckpt=str(guard / "best_acc_iter_6.pth"), best_ckpt_acc=str(guard))
    resumed_elsewhere(tmp_path, monkeypatch, lambda info: info.update(best, best_score=1.0))
    assert (guard / "best_acc_iter_6.pth" / "mine.txt").read_text() == "mine"


def test_a_start_sweeps_what_a_killed_run_left(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LocalBackend, "remove", lambda *_: None)
        runner_of(tmp_path, save_best="acc").train()
    left = {"iter_2.pth", "iter_4.pth", "best_acc_iter_2.pth", "best_acc_iter_4.pth"}
    current = {"iter_6.pth", "best_acc_iter_6.pth", "last_checkpoint"}
    assert files(tmp_path) == left | current
    monkeypatch.setattr(RisingMetric, "count", -10)
    (tmp_path / "iter_7.pth").write_text("of another run, from before")
    os.utime(tmp_path / "iter_7.pth", (0, 0))
    (tmp_path / "iter_8.pth").write_text("written, and not yet named as the last")
    resumed = runner_of(tmp_path, max_iters=6, save_best="acc")
    resumed._resume = True
    resumed.train()
    # Each save states only what it is to remove itself; those before it are not known any more.
    swept = {"iter_8.pth", "best_acc_iter_4.pth"}
    assert files(tmp_path) == (left | current | {"iter_7.pth"}) - swept


def test_a_new_run_removes_no_checkpoints_of_an_earlier_one(tmp_path):
    (tmp_path / "iter_100.pth").write_text("mine")
    runner_of(tmp_path).train()
    assert "iter_100.pth" in files(tmp_path)
    resumed = runner_of(tmp_path, max_iters=8)
    resumed._resume = True
    resumed.train()
    assert files(tmp_path) == {"iter_100.pth", "iter_8.pth", "last_checkpoint"}


@pytest.mark.parametrize(
    "path", ["/", "/etc", "best_a.pth", "run/../best_a.pth", "run/vis_data", 5]
)
def test_paths_out_of_the_folder_are_forgotten(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    info = dict(best_ckpt=path, last_ckpt="run/iter_2.pth", keep_ckpt_ids=[2], other="/etc")
    assert drop_foreign_files(info, "run") == [str(path)]
    assert info == dict(last_ckpt="run/iter_2.pth", keep_ckpt_ids=[2], other="/etc")


def test_links_of_the_folder_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    info = dict(best_ckpt=str(tmp_path / "link" / "best_a.pth"), best_ckpt_b=None)
    assert drop_foreign_files(info, tmp_path / "real") == []
    assert len(info) == 2


@pytest.mark.parametrize("last", ["elsewhere/iter_2.pth", None])
def test_numbers_of_another_folders_files_are_forgotten(last):
    info = dict(last_ckpt=last, keep_ckpt_ids=[1, 2], outdated_ckpts=["iter_1.pth"])
    info = {key: value for key, value in info.items() if value}
    drop_foreign_files(info, "run")
    assert info == {}


def test_addresses_are_compared_as_text():
    info = dict(best_ckpt="s3://a/b/best_c.pth", last_ckpt="s3://a/other/iter_1.pth")
    assert drop_foreign_files(info, "s3://a/b") == ["s3://a/other/iter_1.pth"]


def test_only_checkpoints_that_a_kill_left_are_named(tmp_path):
    names = [
        "iter_2.pth",
        "iter_4.pth",
        "best_a_iter_2.pth",
        "notes.txt",
        "iter_6.pth",
        "iter_9.pth",
    ]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / "iter_9.pth", (0, 0))
    outdated = ["iter_2.pth", "best_a_iter_2.pth", "notes.txt", "../iter_1.pth", "iter_3.pth"]
    info = dict(outdated_ckpts=outdated, best_ckpt=str(tmp_path / "best_a_iter_4.pth"))
    found = left_behind(tmp_path, "iter_{}.pth", info, tmp_path / "iter_4.pth")
    assert [path.name for path in found] == ["iter_2.pth", "best_a_iter_2.pth", "iter_6.pth"]
    info["best_ckpt"] = str(tmp_path / "best_a_iter_2.pth")
    found = left_behind(tmp_path, "iter_{}.pth", info, tmp_path / "iter_4.pth")
    assert "best_a_iter_2.pth" not in [path.name for path in found]
    assert left_behind(tmp_path, "same.pth", info, tmp_path / "iter_4.pth") == []
