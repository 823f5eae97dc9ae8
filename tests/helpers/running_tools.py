"""Run a tool as its command line would, in this process: a new interpreter takes seconds."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.utils import ManagerMixin

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def run_tool(monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """``run_tool('train.py', ...)`` -> exit status, standard output, standard error."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        spec = importlib.util.spec_from_file_location(Path(name).stem, TOOLS / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        if name == "new_config.py":  # it measures a training for 40 s; here a few steps are enough
            monkeypatch.setattr("mmproscale.own_data.training_time.SECONDS", 0.0)
        forget_instances(ManagerMixin)
        try:
            module.main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def forget_instances(manager: type) -> None:
    """Drop mmengine's named loggers, hubs and visualizers: a new process has none."""
    manager._instance_dict.clear()
    for child in manager.__subclasses__():
        forget_instances(child)
