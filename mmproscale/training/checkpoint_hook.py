"""Checkpoints that survive a crash: a new one is complete before an old one is removed.

A run removes only files of its own, beyond the number to keep. A checkpoint states which files its
run kept. A run that resumes from it in another folder, or from a file of somebody else, must not
remove those files.
"""

import os
import os.path as osp
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import find_latest_checkpoint

from mmproscale.checkpoints.publication import WEIGHTS_FILE
from mmproscale.checkpoints.read_checkpoint import load_checkpoint, state_dict_of
from mmproscale.checkpoints.weights_file import make_header, save_weights
from mmproscale.registry import HOOKS
from mmproscale.training.resume_hook import RANDOM_STATES, training_random_states
from mmproscale.utils.atomic_files import (
    atomic_write_bytes,
    atomic_write_text,
    ensure_writable_dir,
    sweep_temporary_files,
)

_BACKEND = "mmproscale_atomic_local"
_BETWEEN_EPOCHS = "iter_{}.pth"
OUTDATED = "outdated_ckpts"
"""Key of the message hub: names of the files that are removed once a checkpoint is written."""

_LAST, _KEPT, _BEST = "last_ckpt", "keep_ckpt_ids", "best_ckpt"


class AtomicLocalBackend(LocalBackend):
    """Local disk whose files are written under a temporary name and then renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; at any time `filepath` is the old file or the whole new one."""
        atomic_write_bytes(filepath, obj)


register_backend(_BACKEND, AtomicLocalBackend, force=True)


