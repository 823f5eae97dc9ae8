"""Fixtures of all tests: compat is in place, and a test says if its reference data is absent."""

import ctypes
import gc
import resource
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.running_tools import forget_instances, run_tool  # noqa: F401  (a fixture)
from mmengine.visualization import Visualizer

import mmproscale  # noqa: F401

# A background job of a shell ignores Ctrl-C, and so would the commands that tests stop by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


MEMORY_LIMIT = pytest.StashKey[float]()
LEAST_LIMIT = 1.5e9  # bytes
SLOW_FOLDERS = {"benchmarks", "configs", "docs", "packaging", "tools"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow every test of the folders in which most tests run whole commands."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Free the memory of earlier tests before it adds up to gigabytes.

    Models are in cycles of references, which Python seldom looks for among so many objects, and the
    heap keeps what they leave free.
    """
    if sys.platform == "linux" and _memory() > item.config.stash.get(MEMORY_LIMIT, LEAST_LIMIT):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        item.config.stash[MEMORY_LIMIT] = max(LEAST_LIMIT, 1.5 * _memory())


def _memory() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data next to the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared next to the checkout: the repository lacks its reference data")
    return SHARED


@pytest.fixture(scope="session")
def configs() -> Path:
    return ROOT / "configs"


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_visualizers() -> None:
    """Forget the visualizers of a test: the next one of that name would write into its folder."""
    yield
    forget_instances(Visualizer)


@pytest.fixture
def compiled_mmcv(monkeypatch) -> None:
    """Have mmcv's compiled ops on the CPU: the real ones where they are, else strict stand-ins."""
    import mmcv._ext
    from helpers import compiled_ops

    from mmproscale.ops import deformable_convolution, mmcv_attention

    compiled_ops.put_into(mmcv._ext, monkeypatch, mmcv_attention.has_compiled_ops())
    monkeypatch.setattr(mmcv_attention, "DEVICE", "cpu", raising=False)
    for module in (mmcv_attention, deformable_convolution):
        monkeypatch.setattr(module, "has_compiled_ops", lambda: True)
    deformable_convolution._mmcv.cache_clear()
    yield
    deformable_convolution._mmcv.cache_clear()


@pytest.fixture
def compiled_torchvision(monkeypatch) -> tuple[list[int], dict[str, ModuleType]]:
    """Return the paddings of all calls of a stand-in for torchvision's op, and its modules."""
    from helpers import compiled_ops

    from mmproscale.ops import deformable_convolution

    seen = []

    def deform_conv2d(*args, **kwargs):
        seen.append(kwargs["padding"])
        return compiled_ops.deform_conv2d(*args, **kwargs)

    names = ("torchvision", "torchvision.extension", "torchvision.ops")
    packages = {name: ModuleType(name) for name in names}
    packages["torchvision.extension"]._has_ops = lambda: True
    packages["torchvision.ops"].deform_conv2d = deform_conv2d
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    deformable_convolution._torchvision.cache_clear()
    yield seen, packages
    deformable_convolution._torchvision.cache_clear()


@pytest.fixture
def embedding_bags(monkeypatch) -> list[int]:
    """Return a list that gets one entry for each forward pass of attention backend `torch`."""
    from mmproscale.ops import embedding_bag_attention

    calls, forward = [], embedding_bag_attention.forward
    monkeypatch.setattr(
        embedding_bag_attention, "forward", lambda *args: calls.append(1) or forward(*args)
    )
    return calls
