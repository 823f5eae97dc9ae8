"""Checkpoints that lie: each changes one thing of a real one, chosen by a random generator.

A family is a function of (random, content): it changes the content, or returns another one.
`WEIGHTS` are wrong for every use, `STATE` only for a resume; `RAW` write a whole file of bytes.
"""

import os
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import HistoryBuffer

Change = Callable[[random.Random, dict], Any]


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def shared(kind: type, depth: int = 40) -> Any:
    """Return a list or tuple of 2^depth values, which are one value."""
    value = kind((1, 1))
    for _ in range(depth):
        value = kind((value, value))
    return value


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def looped() -> list:
    value: list = []
    value.append(value)
    return value


def _quantised(weight: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


def _with_one(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(weight: torch.Tensor) -> torch.Tensor:
        weight = weight.double() if number == 1e300 else weight.clone()
        weight.view(-1)[-1] = number
        return weight

    return change


# What becomes of one weight.
WRONG_WEIGHTS: list[Callable[[torch.Tensor], Any]] = [
    lambda weight: weight.to(torch.int8),
    lambda weight: weight.to(torch.int64),
    lambda weight: weight.to(torch.bool),
    lambda weight: weight.to(torch.complex64),
    lambda weight: weight.to(torch.float8_e4m3fn),
    lambda weight: weight.to(torch.uint16),
    lambda weight: weight.double() + 1e-12,
    lambda weight: weight.to_sparse(),
    lambda weight: weight.view(1, -1).to_sparse_csr(),
    lambda weight: weight.to("meta"),
    lambda weight: torch.zeros(1).expand(2**20, 2**20),
    lambda weight: weight.tolist(),
    lambda weight: weight.numpy(),
    lambda weight: "weight",
    lambda weight: None,
    lambda weight: torch.cat([weight, weight]),
    lambda weight: weight[..., None],
    _quantised,
    *(_with_one(number) for number in (float("nan"), float("inf"), -float("inf"), 1e300)),
]


def _name(rng: random.Random, weights: dict) -> str:
    return rng.choice(sorted(name for name in weights if weights[name].is_floating_point()))


def wrong_weight(rng: random.Random, content: dict) -> None:
    weights = content["state_dict"]
    name = _name(rng, weights)
    weights[name] = rng.choice(WRONG_WEIGHTS)(weights[name])


def wrong_average(rng: random.Random, content: dict) -> None:
    weights = content["ema_state_dict"]
    if rng.random() < 0.3:
        weights["steps"] = rng.choice([None, -weights["steps"] - 1, torch.zeros(2), "5"])
        return
    name = _name(rng, weights)
    weights[name] = rng.choice(WRONG_WEIGHTS)(weights[name])


def renamed_weight(rng: random.Random, content: dict) -> None:
    weights = content["state_dict"]
    value = weights.pop(_name(rng, weights))
    weights[rng.choice(["other", 5, None, (1, 2)])] = value


def wrong_metadata(rng: random.Random, content: dict) -> None:
    if rng.random() < 0.3:
        versions = rng.choice([5, {"": 3}, {"": {"version": "1"}}, {3: {}}, shared(list)])
        content["state_dict"]._metadata = versions
        return
    content["meta"]["dataset_meta"] = rng.choice(
        [5, "a", [1], {3: 4}, {"classes": 5}, {"classes": [1, 2]}, {"CLASSES": "ab"}]
        + [{"classes": ("a",), "palette": [(1, 2)]}, {"classes": ("a",), "categories": [3]}]
    )


def not_weights(rng: random.Random, content: dict) -> Any:
    return rng.choice([[content], {}, 5, "text", {**content, "state_dict": 5}, {"state_dict": {}}])


def endless(rng: random.Random, content: dict) -> None:
    value = rng.choice([shared(list), shared(tuple), nested(60), nested(300), looped()])
    place = rng.choice([content, content["meta"], content["message_hub"]["runtime_info"]])
    place[rng.choice(["extra", "cfg"])] = value


def endless_key(rng: random.Random, content: dict) -> None:
    content["meta"][HashOnce(shared(tuple))] = 1


class HashOnce:
    """A key that pickles as a tuple whose hash would take for ever."""

    def __init__(self, value: tuple) -> None:
        self.value = value

    def __reduce__(self) -> tuple:
        # torch's unpickler sets the key when the pickle is read, as dict's __setitem__ does here.
        return torch.Size, (self.value,)


def code(rng: random.Random, content: dict, canary: Path) -> None:
    text = f"open({str(canary)!r}, 'w')"
    call = rng.choice(
        [
            Call(os.system, f"touch {canary}"),
            Call(eval, text),
            Call(exec, text),
            Call(open, "a", "w"),
        ]
        + [Call(torch.load, str(canary)), Call(__import__, "antigravity"), Call(Path, "a"), print]
        + [Call(bytearray, 2**40), Call(getattr, dict, "fromkeys"), Call(torch.FloatStorage, 2**40)]
    )
    place = rng.choice([content, content["meta"], content["optimizer"], content["state_dict"]])
    place[rng.choice(["extra", "linear.bias"])] = call


def _entry(rng: random.Random, content: dict) -> dict:
    return content["optimizer"]["state"][rng.choice(sorted(content["optimizer"]["state"]))]


def wrong_optimizer_state(rng: random.Random, content: dict) -> None:
    entry = _entry(rng, content)
    name = rng.choice(["exp_avg", "exp_avg_sq"])
    value = entry[name]
    entry[name] = rng.choice(
        [*WRONG_WEIGHTS[:2], *WRONG_WEIGHTS[3:18], *WRONG_WEIGHTS[19:]]
        + [lambda v: torch.zeros(()), lambda v: torch.zeros(0), lambda v: torch.zeros(2**16)]
    )(value)
    if name == "exp_avg_sq" and rng.random() < 0.1:
        entry[name] = -torch.ones_like(value)


def wrong_step(rng: random.Random, content: dict) -> None:
    steps = [torch.tensor(-1.0), torch.tensor(float("nan")), torch.zeros(2), "3", None, [3], -1]
    _entry(rng, content)["step"] = rng.choice([*steps, float("inf"), torch.tensor(1j)])


def wrong_optimizer(rng: random.Random, content: dict) -> None:
    state = content["optimizer"]
    choice = rng.randrange(7)
    if choice == 0:
        _entry(rng, content).pop(rng.choice(["step", "exp_avg", "exp_avg_sq"]))
    elif choice == 1:
        _entry(rng, content)["more"] = torch.zeros(2)
    elif choice == 2:
        state["state"][rng.choice([99, "0", -1, None])] = dict(_entry(rng, content))
    elif choice == 3:
        state["state"] = rng.choice([[], None, {0: 5}, {0: [1, 2]}])
    elif choice == 4:
        state["param_groups"] = rng.choice([[], None, {}, state["param_groups"] * 2, [5]])
    elif choice == 5:
        state["param_groups"][0]["params"] = rng.choice([[], [0], [0, 0], ["a", "b"], 5, [0, 1, 2]])
    else:
        content["optimizer"] = rng.choice([[], 5, {}, None, {"state": {}}])


def wrong_option(rng: random.Random, content: dict) -> None:
    group = content["optimizer"]["param_groups"][0]
    key = rng.choice(["lr", "eps", "weight_decay", "betas", "maximize", "amsgrad", "initial_lr"])
    numbers = [float("nan"), float("inf"), -1.0, "0.1", None, [0.1], torch.zeros(3), True]
    pairs = [(0.9,), (0.9, 1.0), (0.9, "a"), (float("nan"), 0.9), 0.9, None, (0.9, 0.9, 0.9)]
    flags = [True, 1, "no", 0.5, []]
    group[key] = rng.choice(
        pairs if key == "betas" else flags if key in ("maximize", "amsgrad") else numbers
    )


def wrong_counter(rng: random.Random, content: dict) -> None:
    key = rng.choice(["iter", "epoch", "seed"])
    values = [-1, 2.5, float("nan"), "3", True, [3], 10**30, torch.tensor(3)]
    content["meta"][key] = rng.choice(values + [None] * (key != "seed"))
    if key == "epoch" and content["meta"][key] == 10**30:
        content["meta"][key] = -(10**30)  # iterations end this training, not epochs


def wrong_hub(rng: random.Random, content: dict) -> None:
    hub = content["message_hub"]
    part = rng.choice(["log_scalars", "runtime_info", "resumed_keys"])
    if rng.random() < 0.3:
        hub[part] = rng.choice([None, [], 5, {3: 4}])
    elif rng.random() < 0.2:
        hub.pop(part)
    elif part == "log_scalars":
        history = HistoryBuffer([1.0], [1])
        history._log_history = rng.choice([torch.zeros(1), [1], None, "a"])
        hub[part]["train/loss"] = rng.choice([[1.0], 5, "a", None, history])
    elif part == "resumed_keys":
        hub[part]["train/loss"] = rng.choice([5, "yes", None, [True]])
    else:
        key = rng.choice(["iter", "best_score", "best_ckpt", "last_ckpt", "keep_ckpt_ids"])
        wrong = {"iter": [-1, "a"], "best_score": ["a", float("nan"), None, [1]]}
        wrong |= {"keep_ckpt_ids": [["../../guard/a"], [-1], 5, [2.5], [True], "12"]}
        hub[part][key] = rng.choice(wrong.get(key, [5, ["a"], {"a": 1}]))


def wrong_scheduler(rng: random.Random, content: dict) -> None:
    states = content["param_schedulers"]
    choice = rng.randrange(5)
    if choice == 0:
        content["param_schedulers"] = rng.choice([[], states[:1], states * 2, {}, 5, None, [5] * 3])
    elif choice == 1:
        rng.choice(states)[rng.choice(["step", "optimizer", "__class__", "other", 3])] = 5
    elif choice == 2:
        key = rng.choice(["last_step", "_global_step"])
        rng.choice(states)[key] = rng.choice(["a", None, -5, 2.5, float("nan"), [1], True])
    elif choice == 3:
        values = [[], [1.0, 2.0], ["a"], [float("nan")], 5, None, [float("inf")]]
        rng.choice(states)[rng.choice(["base_values", "_last_value"])] = rng.choice(values)
    else:
        states[1]["milestones"] = rng.choice(
            [5, [3, 5], {"a": 1}, {3: "a"}, {3: float("nan")}, None]
        )


def wrong_random_state(rng: random.Random, content: dict) -> None:
    state = content["random_states"][0]
    if rng.random() < 0.5:
        place = rng.randrange(4)
        wrong = [[torch.zeros(3), 5], [10**6, -1, "a"], ["a", None, 10**30], ["a", [1]]]
        state["numpy"][place] = rng.choice(wrong[place])
        return
    values = [5, None, "a", [1, 2], torch.zeros(5), torch.zeros(5, dtype=torch.uint8)]
    state[rng.choice(["python", "numpy", "torch"])] = rng.choice(values)


def missing(rng: random.Random, content: dict) -> None:
    content.pop(rng.choice(["message_hub", "optimizer", "param_schedulers", "meta"]))


WEIGHTS: list[Change] = [
    *[wrong_weight] * 3,
    *(wrong_average, renamed_weight, wrong_metadata, not_weights, endless, endless_key),
]
STATE: list[Change] = [
    *[wrong_optimizer_state] * 3,
    *(
        wrong_step,
        wrong_optimizer,
        wrong_option,
        wrong_counter,
        wrong_hub,
        wrong_scheduler,
        missing,
        wrong_random_state,
    ),
]


def packed(rng: random.Random, source: Path, path: Path) -> None:
    """Compress an entry; a bomb has a storage of 8 GB."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as copy:
        names = archive.namelist()
        chosen = rng.choice(names)
        for name in names:
            kind = zipfile.ZIP_DEFLATED if name == chosen else zipfile.ZIP_STORED
            if name != chosen or rng.random() < 0.5:
                copy.writestr(name, archive.read(name), kind)
                continue
            with copy.open(zipfile.ZipInfo(name), "w") as entry:
                entry._compressor = zipfile._get_compressor(zipfile.ZIP_DEFLATED)
                entry._zinfo.compress_type = zipfile.ZIP_DEFLATED
                for _ in range(64):
                    entry.write(bytes(2**20))


def doubled(rng: random.Random, source: Path, path: Path) -> None:
    """Write two archives one after the other, or two entries of one name."""
    data = source.read_bytes()
    if rng.random() < 0.5:
        path.write_bytes(data + data)
        return
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as archive:
        name = rng.choice(archive.namelist())
        archive.writestr(rng.choice([name.upper(), name]), b"x")


def cut(rng: random.Random, source: Path, path: Path) -> None:
    data = source.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) - 1)])


def long_pickle(rng: random.Random, source: Path, path: Path) -> None:
    """Write a pickle of millions of operations, or of operations that torch does not write."""
    body = rng.choice([b"N0" * 3_000_000, b"(" * 5_000_000, b"]q\x00" * 2_000_000, b"I5\n" * 9])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + body + b"N.")
        archive.writestr("a/version", b"3\n")


def claimed_storage(rng: random.Random, source: Path, path: Path) -> None:
    """Claim a storage of another size, in the old format or the new."""
    weights = OrderedDict(a=torch.arange(77.0))
    torch.save(weights, path, _use_new_zipfile_serialization=rng.random() < 0.5)
    data, size = path.read_bytes(), rng.choice([2**30, 2**20, 200, -5])
    if data.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content.replace(b"KM", b"J" + struct.pack("<i", size)))
    else:
        path.write_bytes(data.replace(b"KM", b"J" + struct.pack("<i", size)))


RAW: list[Callable[[random.Random, Path, Path], None]] = [
    *(packed, doubled, cut, long_pickle, claimed_storage),
]


def broken_safetensors(rng: random.Random, path: Path) -> None:
    """Write a safetensors file whose header or values are wrong."""
    import json

    from safetensors.torch import save_file

    weights = {"linear.weight": torch.ones(1, 2), "linear.bias": torch.ones(1)}
    if rng.random() < 0.5:
        change = rng.choice([WRONG_WEIGHTS[i] for i in (0, 1, 2, 5, 15, 16, 18, 19, 20, 21)])
        weights["linear.weight"] = change(weights["linear.weight"]).contiguous()
        save_file(weights, path)
        return
    save_file(weights, path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    key = rng.choice(["dtype", "shape", "data_offsets"])
    values = {
        "dtype": ["F99", 5, "I64"],
        "shape": [[9], [-1], "a"],
        "data_offsets": [[0, 99], [5, 1]],
    }
    header["linear.weight"][key] = rng.choice(values[key])
    text = json.dumps(header).encode()
    stated = rng.choice([len(text), len(text), len(text) + 99, 2**63, 2**40])
    path.write_bytes(struct.pack("<Q", stated) + text + data[8 + size :])
