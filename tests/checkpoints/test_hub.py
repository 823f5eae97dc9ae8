"""Hub names: fetched once, used without a network, and refused in one line."""

import sys

import pytest
from helpers.loopback_hub import CARD, address_of, served, use_hub

from mmproscale.checkpoints.hub import choose_file, licence_of, local_file
from mmproscale.errors import InputError

NOWHERE = "http://127.0.0.1:9"  # the port of the discard protocol


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "more").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_text("pickled")
    (folder / "model.safetensors").write_text("tensors")
    (folder / "more" / "last.pth").write_text("last")
    return folder


@pytest.fixture
def server(repository, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    with served({"owner/tiny": repository}) as server:
        use_hub(address_of(server), tmp_path / "cache", monkeypatch)
        yield server


def refusal(source: str) -> str:
    with pytest.raises(InputError) as caught:
        local_file(source)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(source)
    return str(caught.value)


def test_local_paths_stay():
    assert str(local_file("a/b.pth")) == "a/b.pth"


def test_safetensors_are_fetched_once_and_the_licence_is_said_once(server, capsys, tmp_path):
    file = local_file("hf://owner/tiny")
    assert file.name == "model.safetensors" and file.read_text() == "tensors"
    assert file.is_relative_to(tmp_path / "cache")
    assert (file.parent / "config.json").is_file()
    assert not (file.parent / "pytorch_model.bin").exists()
    count = len(server.requests)
    assert local_file("hf://owner/tiny") == file and len(server.requests) == count
    assert capsys.readouterr().err == "hf://owner/tiny: licence 'other'\n"


def test_a_named_file_and_a_revision(server, capsys):
    assert local_file("hf://owner/tiny/more/last.pth").read_text() == "last"
    assert local_file("hf://owner/tiny@main/pytorch_model.bin").read_text() == "pickled"
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "hf://owner/tiny/more/last.pth: licence not stated"


def test_weights_in_several_files_are_a_folder(server, repository):
    (repository / "model.safetensors").unlink()
    for name in ("model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"):
        (repository / name).write_text("a part")
    folder = local_file("hf://owner/tiny")
    names = {path.name for path in folder.iterdir() if path.name.startswith("model")}
    assert names == {"model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"}


def test_without_a_network_the_cache_serves(server, tmp_path, monkeypatch):
    file = local_file("hf://owner/tiny")
    use_hub(NOWHERE, tmp_path / "cache", monkeypatch)
    assert local_file("hf://owner/tiny") == file
    text = refusal("hf://owner/other")
    assert "could not be fetched (" in text and "try again with a network" in text


def test_names_that_do_not_exist(server):
    assert "the hub has no such model or revision" in refusal("hf://owner/none")
    assert "the hub has no such model or revision" in refusal("hf://owner/tiny@none")
    assert "has no file none.pth; its 5 files are README.md" in refusal("hf://owner/tiny/none.pth")
    assert "expected hf://OWNER/NAME" in refusal("hf://tiny")
    assert "is not a name of the hub" in refusal("hf://owner/--tiny")


def test_a_file_that_is_not_given_out(server):
    server.gives_files = False
    text = refusal("hf://owner/tiny")
    assert "could not be fetched (403 Forbidden" in text and "is not in the cache" in text


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install huggingface_hub`" in refusal("hf://owner/new")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.pth", "mine.safetensors", "pytorch_model.bin"], "mine.safetensors"),
        (["pytorch_model.bin", "optimizer.bin"], "pytorch_model.bin"),
        (["README.md", "model.pkl", "sub/model.safetensors"], "model.pkl"),
    ],
)
def test_the_best_file_is_chosen(names, chosen):
    assert choose_file(names, None, "hf://a/b") == chosen


def test_several_files_or_none():
    with pytest.raises(InputError, match="has 2 files of weights: name one"):
        choose_file(["a.pth", "b.pth"], None, "hf://a/b")
    with pytest.raises(InputError, match=r"has no weights; its 1 files are README\.md"):
        choose_file(["README.md"], None, "hf://a/b")


def test_the_licence_is_the_tag_in_the_front_matter(tmp_path):
    card = tmp_path / "README.md"
    for text, found in [
        (CARD, "'other'"),
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n", "'apache-2.0'"),
        ("---\ntags: x\n---\nlicense: mit\n", "not stated"),
        ("license: mit\n", "not stated"),
    ]:
        card.write_text(text)
        assert licence_of(card) == found
    assert licence_of(None) == "not stated"
