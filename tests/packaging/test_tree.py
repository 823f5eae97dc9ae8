"""The tree: tests mirror the package, and docstrings begin as the style asks."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_LOGIC = {"__main__.py", "errors.py", "version.py"}


def test_every_module_has_its_test_file():
    modules = [
        path.relative_to(ROOT / "mmproscale")
        for path in (ROOT / "mmproscale").rglob("*.py")
        if path.name != "__init__.py" and ".mim" not in path.parts
    ]
    assert len(modules) > 100
    missing = [
        str(module)
        for module in modules
        if str(module) not in WITHOUT_LOGIC
        and not (ROOT / "tests" / module.parent / f"test_{module.name}").is_file()
    ]
    assert not missing


def test_docstrings_say_what_a_thing_is_or_does():
    first_words = {"What", "Whether", "Of", "How", "Which", "Where"}
    found = []
    for path in (ROOT / "mmproscale").rglob("*.py"):
        if ".mim" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                first, *_ = (ast.get_docstring(node) or "-").split(maxsplit=1)
                found += [f"{path.name}: {first}"] if first in first_words else []
    assert not found