class DeferredRemovals:
    """File backend that notes removals, of files and of folders (sharded checkpoints), for later.

    Attributes:
        waiting: Path -> the backend's method that removes it.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.waiting: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Note a file to remove."""
        self.waiting[path] = "remove"

    def rmtree(self, path: str) -> None:
        """Note a folder to remove."""
        self.waiting[path] = "rmtree"

    def carry_out(self, keep: set[str]) -> None:
        """Remove the noted paths except `keep`, which may have the name of an old checkpoint."""
        for path, method in self.waiting.items():
            if path not in keep:
                getattr(self._backend, method)(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, with its arguments, without loss of checkpoints in a crash.

    Stock first removes the oldest checkpoint or the previous best, then writes the new one in place
    and points `last_checkpoint` to it. This hook writes to a temporary file, renames it, points
    `last_checkpoint` to it in the same way, and then removes. A checkpoint from which a run resumes
    holds the random states of all processes. After training the weights of the best checkpoint
    (with `save_best`) or else of the last one are in `weights.safetensors`, whose header makes a
    config unnecessary.
    """

    backend_args: dict | None
    file_backend: Any
    _depth = 0
    _random_states: list[dict[str, Any]] | None = None

    def before_train(self, runner) -> None:
        """Choose the backend, check that the folder can be written, and sweep it.

        Files that a resumed checkpoint names in other folders stay. Temporary files of killed
        processes go, and checkpoints that a killed run had not removed yet.

        Raises:
            InputError: The output folder cannot be written to.
        """
        folder = self.out_dir or runner.work_dir
        if self.file_client_args is None and self.backend_args is None and "://" not in folder:
            self.backend_args = {"backend": _BACKEND}
        if folder != runner.work_dir:
            # As stock does next.
            folder = osp.join(folder, osp.basename(runner.work_dir.rstrip(osp.sep)))
        info = runner.message_hub.runtime_info
        if foreign := drop_foreign_files(info, folder):
            runner.logger.info(f"Resuming in another folder: {', '.join(foreign)} stay as they are")
        super().before_train(runner)
        if self.backend_args == {"backend": _BACKEND} and is_main_process():
            ensure_writable_dir(self.out_dir)
            self._sweep(runner)
        self.file_backend = DeferredRemovals(self.file_backend)

    def after_train(self, runner) -> None:
        """Publish as stock does, and write the weights of the best or last checkpoint for use."""
        super().after_train(runner)
        if self.backend_args != {"backend": _BACKEND} or not is_main_process():
            return
        source = getattr(self, "best_ckpt_path", None) or self.last_ckpt
        if source is not None and osp.isfile(source):
            out = osp.join(self.out_dir, WEIGHTS_FILE)
            content = load_checkpoint(source)
            header = make_header(runner.cfg, (content.get("meta") or {}).get("dataset_meta"))
            save_weights(out, state_dict_of(content), header)
            note = f" (to be used with its config: {header.reason})" if header.reason else ""
            runner.logger.info(f"The weights of {source} are in {out}{note}")

    def _sweep(self, runner) -> None:
        swept = sweep_temporary_files(self.out_dir)
        if self.out_dir != runner.work_dir:
            swept += sweep_temporary_files(runner.work_dir)
        info, step = runner.message_hub.runtime_info, runner.epoch if self.by_epoch else runner.iter
        resumed = self._path_of(step)
        # A run that starts from the beginning, or from an earlier checkpoint, leaves all others.
        if "keep_ckpt_ids" in info and find_latest_checkpoint(runner.work_dir) == resumed:
            surplus = left_behind(self.out_dir, self.filename_tmpl, info, resumed)
            for path in surplus:
                path.unlink(missing_ok=True)
            swept += surplus
        if swept:
            names = ", ".join(path.name for path in swept[:5]) + ", ..." * (len(swept) > 5)
            runner.logger.info(f"Removed {len(swept)} files that a killed run left: {names}")

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the random states, but not to the best checkpoint, which is for inference."""
        weights = checkpoint["state_dict"]
        for name, tensor in weights.items():
            if type(tensor) is torch.Tensor and tensor.__dict__:
                # FSDP notes attributes on tensors, and a file with these is more than data.
                weights[name] = tensor.detach()
        if self._random_states is not None:
            checkpoint[RANDOM_STATES] = self._random_states

    def save_now(self, runner, step: int) -> str:
        """Save the state after `step` iterations, outside the interval; return the path.

        Where checkpoints are numbered by epochs, this one has the iteration in its name, and stays.
        """
        name = (_BETWEEN_EPOCHS if self.by_epoch else self.filename_tmpl).format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        meta = {"epoch": runner.epoch, "iter": step}
        if path == self.last_ckpt:
            return path
        if self.by_epoch:
            self._save_last(runner, name, meta)
        else:
            self._save_checkpoint_with_step(runner, step, meta)
        return path

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with self._removing_afterwards():
            self._rotate(runner, step)
            self._save_last(runner, self.filename_tmpl.format(step), meta)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._removing_afterwards():
            super()._save_best_checkpoint(runner, metrics)

    def _rotate(self, runner, step: int) -> None:
        """Note the oldest checkpoint for removal; the new file lists the remaining ones."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            self._remove(self._path_of(self.keep_ckpt_ids.popleft()))
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_last(self, runner, name: str, meta: dict) -> None:
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        # The next start removes them if this run is killed before it does.
        names = [osp.basename(path) for path in self.file_backend.waiting]
        runner.message_hub.update_info(OUTDATED, names)
        self._random_states = training_random_states(runner)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._random_states = None
        if is_main_process():
            atomic_write_text(osp.join(runner.work_dir, "last_checkpoint"), self.last_ckpt)

    def _path_of(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    @contextmanager
    def _removing_afterwards(self) -> Iterator[None]:
        # Saving the best checkpoint saves the last one again in an inner block. Only the outer
        # block removes, and only if saving succeeded.
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self.file_backend.carry_out(keep=self._current())
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.file_backend.waiting.clear()

    def _current(self) -> set[str]:
        best = [getattr(self, "best_ckpt_path", None)]
        best += getattr(self, "best_ckpt_path_dict", {}).values()
        return {str(path) for path in [self.last_ckpt, *best] if path}


def drop_foreign_files(info: dict[str, Any], folder: str | Path) -> list[str]:
    """Forget the files of other folders that a checkpoint's run kept.

    Args:
        info: The message hub's information as resumed; changed in place.
        folder: This run's folder of checkpoints.

    Returns:
        The forgotten paths.
    """
    paths = [key for key in info if key == _LAST or key.startswith(_BEST)]
    foreign = [key for key in paths if not _is_own(info[key], folder, key)]
    if _LAST in foreign or _LAST not in info:
        # These are of the folder in which the last checkpoint was written.
        for key in (_KEPT, OUTDATED):
            info.pop(key, None)
    return [str(info.pop(key)) for key in foreign]


def _is_own(path: Any, folder: str | Path, key: str) -> bool:
    if not isinstance(path, str):
        return path is None
    if "://" in str(folder):
        return path.rpartition("/")[0] == str(folder).rstrip("/")
    named = key == _LAST or Path(path).name.startswith("best_")
    # A removal follows links of folders, not of the file itself.
    return named and os.path.realpath(Path(path).parent) == os.path.realpath(folder)


def left_behind(
    folder: str | Path, template: str, info: Mapping[str, Any], resumed: str | Path
) -> list[Path]:
    """Return the checkpoints that a killed run had not yet removed, or not yet named as its last.

    Args:
        folder: The run's folder of checkpoints.
        template: Name of a checkpoint, with ``{}`` for its step.
        info: The message hub's information as resumed.
        resumed: The run's last checkpoint, from which it resumes.
    """
    pattern = "(\\d+)".join(map(re.escape, template.split("{}", 1)))
    kept = {Path(info[key]).name for key in info if key.startswith(_BEST) and info[key]}
    outdated = [
        Path(folder) / name
        for name in info.get(OUTDATED, ())
        if re.fullmatch(f"(best_.+_)?{pattern}", name) and name not in kept
    ]
    step, written = re.fullmatch(pattern, Path(resumed).name), Path(resumed).stat().st_mtime
    if step is None or "{}" not in template:
        return []
    later = [
        path
        for path in Path(folder).iterdir()
        if (named := re.fullmatch(pattern, path.name))
        and int(named[1]) > int(step[1])
        and path.stat().st_mtime >= written
    ]
    return [path for path in outdated + later if path.is_file() and path.name != step[0]]
