"""Kills and full disks while checkpoints are saved: one is always loadable, and nothing piles up.

200 kills with MMPROSCALE_FULL_TESTS=1; otherwise a tenth.
"""

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.toy_training import toy_runner
from mmengine.runner import find_latest_checkpoint

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError
from mmproscale.utils import atomic_files

pytestmark = pytest.mark.slow
KILLS = 200 if os.environ.get("MMPROSCALE_FULL_TESTS") else 20
SECONDS = 60


def start(work_dir: Path, max_keep_ckpts: int = 1):
    """Start or resume as a training does up to its first step; return runner and hook."""
    hook = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=1)
    hook["max_keep_ckpts"] = max_keep_ckpts
    last = find_latest_checkpoint(str(work_dir))
    runner = toy_runner(work_dir, 10**6, checkpoint=hook, resume=last is not None, load_from=last)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.model.weight = torch.nn.Parameter(torch.zeros(10**5))
    runner.load_or_resume()
    runner.call_hook("before_train")
    return runner, next(h for h in runner.hooks if hasattr(h, "keep_ckpt_ids"))


def save_again(runner, hook) -> None:
    runner.train_loop._iter += 1
    with torch.no_grad():
        runner.model.weight.fill_(runner.iter + 1)  # the step that the file states
    hook._save_checkpoint(runner)


def in_child(action: Callable[[], None]) -> int:
    """Run an action in a child process, and return its id."""
    child = os.fork()
    if child:
        return child
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        action()
    finally:
        os._exit(0)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if "pth" in name or "tmp" in name)


def whole(path: Path) -> bool:
    """Tell whether a checkpoint is that of its own step."""
    content = load_checkpoint(path)
    step = content["meta"]["iter"]
    named = path.name == f"iter_{step}.pth"
    return named and bool((content["state_dict"]["weight"] == step).all())


def killed_while_saving(work_dir: Path, seconds: float) -> None:
    """Start a child that saves all the time, and kill it some time after its start."""
    begun = work_dir / "begun"
    begun.unlink(missing_ok=True)

    def save_always() -> None:
        runner, hook = start(work_dir)
        begun.touch()
        while True:
            save_again(runner, hook)

    child = in_child(save_always)
    wait_for(begun.exists)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def left_after_start(work_dir: Path) -> list[str]:
    """Return what is left in the folder beyond one checkpoint once a run has started again."""
    _, status = os.waitpid(in_child(lambda: start(work_dir)), 0)
    assert status == 0
    kept = find_latest_checkpoint(str(work_dir))
    return [name for name in files(work_dir) if kept is None or name != Path(kept).name]


def test_kills_at_random_moments(tmp_path, capsys):
    rng, tally = random.Random(0), dict(loadable=0, partial=0, leftovers=0, unfinished=0)
    runner, hook = start(tmp_path)
    save_again(runner, hook)
    for _ in range(KILLS):
        killed_while_saving(tmp_path, rng.uniform(0, 0.05))
        last = find_latest_checkpoint(str(tmp_path))
        tally["loadable"] += last is not None and whole(Path(last))
        tally["partial"] += sum(not whole(path) for path in tmp_path.glob("iter_*.pth"))
        tally["unfinished"] += len(files(tmp_path)) > 1
        tally["leftovers"] += len(left_after_start(tmp_path))
    filled = fill_the_disk_at_each_write(tmp_path / "full", tally)
    with capsys.disabled():
        print(
            f"\n{KILLS} kills at random moments of saving ({tally['unfinished']} in the middle of "
            f"it) and {filled} full disks at each write, one kept checkpoint: {tally['loadable']} "
            f"loadable, {tally['partial']} partial, {tally['leftovers']} leftovers after the next "
            "start"
        )
    assert tally["loadable"] == KILLS + filled
    assert tally["partial"] == tally["leftovers"] == 0
    assert tally["unfinished"] > KILLS // 10


def fill_the_disk_at_each_write(work_dir: Path, tally: dict[str, int]) -> int:
    """Let every write, flush and rename of a save fail in turn; return their number."""
    runner, hook = start(work_dir)
    save_again(runner, hook)
    for number in range(100):
        with pytest.MonkeyPatch.context() as patch:
            filling = FullDisk(number, patch)
            try:
                save_again(runner, hook)
            except InputError as error:
                assert "No space left on device" in str(error) and "\n" not in str(error)
        if not filling.failed:
            return number
        last = Path(find_latest_checkpoint(str(work_dir)))
        tally["loadable"] += whole(last)
        tally["partial"] += sum(not whole(path) for path in work_dir.glob("iter_*.pth"))
        tally["leftovers"] += len(left_after_start(work_dir))
        runner, hook = start(work_dir)
    raise AssertionError("a save that takes a hundred operations")


class FullDisk:
    """Disk that is full from one operation on; a write leaves half of its bytes."""

    def __init__(self, number: int, patch: pytest.MonkeyPatch) -> None:
        self.left, self.failed = number, False
        write = Path.write_bytes

        def write_half(path: Path, data: bytes) -> int:
            if self.is_full():
                write(path, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, data)

        patch.setattr(Path, "write_bytes", write_half)
        for name in ("fsync", "replace"):
            patch.setattr(atomic_files.os, name, self.failing(getattr(os, name)))

    def is_full(self) -> bool:
        self.left -= 1
        self.failed |= self.left < 0
        return self.left < 0

    def failing(self, function: Callable) -> Callable:
        def call(*args):
            if self.is_full():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args)

        return call
