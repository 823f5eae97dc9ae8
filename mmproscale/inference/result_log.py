"""Log of results: JSON lines that grow by one for each image and survive a crash."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path

Line = dict[str, Any]


class ResultLog:
    """File of JSON lines: a header, one line for each image, and an end.

    Each line is on the disk when :meth:`append` returns. A line that was cut off is dropped.

    Args:
        path: The file.
        header: First line: what the results depend on.
        resume: Keep the lines that are there.

    Attributes:
        names: Names of the images that have a line.

    Raises:
        InputError: The header of the file to resume differs; the file can't be read or written.
    """

    def __init__(self, path: Path, header: Line, resume: bool = False) -> None:
        self.path = path
        self.names: set[str] = set()
        kept: list[Line] = []
        if resume and path.is_file():
            kept = [line for line in whole_lines(path) if "end" not in line]
        if kept:
            _check_header(path, kept[0], json.loads(json.dumps(header)))
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for line in kept or [header]:
                stream.write(json.dumps(line) + "\n")
        self.names.update(line["name"] for line in kept[1:])

    def append(self, name: str, place: int, line: Line) -> None:
        """Add an image's line; ``place`` is the image's number in the order of all images."""
        self._write({"name": name, "place": place, **line})
        self.names.add(name)

    def end(self) -> None:
        """Mark that the log is whole."""
        self._write({"end": len(self.names)})

    def _write(self, line: Line) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from error


def _check_header(path: Path, found: Line, expected: Line) -> None:
    differing = [key for key in expected if found.get(key) != expected[key]]
    if differing:
        key = differing[0]
        raise InputError(
            f"{path} was written with {key}={_short(found.get(key))}, not {_short(expected[key])}: "
            "give the same options to resume, or another folder"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def whole_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a log, without a last one that was cut off."""
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"{path} is damaged: write the results again") from error


def is_whole(path: Path) -> bool:
    """Return True if a log exists and has its end."""
    return path.is_file() and any("end" in line for line in whole_lines(path))


def image_lines(paths: Sequence[Path]) -> Iterator[Line]:
    """Yield the images' lines of several logs, in the order of the images."""
    logs = ((line for line in whole_lines(path) if "place" in line) for path in paths)
    return heapq.merge(*logs, key=lambda line: line["place"])


def write_json(path: Path, content: Mapping[str, Iterable[Any]] | Iterable[Any]) -> None:
    """Write a dict of lists, or a list, whose items are made while they are written.

    The file is either whole or absent, and equal to that of ``json.dumps``.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        if not isinstance(content, Mapping):
            _write_list(stream, content)
            return
        opening = "{"
        for key, items in content.items():
            stream.write(f"{opening}{json.dumps(key)}: ")
            _write_list(stream, items)
            opening = ", "
        stream.write("}")


def _write_list(stream: IO[str], items: Iterable[Any]) -> None:
    opening = "["
    for item in items:
        stream.write(opening + json.dumps(item))
        opening = ", "
    stream.write("[]" if opening == "[" else "]")
