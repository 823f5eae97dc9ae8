"""Plain pickles are read as data; other names in a file are refused and do not run."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from helpers.checkpoint_files import refusal

from mmproscale.checkpoints.plain_pickle import PlainUnpickler, read_plain_pickle
from mmproscale.checkpoints.read_checkpoint import load_checkpoint, load_content

ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.ones(3, np.float16),
    "big-endian": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(7, np.int64),
}


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def written(tmp_path, content, protocol=2):
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    return file


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_every_protocol(tmp_path, protocol):
    content = {"model": OrderedDict(ARRAYS), "__author__": "someone", "matching_heuristics": True}
    read = load_checkpoint(written(tmp_path, content, protocol))
    assert read["__author__"] == "someone" and read["matching_heuristics"] is True
    for name, array in ARRAYS.items():
        tensor = read["state_dict"][name]
        assert isinstance(tensor, torch.Tensor) and np.array_equal(tensor.numpy(), array)


def test_numpy_scalars_lists_and_text(tmp_path):
    content = {
        "epoch": np.int64(3),
        "names": ["a", ("b", 1.5, None)],
        "model": {"w": ARRAYS["float"]},
    }
    read = load_content(written(tmp_path, content))
    assert read["epoch"] == 3 and read["names"] == ["a", ("b", 1.5, None)]


def test_an_array_that_python_2_wrote(tmp_path):
    # Its bytes are text (SHORT_BINSTRING), which latin1 maps to the same values.
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(raw)]) + raw + b"tb."
    )
    (tmp_path / "old.pkl").write_bytes(data)
    assert read_plain_pickle(tmp_path / "old.pkl").tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Calls(os.system, "touch ran"), "`os.system`"),
        (Calls(eval, "1"), "`builtins.eval`"),
        (Calls(getattr, dict, "clear"), "`builtins.getattr`"),
        (np.array([{}], dtype=object), "object"),
        (Calls(np.load, "x"), "load`"),
    ],
    ids=["system", "eval", "getattr", "objects", "load"],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_that_names_code(tmp_path, monkeypatch, content, named, protocol):
    monkeypatch.chdir(tmp_path)
    text = refusal(written(tmp_path, {"model": content}, protocol))
    assert named in text and "refused" in text
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        # The state of a class or function would outlast the file.
        (b"\x80\x02cnumpy.core.multiarray\nscalar\nN}U\x07restoreK\x05s\x86b.", "state of a type"),
        (b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__K\x05s\x86b.", "state of a function"),
        (b"\x80\x02U\x01xQ.", "outside the file"),
        # Keys whose hashing does not end, and sets, which hash their items.
        (b"\x80\x02}K\x01K\x02\x86K\x03s.", "a tuple as a key"),
        (b"\x80\x02}(K\x01\x85K\x03u.", "a tuple as a key"),
        (b"\x80\x02(K\x01\x85K\x03d.", "a tuple as a key"),
        (b"\x80\x02ccollections\nOrderedDict\n]K\x01\x85K\x02\x86a\x85R.", "a tuple as a key"),
        (b"\x80\x04\x8f(K\x01\x90.", "truncated or damaged"),
        (b"\x80\x02c_codecs\nencode\nU\x01xU\x05utf-7\x86R.", "encoding 'utf-7'"),
    ],
    ids=[
        *("class", "function", "persistent", "key", "keys", "dict", "ordered", "set"),
        "encoding",
    ],
)
def test_tricks(tmp_path, data, named):
    (tmp_path / "model.pkl").write_bytes(data)
    assert named in refusal(tmp_path / "model.pkl")


def test_a_memo_index_reserves_no_memory(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"\x80\x02K\x01r\xff\xff\xff\x7f.")
    assert read_plain_pickle(tmp_path / "model.pkl") == 1
    assert not issubclass(PlainUnpickler, pickle.Unpickler)


def test_a_truncated_file(tmp_path):
    file = written(tmp_path, {"model": ARRAYS})
    file.write_bytes(file.read_bytes()[:-20])
    assert "truncated or damaged" in refusal(file)
