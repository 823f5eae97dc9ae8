"""Files of weights for prediction: safetensors with a header, or a file of torch.save.

The header states config, classes, version and a hash of the weights. It is JSON under one key of
the file's metadata. It names a shipped config and plain changes of it, never code, and is checked
like any other input.
"""

from __future__ import annotations

import json
from ast import literal_eval
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmproscale.checkpoints.hub import local_file
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path
from mmproscale.utils.shipped_config import NotPlainError, ShippedConfig, describe_config
from mmproscale.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

SUFFIXES = (".safetensors", ".pth", ".pt")
KEY = "mmproscale"
CLASS_KEYS = ("classes", "thing_classes", "stuff_classes", "palette", "categories")
FLAGS = ("reduce_zero_label",)


@dataclass(frozen=True)
class WeightsHeader:
    """Facts about a file's weights.

    Attributes:
        config: The shipped config and its changes; None if the model can't be described so.
        reason: Why there is no config.
        dataset_meta: Classes in the order of labels (``classes``), and, where they are known,
            ``thing_classes``, ``stuff_classes``, ``palette``, ``categories`` and
            ``reduce_zero_label``.
        early_exit: Settings and results of the fit of an exit gate; empty without one.
        version: Version of mmproscale that wrote the file.
        sha256: Hash of all weights, as :func:`hash_weights` gives it.
    """

    config: ShippedConfig | None = None
    reason: str = ""
    dataset_meta: dict[str, Any] = field(default_factory=dict)
    early_exit: dict[str, Any] = field(default_factory=dict)
    version: str = __version__
    sha256: str = ""

    @property
    def meta(self) -> dict[str, Any]:
        """Items of ``meta`` in a checkpoint of mmengine."""
        kept = dict(dataset_meta=self.dataset_meta, early_exit=self.early_exit)
        return {key: value for key, value in kept.items() if value} | {KEY: self.version}

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file."""
        # One key: safetensors writes several in any order, and equal files must have equal hashes.
        return {KEY: json.dumps(asdict(self), ensure_ascii=False)}


def make_header(config: Config | None, dataset_meta: Mapping[str, Any] | None) -> WeightsHeader:
    """Return the header of a config's model, without the hash.

    Args:
        config: The config that the model was built from; None if it is unknown.
        dataset_meta: Metainfo of the dataset that it was trained on; its keys may be upper-case.
    """
    meta = class_facts(dataset_meta)
    try:
        if config is None:
            raise NotPlainError("the config was not known when the file was written")
        return WeightsHeader(describe_config(config), dataset_meta=meta)
    except NotPlainError as error:
        return WeightsHeader(reason=str(error), dataset_meta=meta)


def class_facts(dataset_meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the items of a dataset's metainfo that are about classes, as JSON has them."""
    known = lower_keys(dataset_meta)
    count = len(known.get("classes") or ())
    for key in ("palette", "categories"):  # a config may have replaced only the classes
        if len(known.get(key) or ()) != count:
            known.pop(key, None)
    kept = {key: known[key] for key in (*CLASS_KEYS, *FLAGS) if known.get(key) is not None}
    return json.loads(json.dumps(kept, default=_plain))


