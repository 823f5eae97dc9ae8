"""A hook that loses one of several processes, or has it raise an error."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmproscale.errors import InputError


@HOOKS.register_module()
class FaultyProcess(Hook):
    """Hook that acts in the second iteration of process 1.

    Args:
        fault: ``killed`` or ``error``.
        file: File whose time of change is that of the fault.
    """

    def __init__(self, fault: str, file: str) -> None:
        self.fault, self.file = fault, Path(file)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._act(batch_idx)

    def before_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._act(batch_idx)

    def _act(self, batch_idx: int) -> None:
        if batch_idx != 1 or os.environ["RANK"] != "1":
            return
        self.file.write_text(str(time.time()))
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise InputError("found on one process")
