"""JSON files, and COCO's annotation files with their three lists."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from mmengine.fileio import get

from mmproscale.utils.faults import Fault, accept, excerpt, refuse

LISTS = ("images", "annotations", "categories")


def read_coco_json(
    path: str,
    need_annotations: bool = True,
    backend_args: dict | None = None,
    mend: str = "ann_file",
) -> dict:
    """Read a COCO annotation file: panoptic, or another kind with the same three lists.

    Args:
        path: the JSON file, local or on any of mmengine's file backends.
        need_annotations: False to accept images without ground truth (a test set).
        backend_args: mmengine's choice of file backend.
        mend: names what to check if the file is missing, for messages.

    Returns:
        The file's dict; `annotations` is an empty list where it is absent and not needed.

    Raises:
        InputError: the file is missing, is not JSON, or lacks one of the lists.
    """
    content = read_json(path, mend, backend_args)
    if isinstance(content, dict) and not need_annotations:
        content.setdefault("annotations", [])
    refuse(list_faults(content, path))
    return content


def read_json(path: str | os.PathLike, mend: str, backend_args: dict | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: the file, local or on any of mmengine's file backends.
        mend: names what to check if the file is missing, for messages.
        backend_args: mmengine's choice of file backend.

    Raises:
        InputError: the file is missing, cannot be read or is not JSON.
    """
    return accept(read_json_or_fault(str(path), backend_args, mend))


def read_json_or_fault(
    path: str, backend_args: dict | None = None, mend: str = "ann_file"
) -> Any | Fault:
    """Read a JSON file as `read_json`, but return a fault instead of raising it."""
    try:
        text = get(path, backend_args=backend_args)
    except FileNotFoundError:
        return Fault("json-missing", path, "", "does not exist", f"check {mend}")
    except OSError as error:
        return Fault("json-unreadable", path, "", f"cannot be read ({error.strerror})", "mend that")
    try:
        return json.loads(bytes(text))  # UTF-8, or UTF-16 and -32 as their first bytes tell
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 ({error.reason} at byte {error.start})"
        return Fault("json-encoding", path, "", problem, "save it as UTF-8")
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error})"
        return Fault("json-syntax", path, "", problem, "write or download it again")


def list_faults(content: Any, file: str) -> Iterator[Fault]:
    """Yield faults of a COCO file's top level, which should be three lists of dicts."""
    if not isinstance(content, dict):
        problem = f"is not COCO: its top level is {excerpt(content, 30)}, not an object"
        yield Fault("not-coco", file, "", problem, "give a COCO annotation file")
        return
    for key in LISTS:
        entries = content.get(key)
        if not isinstance(entries, list):
            problem = "is missing or not a list: this is not COCO"
            yield Fault("not-coco", file, f"'{key}'", problem, "give a COCO annotation file")
            continue
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                field, problem = f"{key}[{place}]", f"is {excerpt(entry)}, not an object"
                yield Fault("not-coco", file, field, problem, "remove or replace it")
