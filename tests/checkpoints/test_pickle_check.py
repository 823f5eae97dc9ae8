"""A file of torch.save is refused before torch reads it, where reading would not end or not fit."""

import time
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch
from helpers.checkpoint_files import WEIGHTS, refusal, saved
from helpers.hostile_checkpoints import Call, HashOnce, shared

from mmproscale.checkpoints import pickle_check
from mmproscale.checkpoints.inert_readers import NotDataError
from mmproscale.checkpoints.pickle_check import check_pickles


def pickled(tmp_path, body: bytes):
    file = tmp_path / "raw.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + body)
    return file


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "content",
    [WEIGHTS, OrderedDict(WEIGHTS), Counter({3: 1}), {(1, 2): {3.5}}, [torch.Size([2]), 1j],
     torch.nn.Parameter(torch.ones(3)), [torch.float16, torch.device("cpu"), b"bytes"]],
)  # fmt: skip
def test_what_torch_saves_passes(tmp_path, content, zipped):
    check_pickles(saved(tmp_path, content, _use_new_zipfile_serialization=zipped))


@pytest.mark.parametrize("content", [shared(list), {HashOnce(shared(tuple)): 1}])
def test_shared_values_are_refused_at_once(tmp_path, content):
    file = saved(tmp_path, {"state_dict": WEIGHTS, "extra": content})
    start = time.monotonic()
    refusal(file)
    assert time.monotonic() - start < 5


def test_a_raw_key_of_shared_tuples(tmp_path):
    tuples = b"K\x01" + b"2\x86" * 40  # DUP is no operation of torch's, BINGET is
    with pytest.raises(NotDataError, match="operation DUP"):
        check_pickles(pickled(tmp_path, tuples + b"."))
    tuples = b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 40
    with pytest.raises(NotDataError, match="a key of nested tuples"):
        check_pickles(pickled(tmp_path, b"}" + tuples + b"K\x01s."))


def test_a_state_that_torch_would_take_for_keys(tmp_path):
    tuples = b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 40
    pairs = b"]](h\x00K\x02ea"
    with pytest.raises(NotDataError, match="an object with a nested state"):
        check_pickles(pickled(tmp_path, tuples + b"ccollections\nOrderedDict\n)R" + pairs + b"b."))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call(bytearray, 2**40), "`builtins.bytearray`"),
        (Call(torch.FloatStorage, 2**40), "a call of `torch.FloatStorage`"),
        (Call(torch.FloatTensor, 2**40), "`torch.FloatTensor`"),
        (Call(torch.serialization._get_layout, shared(tuple)), "with nested arguments"),
    ],
)
def test_calls_that_take_memory(tmp_path, call, message):
    with pytest.raises(NotDataError, match=message):
        check_pickles(saved(tmp_path, call))


def test_text_in_slow_encodings(tmp_path):
    call = b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00idna\x86R."
    with pytest.raises(NotDataError, match="encoding other than latin1"):
        check_pickles(pickled(tmp_path, call))


@pytest.mark.parametrize("kind", ["sparse", "quantised", "meta", "nested"])
def test_tensors_without_plain_values_are_named(tmp_path, kind):
    ones = torch.ones(2, 2)
    tensor = {
        "sparse": ones.to_sparse,
        "meta": lambda: ones.to("meta"),
        "nested": lambda: torch.nested.nested_tensor([ones]),
        "quantised": lambda: torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
    }[kind]()
    assert f"a {kind} tensor" in refusal(saved(tmp_path, {"state_dict": {"a.weight": tensor}}))


def test_the_number_of_operations_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_check, "MAX_OPERATIONS", 20)
    assert "more than 20 operations" in refusal(saved(tmp_path, WEIGHTS))


def test_compressed_content_is_refused(tmp_path):
    file = saved(tmp_path, WEIGHTS)
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert "holds compressed content" in refusal(file)


def test_an_archive_with_two_readings_is_refused(tmp_path):
    file = saved(tmp_path, WEIGHTS)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/DATA.PKL", b"")
    assert "of another form than torch.save writes" in refusal(file)
    file.write_bytes(saved(tmp_path, WEIGHTS).read_bytes() * 2)
    assert "of another form than torch.save writes" in refusal(file)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_storage_that_claims_more_than_there_is(tmp_path, zipped):
    file = saved(tmp_path, [torch.ones(77)], _use_new_zipfile_serialization=zipped)
    more = b"J\x00\x00\x00\x40"
    if zipped:
        with zipfile.ZipFile(file) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data.replace(b"KM", more))
    else:
        file.write_bytes(file.read_bytes().replace(b"KM", more))
    with pytest.raises(ValueError, match="a storage of 4,294,967,296 bytes is not in the file"):
        check_pickles(file)
