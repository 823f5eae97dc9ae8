"""Run a benchmark as its command line would, in this process: a new interpreter takes seconds."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from mmproscale.cost.random_model import LOGGER

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# So that tests import `common` as the scripts do.
sys.path.append(str(BENCHMARKS))


@pytest.fixture
def load_script(monkeypatch) -> Callable:
    """``load_script('attention')`` -> the script as a module."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location(
            f"benchmark_{name}", BENCHMARKS / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run_script(load_script, monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """``run_script('attention', ...)`` -> exit status, standard output, standard error."""
    threads = torch.get_num_threads()

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            load_script(name).main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    yield run
    torch.set_num_threads(threads)
    MMLogger._instance_dict.pop(LOGGER, None)
