"""A config as the name of a shipped config and the plain values that differ from it.

Only what a trained model needs is compared: its scope, its model and its test pipeline. Changes are
data: numbers, text, and lists and dicts of them. A change can state only the types of schedules and
pixel embeddings, so a description from a file can't name code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.utils.config import CONFIGS, load_config

# Keys that serve training only, at any depth.
TRAINING_ONLY = ("batch_augments", "init_cfg", "pretrained", "train_cfg")
# Types that a change may state, by the key of their dict: a plan chooses among them.
PLAIN_TYPES = dict(
    schedule=("pro_scale", "m2f", "lite", "stages"), pixel_embedding=("LPE", "ConvPixelEmbedding")
)
MODEL, PIPELINE = "model", "test_pipeline"


class NotPlainError(ValueError):
    """Error for a difference that is not plain data; the message names its place."""


@dataclass(frozen=True)
class ShippedConfig:
    """Name of a shipped config, and a model's differences from it.

    Attributes:
        name: File in ``configs/`` without ``.py``.
        changes: Dotted place -> plain value. A place begins with ``model`` or ``test_pipeline``,
            and items of lists are numbered.
        removed: Places that the shipped config has and the model's config lacks.
        own_data: True if the config tests on other files than the shipped config.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    own_data: bool = False


def describe_config(config: Config) -> ShippedConfig:
    """Describe a config by the shipped config that it is, inherits from, or shares its model with.

    Raises:
        NotPlainError: It has no such config, or differs from each in more than plain values.
    """
    reason = "it inherits from no config of mmproscale"
    for group in _related(config):
        found = []
        for file in group:
            try:
                found.append(_compare(config, file))
            except NotPlainError as error:
                reason = str(error)
        if found:
            return min(found, key=lambda known: len(known.changes) + len(known.removed))
    raise NotPlainError(reason)


def restore_config(known: ShippedConfig) -> Config:
    """Return the config that was described.

    Raises:
        NotPlainError: A change is not plain.
        InputError: No config of that name is shipped, or it lacks a place of the description.
    """
    if known.name not in (file.stem for file in CONFIGS.glob("*.py")):
        raise InputError(f"config '{known.name}' is not one of this mmproscale")
    config = load_config(CONFIGS / f"{known.name}.py")
    sections = _sections(config)
    for place, value in known.changes.items():
        _check_plain(value, place)
        parent, key = _locate(sections, place, known.name)
        parent[key] = _with_tuples(value, parent[key] if _has(parent, key) else None)
    for place in known.removed:
        _check_plain(None, place)
        parent, key = _locate(sections, place, known.name)
        if not isinstance(parent, dict) or key not in parent:
            raise InputError(f"config '{known.name}' has no {place}")
        del parent[key]
    return config


def _locate(sections: dict[str, Any], place: str, name: str) -> tuple[Any, Any]:
    """Return the dict or list that holds a place, and the key or index in it."""
    *parts, last = place.split(".")
    parent: Any = sections
    for part in parts:
        key = _key(parent, part)
        parent = parent[key] if _has(parent, key) else None
    key = _key(parent, last)
    is_item = isinstance(parent, list) and _has(parent, key)
    if parent is sections or not (isinstance(parent, dict) or is_item):
        raise InputError(f"config '{name}' has no {place}")
    return parent, key


def _key(parent: Any, part: str) -> str | int:
    return int(part) if isinstance(parent, (list, tuple)) and part.isdecimal() else part


def _has(parent: Any, key: str | int) -> bool:
    if isinstance(parent, (list, tuple)):
        return isinstance(key, int) and key < len(parent)
    return isinstance(parent, dict) and key in parent


