"""Classes behind the types that a config names."""

from __future__ import annotations

from typing import Any

from mmengine.registry import Registry


def registered_class(config_type: str | type, registry: Registry, scope: str | None = None) -> Any:
    """Return the class, or function, that a config's ``type`` names; None for an unknown name.

    Args:
        config_type: A registered name, with or without its scope, or a class.
        registry: The registry that builds it; only its package and the type's are imported.
        scope: The config's ``default_scope``; None for the scope that is set already.
    """
    if not isinstance(config_type, str):
        return config_type
    with registry.switch_scope_and_registry(scope) as scoped:
        try:
            return scoped.get(config_type)
        except RuntimeError:  # a name in a scope that does not have it
            return None


def is_type(
    config_type: Any, registry: Registry, *wanted: str | type, scope: str | None = None
) -> bool:
    """Return True where a config's ``type`` is one of some classes, or a subclass of one.

    Args:
        config_type: The value of ``type``, if there is one.
        registry: The registry that builds it.
        wanted: Classes, or registered names with their scope. These names import nothing, because
            a class that is not imported yet can't be a base of ``config_type``.
        scope: As for :func:`registered_class`.
    """
    found = config_type and registered_class(config_type, registry, scope)
    classes = (_known(name, registry) if isinstance(name, str) else name for name in wanted)
    return isinstance(found, type) and any(c is not None and issubclass(found, c) for c in classes)


def _known(name: str, registry: Registry) -> Any:
    """Return the class of ``SCOPE.NAME`` if it is imported."""
    scope, _, name = name.partition(".")
    root = registry.root
    home = root if scope == root.scope else root.children.get(scope)
    return home.module_dict.get(name) if home else None
