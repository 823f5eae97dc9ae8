"""Description that an exported file carries: classes, sizes, and the settings of its model."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.version import __version__

PREFIX = "mmproscale."
SUFFIXES = (".onnx", ".xml")
"""Files that a predictor opens by name; not .pt2, in which PyTorch evaluates expressions."""

SCOPES = ("", "mmengine", "mmcv", "mmdet", "mmseg", "mmproscale", "mmpretrain")
"""Scopes of the types in a file's settings."""


def is_exported(name: object) -> bool:
    """Return True for the path of a file that ONNX Runtime or OpenVINO runs."""
    return isinstance(name, (str, Path)) and Path(name).suffix in SUFFIXES


UNUSED = ("train_cfg", "init_cfg", "pretrained")
"""Keys of a model's config that an exported file leaves out."""


@dataclass(frozen=True)
class ExportInfo:
    """Description of an exported graph.

    Args:
        config: Name of the model's config.
        kind: ``'panoptic'``, ``'semantic'``, ``'instance'`` or ``'boxes'``.
        precision: ``'fp32'``, ``'fp16'``, ``'bf16'`` or ``'int8'``.
        fused: True if the graph's outputs are results, False for logits.
        photos: True if the graph resizes and normalises, and takes RGB photos (B, H, W, 3) uint8;
            False for normalised and padded images (B, 3, H, W).
        categories: In the order of labels, each with ``id``, ``name``, ``isthing``.
        settings: Model, test pipeline and scope of the config, as a Python literal.
        exits: Exits among which the graph's gate chooses; empty for a whole model.
        frame: (H, W) of the padded image and of the image in it, with ``photos``.
    """

    config: str
    kind: str
    precision: str
    fused: bool
    photos: bool
    categories: list[dict[str, Any]]
    settings: str = field(repr=False)
    exits: tuple[int, ...] = ()
    frame: tuple[tuple[int, int], ...] = ()

    def to_strings(self) -> dict[str, str]:
        """Return texts by key, for a file's metadata; JSON except for ``settings``."""
        parts = asdict(self) | {"version": __version__}
        texts = {key: value for key, value in parts.items() if isinstance(value, str)}
        others = {key: json.dumps(value) for key, value in parts.items() if key not in texts}
        return {PREFIX + key: text for key, text in (texts | others).items()}

    @classmethod
    def from_strings(cls, metadata: Mapping[str, str], path: str | Path) -> ExportInfo:
        """Read the metadata of a file.

        Raises:
            InputError: The file was not written by this package, or by a version that differs.
        """
        try:
            parts = {name: metadata[PREFIX + name] for name in cls.__dataclass_fields__}
            texts = ("config", "kind", "precision", "settings")
            values: dict[str, Any] = {
                name: text if name in texts else json.loads(text) for name, text in parts.items()
            }
            ast.literal_eval(values["settings"])
        except (KeyError, ValueError, SyntaxError) as error:
            raise InputError(
                f"{path} is not a file of `mmproscale export`, or of another version than "
                f"{__version__} (its metadata has no valid {error}): export the model again"
            ) from error
        values["exits"] = tuple(values["exits"])
        values["frame"] = tuple(tuple(size) for size in values["frame"])
        return cls(**values)

    @classmethod
    def metadata_keys(cls) -> list[str]:
        """Return the keys of :meth:`to_strings` that a file must have."""
        return [PREFIX + name for name in cls.__dataclass_fields__]

    def model_config(self, path: str | Path) -> Config:
        """Return a config with the model, its test pipeline and scope.

        Args:
            path: The file, for messages.

        Raises:
            InputError: The settings name a type that is not registered.
        """
        settings = ast.literal_eval(self.settings)
        check_types(settings, registered_names(), path)
        return Config(settings)


def check_types(settings: Any, names: set[str], path: str | Path) -> None:
    """Check that a file's settings name registered types, and no weights to fetch.

    mmengine imports a type that is not registered.

    Args:
        settings: Settings, or a part of them.
        names: Registered names, without scope.
        path: The file, for the message.

    Raises:
        InputError: A type is not a registered name, or a part has weights of its own.
    """
    if isinstance(settings, Mapping):
        if fetched := settings.keys() & {"init_cfg", "pretrained"}:
            raise InputError(f"{path} has settings with {min(fetched)}: export the model again")
        found = settings.get("type", "")
        scope, _, name = str(found).rpartition(".")
        if found and (not isinstance(found, str) or scope not in SCOPES or name not in names):
            raise InputError(
                f"{path} has settings with the unknown type {found!r}: export the model again"
            )
    if isinstance(settings, (Mapping, list, tuple)):
        parts = settings.values() if isinstance(settings, Mapping) else settings
        for part in parts:
            check_types(part, names, path)


def registered_names() -> set[str]:
    """Return the names of models, their parts and transforms that are registered here."""
    import mmseg.datasets
    import mmseg.models  # noqa: F401
    from mmengine.registry import MODELS, TASK_UTILS, TRANSFORMS

    from mmproscale.models.encoders.schedule import SCHEDULES
    from mmproscale.registry import MODELS as OURS
    from mmproscale.registry import TRANSFORMS as OUR_TRANSFORMS

    for registry in (OURS, OUR_TRANSFORMS):
        registry.import_from_location()
    names = {*SCHEDULES}
    waiting = [MODELS, TASK_UTILS, TRANSFORMS]
    while waiting:
        registry = waiting.pop()
        names |= registry.module_dict.keys()
        waiting += registry.children.values()
    return names


def settings_of(config: Config, photos: bool) -> str:
    """Return the settings of an exported model, as a Python literal.

    Args:
        config: The model's config.
        photos: As in :class:`ExportInfo`; then nothing is left to the test pipeline and the
            preprocessor but to put images together.

    Raises:
        InputError: The config has values that are not plain.
    """
    from mmdet.utils import get_test_pipeline_cfg

    from mmproscale.models.backbones.timm_backbone import read_from_backbone

    steps = [_plain(step) for step in get_test_pipeline_cfg(config) if not _loads_truth(step)]
    model = _plain(read_from_backbone(config.model))
    # The file has the backbone, whose own code may not be installed where the file is used.
    model["backbone"] = {"type": "mmdet.ResNet", "depth": 18}
    if photos:
        steps = [steps[0], steps[-1]]
        kind = model["data_preprocessor"]["type"]
        model["data_preprocessor"] = {"type": kind, "bgr_to_rgb": True}
    parts = {
        "model": model,
        "default_scope": config.get("default_scope", "mmdet"),
        "test_dataloader": {"dataset": {"pipeline": steps}},
    }
    text = repr(parts)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise InputError(
            f"config {config.filename}: its model or test pipeline has values that are not plain "
            "numbers, texts, lists or dicts, which an exported file can't hold: write them plainly"
        ) from error
    return text


def _loads_truth(step: Mapping[str, Any]) -> bool:
    name = str(step["type"]).rpartition(".")[2]
    return name.startswith("Load") and not name.startswith("LoadImage")


def _plain(value: Any) -> Any:
    """Return dicts of mmengine as plain dicts, without what only training reads."""
    if isinstance(value, Mapping):
        return {k: _plain(item) for k, item in value.items() if k not in UNUSED}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