def lower_keys(dataset_meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a dataset's metainfo under lower-case keys: mmdet writes either case."""
    return {str(key).lower(): value for key, value in (dataset_meta or {}).items()}


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of names, types, shapes and bytes of weights, as 64 hexadecimal digits."""
    import torch

    digest = sha256()
    for name in sorted(weights):
        weight = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_header(file: str | Path) -> WeightsHeader | None:
    """Return the header of a safetensors file; None if mmproscale did not write it.

    Raises:
        InputError: The file is damaged, or its header is not as :class:`WeightsHeader` writes it.
    """
    text = _metadata(file).get(KEY)
    if text is None:
        return None
    try:
        return _parse(json.loads(text))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} has a header that mmproscale did not write ({one_line(error)}): give its "
            "config and a file without the header, or fetch the file again"
        ) from error


def read_class_names(file: str | Path) -> tuple[str, ...]:
    """Return the names under ``classes`` in a safetensors file's metadata; none without a list."""
    try:
        names = literal_eval(_metadata(file).get("classes", ""))
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return ()
    names = list(names) if isinstance(names, tuple) else names
    return tuple(names) if _are(names, str) else ()


def _metadata(file: str | Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is truncated or damaged and cannot be read: {error}") from error


def _parse(content: dict[str, Any]) -> WeightsHeader:
    if set(content) != set(WeightsHeader.__dataclass_fields__):
        raise ValueError(f"its keys are {', '.join(content)}")
    config, meta = content["config"], content["dataset_meta"]
    for key in ("reason", "version", "sha256"):
        _expect(isinstance(content[key], str), key)
    _expect(isinstance(content["early_exit"], dict), "early_exit")
    _check_class_facts(meta)
    known = None
    if config is not None:
        name, changes, removed = config["name"], config["changes"], config["removed"]
        _expect(isinstance(name, str) and isinstance(changes, dict), "config")
        _expect(_are(removed, str), "config.removed")
        own_data = config.get("own_data", False)
        _expect(isinstance(own_data, bool), "config.own_data")
        known = ShippedConfig(name, changes, tuple(removed), own_data)
    return WeightsHeader(**(content | {"config": known}))


def _check_class_facts(meta: dict[str, Any]) -> None:
    _expect(set(meta) <= {*CLASS_KEYS, *FLAGS}, "dataset_meta")
    for key in ("classes", "thing_classes", "stuff_classes"):
        _expect(_are(meta.get(key, []), str), f"dataset_meta.{key}")
    count = len(meta.get("classes", []))
    for color in _as_many(meta, "palette", count):
        is_color = _are(color, int) and len(color) == 3 and all(0 <= v < 256 for v in color)
        _expect(is_color, "dataset_meta.palette")
    for category in _as_many(meta, "categories", count):
        _expect(isinstance(category["id"], int), "dataset_meta.categories")


def _as_many(meta: dict[str, Any], key: str, count: int) -> list[Any]:
    items = meta.get(key, [])
    _expect(isinstance(items, list) and len(items) in (0, count), f"dataset_meta.{key}")
    return items


def _are(items: Any, kind: type) -> bool:
    return isinstance(items, list) and all(isinstance(item, kind) for item in items)


def _expect(holds: bool, key: str) -> None:
    if not holds:
        raise ValueError(f"{key} is wrong")


def check_header(header: WeightsHeader, weights: Mapping[str, Tensor], file: str | Path) -> None:
    """Check that a file's weights are those that its header was written for.

    Raises:
        InputError: They are not.
    """
    if header.sha256 != hash_weights(weights):
        raise InputError(
            f"{file} does not hold the weights that its header was written for (their hash "
            "differs): the file was changed or damaged, fetch or write it again"
        )


def one_line(text: Any) -> str:
    """Return text from a file in one line of at most 200 characters."""
    return " ".join(str(text).split())[:200]


def check_suffix(path: str | Path) -> None:
    """Check that a file to write has a known form.

    Raises:
        InputError: Its name ends otherwise than in ``SUFFIXES``.
    """
    if Path(path).suffix not in SUFFIXES:
        raise InputError(f"{path}: give a name that ends in {' or '.join(SUFFIXES)}")


def save_weights(
    path: str | Path,
    weights: nn.Module | Mapping[str, Tensor],
    header: WeightsHeader,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write a whole file of weights or none; the ending of its name decides its form.

    Args:
        path: A name that ends in ``.safetensors``, or in ``.pth``, whose ``meta`` has the classes.
        weights: A model, or the weights under its names.
        header: As ``make_header(config, dataset_meta)`` returns it; its hash is filled in.
        meta: Further items of a ``.pth`` file's ``meta``.

    Raises:
        InputError: The name ends otherwise, or the file can't be written.
    """
    check_suffix(path)
    import torch

    state = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    # safetensors takes no two names of one memory, such as of a layer that is shared.
    own = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import save_file

            header = replace(header, sha256=hash_weights(own))
            save_file(own, temporary, header.metadata())
        else:
            content = {"meta": {**(meta or {}), **header.meta}, "state_dict": own}
            with temporary.open("wb") as file:  # given a path, torch writes its name into the file
                torch.save(content, file)


def header_of(path: str | Path, meta: Mapping[str, Any]) -> WeightsHeader:
    """Return a checkpoint's header; of a file without one, that of its ``meta``, without a config.

    Raises:
        InputError: The file's header can't be read.
    """
    file = local_file(path)
    found = read_header(file) if file.suffix == ".safetensors" else None
    return found or make_header(None, meta.get("dataset_meta"))
