"""Pin the installed version of every package that requirements files need, directly or not.

``make constraints`` writes the constraints files with it.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def main() -> None:
    """Print the versions of this environment, one line each, in the order of names."""
    file, *others = map(Path, sys.argv[1:])
    pins: dict[str, str] = {}
    waiting = [one for part in (file, *others) for one in stated(part)]
    while waiting:
        one = waiting.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        extras = {"", *one.extras}
        try:
            found = distribution(one.name)
        except PackageNotFoundError:
            continue  # for another Python or system
        if name not in pins or one.extras:
            pins[name] = found.version.split("+")[0]  # a local build has no release of its own
            needed = (Requirement(text) for text in found.requires or ())
            waiting += [
                part
                for part in needed
                if part.marker is None or any(part.marker.evaluate({"extra": e}) for e in extras)
            ]
    print(f"# A working set for {file.name}, Python {sys.version_info[0]}.{sys.version_info[1]}:")
    print(f"# pip install -r requirements/{file.name} -c requirements/constraints-{file.name}")
    for name in sorted(pins):
        print(f"{name}=={pins[name]}")


def stated(file: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file and of those that it includes."""
    for line in file.read_text().splitlines():
        line = line.partition(" #")[0].strip()
        if line.startswith("-r "):
            yield from stated(file.parent / line[3:].strip())
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


if __name__ == "__main__":
    main()
