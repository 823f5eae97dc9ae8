"""What a killed step B leaves: parts of the derived file, each whole or not there.

The parts lie in ``OUT.parts`` beside the file to be, with what they are of. Which images a part has
depends on the dataset alone, so any number of processes may go on with them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmproscale.early_exit.derived_file import merge, write_rows
from mmproscale.early_exit.derived_table import Origin
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir

PART = 32
"""Images of a part: what a kill costs each process at most."""


class DerivedParts:
    """The parts of one derived file.

    Args:
        out: The file to be.
        origin: What it is made from.
        image_ids: Of the dataset, in its order.
        settings: What else a row depends on: name -> a digest.
    """

    def __init__(
        self,
        out: str | Path,
        origin: Origin,
        image_ids: Sequence[Any],
        settings: Mapping[str, str],
    ) -> None:
        self.out, self.origin, self.num_images = Path(out), origin, len(image_ids)
        self.folder = self.out.with_name(f"{self.out.name}.parts")
        ids = hashlib.sha256(json.dumps([str(i) for i in image_ids]).encode()).hexdigest()
        self._said = dict(origin=asdict(origin), images=ids, part=PART, settings=dict(settings))

    def prepare(self, restart: bool) -> None:
        """Make the folder, or check that what is in it goes on.

        Args:
            restart: Whether to remove what is there, and the file itself.

        Raises:
            InputError: The file is there already; the parts are of something else; the folder
                can't be written.
        """
        if restart:
            self.out.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.out.exists():
            raise InputError(f"{self.out} is there already: --restart derives it again")
        ensure_writable_dir(self.folder)
        path = self.folder / "origin.json"
        said = json.loads(json.dumps(self._said))
        if not path.exists():
            atomic_write_text(path, json.dumps(said, indent=1))
        if (found := json.loads(path.read_text())) != said:
            raise InputError(
                f"{self.folder} has parts of {_difference(found, said)}: take another --out, or "
                "start anew with --restart"
            )

    def share(self, rank: int, world: int) -> list[int]:
        """Numbers of the parts that a process has yet to write."""
        number = -(-self.num_images // PART)
        return [part for part in range(rank, number, world) if not self._path(part).exists()]

    def images(self, part: int) -> range:
        """Places in the dataset of a part's images."""
        return range(part * PART, min((part + 1) * PART, self.num_images))

    def write(self, part: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a part, whole or not at all."""
        write_rows(self._path(part), rows, self.origin)

    def num_written(self) -> int:
        """Images of all parts that are there, whoever wrote them."""
        names = (path.stem for path in self.folder.glob("part-*.parquet"))
        return sum(len(self.images(int(name.removeprefix("part-")))) for name in names)

    def finish(self) -> None:
        """Write the derived file from all parts, and remove them.

        Raises:
            InputError: A part is missing or damaged, or the file can't be written.
        """
        number = -(-self.num_images // PART)
        merge([self._path(part) for part in range(number)], self.out, self.origin)
        shutil.rmtree(self.folder)

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:06d}.parquet"


def _difference(found: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """What parts that do not fit are of, for a person."""
    old, new = found.get("origin", {}), said["origin"]
    if old.get("fingerprint") != new["fingerprint"]:
        return f"another model ({old.get('config')})"
    if found.get("images") != said["images"]:
        return "other images"
    for name, digest in said["settings"].items():
        if found.get("settings", {}).get(name) != digest:
            return f"another run, which had another {name}"
    key = next((key for key in new if old.get(key) != new[key]), "part")
    return f"another run ({key} {old.get(key)}, now {new.get(key)})"
