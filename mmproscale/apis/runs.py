"""From a config to mmengine's Runner, with what can be checked before hours are spent."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmproscale.engine.atomic_files import ensure_writable_dir


def set_up_run(
    config: Config, config_path: str | os.PathLike, work_dir: str | None, launcher: str = "none"
) -> None:
    """Fill in what a command line decides: the work dir, the launcher.

    Args:
        config: Changed in place.
        config_path: The config's file; it names the default work dir, ``work_dirs/NAME``.
        work_dir: The work dir, or None for the config's own or the default.

    Raises:
        InputError: The work dir can't be written.
    """
    default = config.get("work_dir") or str(Path("work_dirs") / Path(config_path).stem)
    config.work_dir = str(ensure_writable_dir(work_dir or default))
    config.launcher = launcher


def build_runner(config: Config) -> Runner:
    """The Runner of a config, of its own ``runner_type`` where it names one."""
    return RUNNERS.build(config) if "runner_type" in config else Runner.from_cfg(config)
