"""Tests mirror the package: every module with logic has a test file at the mirrored path."""

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
