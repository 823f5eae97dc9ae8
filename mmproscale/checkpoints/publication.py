"""Publication of a trained model: its weights under a name with their hash, and a zoo's entry.

The form is OpenMMLab's: a file ``CONFIG_DATE-HASH.pth``, where HASH begins the file's SHA-256, and
an entry as in a ``metafile.yml``.
"""

from __future__ import annotations

import filecmp
import json
import math
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from torch import Tensor

from mmproscale.checkpoints.weights_file import WeightsHeader, hash_weights, save_weights
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.config import CONFIGS

WEIGHTS_FILE = "weights.safetensors"
"""Name of the file with the weights of a training's best or last checkpoint."""
LAST = "last_checkpoint"
"""Name of the file with the path of a training's last checkpoint."""
RUN = "run"
"""Key in ``metrics.json`` of the command, the hardware and the weights of its figures."""
# Place in metrics.json, task and metric of the figures that an entry states; all are shares of 1.
_FIGURES = (
    ("all", "pq", "Panoptic Segmentation", "PQ"),
    ("all", "mIoU", "Semantic Segmentation", "mIoU"),
    ("semantic", "miou", "Semantic Segmentation", "mIoU"),
    ("instance", "ap", "Instance Segmentation", "mask AP"),
    ("coco/segm_mAP", None, "Instance Segmentation", "mask AP"),
    ("coco/bbox_mAP", None, "Object Detection", "box AP"),
)


def find_trained(path: Path) -> Path:
    """Return the file of weights of a run's folder, or the path itself if it is a file.

    Raises:
        InputError: The folder has neither ``weights.safetensors`` nor a last checkpoint.
    """
    if not path.is_dir():
        return path
    last = (path / LAST).read_text().strip() if (path / LAST).is_file() else ""
    for name in (WEIGHTS_FILE, Path(last).name):
        if name and (path / name).is_file():
            return path / name
    raise InputError(f"{path} has no {WEIGHTS_FILE} and no checkpoint: give the folder of a run")


def config_of_run(file: Path) -> Path | None:
    """Return the config that a training wrote next to its weights; None without exactly one.

    Only in the folder of a run: reading a config runs its Python.
    """
    found = sorted(file.parent.glob("*.py"))
    return found[0] if len(found) == 1 and (file.parent / LAST).is_file() else None


def training_day(file: Path, meta: Mapping[str, Any]) -> str:
    """Return a checkpoint's day as YYYYMMDD: its own, or that of its file without one."""
    day = str(meta.get("time", ""))[:8]
    if len(day) == 8 and day.isdecimal():
        return day
    return datetime.fromtimestamp(file.stat().st_mtime, timezone.utc).strftime("%Y%m%d")


def write_published(
    folder: Path, stem: str, suffix: str, weights: Mapping[str, Tensor], header: WeightsHeader
) -> tuple[Path, bool]:
    """Write ``STEM-HASH.SUFFIX``; equal weights and headers have the same name and bytes.

    Returns:
        The file, and whether it is new.

    Raises:
        InputError: The folder can't be written, or has another file of that name.
    """
    with tempfile.TemporaryDirectory(prefix=".publish.", dir=ensure_writable_dir(folder)) as inner:
        draft = Path(inner) / f"weights{suffix}"
        save_weights(draft, weights, header)
        digest = sha256(draft.read_bytes()).hexdigest()
        file = folder / f"{stem}-{digest[:8]}{suffix}"
        is_new = not file.exists()
        if is_new:
            os.replace(draft, file)
        elif not filecmp.cmp(draft, file, shallow=False):
            raise InputError(f"{file} exists and is damaged: remove it, or give another --out")
    return file, is_new


def make_entry(config: Config, name: str, file: Path, results: list[dict]) -> dict[str, Any]:
    """Return the entry of published weights in a metafile.

    Args:
        config: The model's config.
        name: The config's name.
        file: The published file.
        results: As :func:`measured_results` returns them; may be empty.
    """
    shipped = _shipped_entry(name)
    data = Path(str(config.get("data_root") or "unknown")).name
    known = shipped.get("Metadata", {"Training Data": data})
    steps = (config.get("train_cfg") or {}).get("max_iters")
    stated = [dict(result, Dataset=known["Training Data"]) for result in results]
    return {
        "Name": name,
        **({"In Collection": shipped["In Collection"]} if shipped else {}),
        "Config": shipped.get("Config", f"{name}.py"),
        "Metadata": known | ({"Iterations": steps} if steps else {}),
        **({"Results": stated} if stated else {}),
        "Weights": file.name,
    }


def _shipped_entry(name: str) -> dict[str, Any]:
    """Return the entry of one of our configs; empty for another one's."""
    for file in sorted((CONFIGS / "metafiles").glob("*.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["Models"]:
            if entry["Name"] == name:
                return entry
    return {}


def measured_results(file: Path, weights: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Return the results in a ``metrics.json`` of ``tools/test.py``, in percent.

    Args:
        file: The JSON file.
        weights: The weights that the figures are for.

    Raises:
        InputError: The file can't be read, has no known figure, or is of other weights.
    """
    try:
        report = json.loads(file.read_bytes())
        run = report[RUN]
        command, hardware, measured = (run[key] for key in ("command", "hardware", "weights"))
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror}") from error
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} is not a metrics.json of tools/test.py with {RUN!r}: test the weights again"
        ) from error
    if measured != hash_weights(weights):
        raise InputError(f"{file} has the figures of other weights: test these, or give their file")
    return [
        dict(Task=task, Metrics={metric: percent}, Command=command, Hardware=hardware)
        for task, metric, percent in stated_figures(report, file)
    ]


def stated_figures(report: Mapping[str, Any], file: Path) -> list[tuple[str, str, float]]:
    """Return task, metric and percent of each figure that an entry of a zoo states.

    Args:
        report: Content of a ``metrics.json``.
        file: The file, which an error names.

    Raises:
        InputError: It has none.
    """
    found = [
        (task, metric, round(100 * value, 2))
        for group, key, task, metric in _FIGURES
        if _is_share(value := _figure(report, group, key))
    ]
    if not found:
        raise InputError(f"{file} has no PQ, mIoU or AP: test with a metric that gives one")
    return found


def _figure(report: Mapping[str, Any], group: str, key: str | None) -> Any:
    value = report.get(group)
    return value if key is None else value.get(key) if isinstance(value, dict) else None


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1


def write_entry(file: Path, entry: Mapping[str, Any]) -> None:
    """Write an entry as YAML; a file with the same entry stays as it is.

    Raises:
        InputError: The file exists with another entry, or can't be written.
    """
    text = yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True, width=100)
    if not file.exists():
        atomic_write_text(file, text)
    elif file.read_bytes() != text.encode("utf-8"):
        raise InputError(f"{file} has another entry: remove it, or give another --out")
