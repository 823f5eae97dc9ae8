"""Exports of label tools that are not COCO: their recognition, and the commands that convert them.

COCO itself, Roboflow's COCO and the COCO exports of CVAT and Label Studio need no conversion.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmproscale.datasets.conversion.cvat import read_cvat
from mmproscale.datasets.conversion.labelme import read_labelme
from mmproscale.datasets.conversion.yolo_files import describing_file
from mmproscale.errors import InputError
from mmproscale.own_data.layouts import folders_below, one_of_split, split_of
from mmproscale.utils.command_names import command
from mmproscale.utils.image_inputs import visible
from mmproscale.utils.words import few

LABELME = "labelme"
SPLITS = ("train", "val")
Step = list[str]
"""Name of a file in tools/datasets/, and its arguments."""


@dataclass(frozen=True)
class Export:
    """Export of a label tool.

    Args:
        tool: Name of its format.
        root: Folder of the data.
        sources: Split -> its file or folder; a file of YOLO describes all splits.
        subsets: Split -> CVAT's name of the subset, if one file holds several.
    """

    tool: str
    root: Path
    sources: dict[str, Path]
    subsets: dict[str, str] = field(default_factory=dict)

    def steps(self, out: Path, things: Sequence[str] | None) -> list[Step]:
        """Return the commands that convert it to COCO.

        Args:
            out: Folder to write to.
            things: Labels of labelme that are things; the others are stuff.

        Raises:
            InputError: labelme needs ``things`` and the other formats have none.
        """
        if (self.tool == LABELME) != (things is not None):
            raise InputError(
                self.how_to_convert()
                if things is None
                else f"--things: all classes of {self.tool} are things; leave it out"
            )
        steps: list[Step] = []
        for split, path in self.sources.items():
            options = ["--split", split] if self.tool != "YOLO" else []
            if split in self.subsets:
                options += ["--subset", self.subsets[split]]
            if things is not None:
                options += ["--things", *things, "--labels-from", str(self.root)]
            step = [f"from_{self.tool.lower()}.py", str(path), *options]
            steps.append([*step, "--out", str(out), "--copy-images"])
        return steps

    def how_to_convert(self) -> str:
        """Return a line that names the format and the commands that convert it."""
        things, hint = None, ""
        if self.tool == LABELME:
            labels = {label for file in read_labelme(self.root) for label in file.labels()}
            hint = f" (its labels are {few(sorted(labels), 20)}; the others become stuff)"
            things = ["LABEL", "..."]
        option = "--convert OUT" + " --things LABEL ..." * bool(things)
        steps = self.steps(Path("OUT"), things)
        start = f"'{self.root}' is an export of {self.tool}"
        return f"{start}: add {option}{hint}, or run {commands(steps)}"


def commands(steps: list[Step]) -> str:
    """Return steps as one line for a shell."""
    return " && ".join(
        f"{command(f'datasets {Path(tool).stem}'.replace('_', '-'))} {shlex.join(arguments)}"
        for tool, *arguments in steps
    )


def find_export(root: Path) -> Export | None:
    """Recognise the export of a label tool in a folder.

    Raises:
        InputError: Several files or folders could be of one split.
    """
    return _yolo(root) or _cvat(root) or _labelme(root)


def _yolo(root: Path) -> Export | None:
    found = [folder for folder in folders_below(root, depth=1) if describing_file(folder)]
    if len(found) > 1:
        listed = ", ".join(str(folder) for folder in found)
        raise InputError(f"several folders have files of YOLO: {listed}; name one, --data")
    return Export("YOLO", root, {"train": found[0]}) if found else None


def _cvat(root: Path) -> Export | None:
    found = [
        path for folder in folders_below(root, depth=2) for path in visible(folder.glob("*.xml"))
    ]
    found = [path for path in found if b"<annotations" in path.read_bytes()[:4096]]
    files = {split: one_of_split(found, split, root, "--data") for split in SPLITS}
    sources = {split: path for split, path in files.items() if path is not None}
    if len(found) == 1:
        names = {split_of(Path(name)): name for name in read_cvat(found[0]).subsets}
        subsets = {split: names[split] for split in SPLITS if split in names}
        if "train" in subsets:
            return Export("CVAT", root, dict.fromkeys(subsets, found[0]), subsets)
    return Export("CVAT", root, sources) if sources else None


def _labelme(root: Path) -> Export | None:
    found = [folder for folder in folders_below(root, depth=3) if _is_labelme(folder)]
    if not found:
        return None
    tops = {root / folder.relative_to(root).parts[0] for folder in found if folder != root}
    tops = {folder for folder in tops if split_of(folder.relative_to(root))}
    parts = {split: one_of_split(tops, split, root, "--data") for split in SPLITS}
    sources = {split: path for split, path in parts.items() if path is not None}
    return Export(LABELME, root, sources if "train" in sources else {"train": root})


def _is_labelme(folder: Path) -> bool:
    first = min(visible(folder.glob("*.json")), default=None)
    text = first.read_bytes() if first else b""
    return all(key in text for key in (b'"shapes"', b'"imagePath"'))