def _with_tuples(value: Any, shipped: Any) -> Any:
    """Return a value with tuples for its lists, unless the shipped config has a list there.

    OpenMMLab takes sizes as tuples only.
    """
    if isinstance(value, dict):
        known = shipped if isinstance(shipped, dict) else {}
        return {key: _with_tuples(item, known.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        items = [_with_tuples(item, None) for item in value]
        return items if isinstance(shipped, list) else tuple(items)
    return value


def _related(config: Config) -> Iterator[list[Path]]:
    """Yield groups of shipped configs to compare with, the nearest first."""
    own = CONFIGS / f"{Path(config.filename or '').stem}.py"
    for file in [own, *reversed(inherited_files(config))]:
        if file.parent == CONFIGS and file.is_file():
            yield [file]
        elif file.parent == CONFIGS / "_base_/models":
            yield sorted(CONFIGS.glob(f"{file.stem}_*.py"))


def inherited_files(config: Config) -> list[Path]:
    """Return the files that a config was read from, base files first, itself last."""
    # mmengine joins the texts of all files, the base files' first, and puts a file's path before
    # its text.
    lines = [line for line in (config.text or "").splitlines() if line.endswith(".py")]
    return [Path(line).resolve() for line in lines if line.startswith("/")]


def _sections(config: Config) -> dict[str, Any]:
    return {MODEL: config.model, PIPELINE: pipeline_for_tests(config)}


def pipeline_for_tests(config: Config) -> Any:
    """Return the steps of a config's test pipeline, below wrappers of its dataset."""
    return _test_dataset(config).get("pipeline") or []


def _test_dataset(config: Config) -> dict[str, Any]:
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    while dataset and "pipeline" not in dataset:  # a wrapper, or several datasets
        dataset = dataset.get("dataset") or next(iter(dataset.get("datasets") or []), {})
    return dataset


def _tests_on_other_files(config: Config, shipped: Config) -> bool:
    ours, theirs = _test_dataset(config), _test_dataset(shipped)
    return any(ours.get(k) != theirs.get(k) for k in ("data_root", "ann_file", "data_prefix"))


def _compare(config: Config, file: Path) -> ShippedConfig:
    if config.get("model") is None:
        raise NotPlainError("it has no model")
    if not pipeline_for_tests(config):
        raise NotPlainError("it has no test pipeline")
    shipped = load_config(file)
    if config.get("default_scope") != shipped.get("default_scope"):
        raise NotPlainError(f"default_scope is another one than in {file.stem}")
    known = ShippedConfig(file.stem)
    ours, theirs = _sections(config), _sections(shipped)
    removed = [*_differences(ours, theirs, "", known.changes)]
    own_data = _tests_on_other_files(config, shipped)
    return ShippedConfig(file.stem, known.changes, tuple(removed), own_data)


def _differences(ours: Any, theirs: Any, place: str, changes: dict[str, Any]) -> Iterator[str]:
    """Enter plain differences of ``ours`` into ``changes``, and yield removed places.

    Raises:
        NotPlainError: A difference is not plain.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in [key for key in {**theirs, **ours} if key not in TRAINING_ONLY]:
            where = f"{place}.{key}".lstrip(".")
            if key not in ours:
                _check_plain(None, where)
                yield where
            elif key not in theirs:
                changes[where] = _as_json(_check_plain(ours[key], where))
            else:
                yield from _differences(ours[key], theirs[key], where, changes)
    elif _are_lists_of_dicts(ours, theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(*pair, f"{place}.{number}", changes)
    elif _as_json(ours) != _as_json(theirs):
        changes[place] = _as_json(_check_plain(ours, place))


def _are_lists_of_dicts(ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple))):
        return False
    return len(ours) == len(theirs) and all(isinstance(item, dict) for item in (*ours, *theirs))


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def _check_plain(value: Any, place: str) -> Any:
    """Return a value if it is data, and if neither its place nor a key in it names code.

    Raises:
        NotPlainError: It is not data.
    """
    parts = place.split(".")
    if len(parts) > 1 and parts[-1] == "type" and value in PLAIN_TYPES.get(parts[-2], ()):
        return value
    if any(part in ("type", *TRAINING_ONLY) or part.startswith("_") for part in parts):
        raise NotPlainError(f"{place} is not a plain value")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or "." in key:
                raise NotPlainError(f"{place} has a key that is no plain name: {key!r}")
            _check_plain(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_plain(item, f"{place}.{number}")
    elif not (value is None or isinstance(value, (bool, int, str)) or _is_finite(value)):
        raise NotPlainError(f"{place} is not a plain value")
    return value


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
