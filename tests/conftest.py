"""Every test runs with compat in place, and where the reference data is absent says so."""

from pathlib import Path

import pytest
import torch
from helpers.running_tools import run_tool  # noqa: F401  (a fixture)

import mmproscale  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


SLOW_FOLDERS = {"benchmarks", "configs", "docs", "packaging", "tools"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow every test of the folders in which most tests run whole commands."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the checkout: its reference data is not in the repository")
    return SHARED


@pytest.fixture(scope="session")
def configs() -> Path:
    return ROOT / "configs"


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def embedding_bags(monkeypatch) -> list[int]:
    """One entry for each forward pass of attention backend `torch`."""
    from mmproscale.ops import embedding_bag_attention

    calls, forward = [], embedding_bag_attention.forward
    monkeypatch.setattr(
        embedding_bag_attention, "forward", lambda *args: calls.append(1) or forward(*args)
    )
    return calls
