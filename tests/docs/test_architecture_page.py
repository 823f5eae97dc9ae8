"""The page on the architecture names files that exist and the layers of the contract."""

import re
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmproscale"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def contracts() -> list[dict]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return content["tool"]["importlinter"]["contracts"]


def test_every_file_on_the_page_exists():
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)
    assert len(paths) > 40
    bases = (PACKAGE, ROOT, PACKAGE / "datasets", PACKAGE / "models/criterion")
    missing = {path for path in paths if not any((base / path).exists() for base in bases)}
    assert missing == {"mmproscale/A/b.py", "tests/A/test_b.py"}, "the page's two examples"


def test_every_name_in_code_on_the_page_is_in_the_file_before_it():
    for name, file in re.findall(r"`(\w+)` in `([\w/]+\.py)`", PAGE):
        assert re.search(rf"\b{name}\b", (PACKAGE / file).read_text()), (name, file)


def test_every_method_on_the_page_exists():
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    methods = re.findall(r"`([A-Z]\w+)\.(\w+)`", PAGE)
    assert methods
    for owner, method in methods:
        assert f"class {owner}" in code and f"def {method}(" in code, (owner, method)


def test_the_contract_lists_every_folder_and_the_page_shows_it():
    layers = contracts()[0]["layers"]
    named = {name.strip() for row in layers for name in re.split(r"[|:]", row)}
    modules = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert named == modules | folders
    picture = PAGE.split("## Layers")[1].split("## Contracts")[0]
    assert all(f"{folder}/" in picture for folder in folders)
    assert all(contract["exhaustive"] for contract in contracts())
