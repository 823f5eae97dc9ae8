"""The one checkpoint loader: reads data only, refuses the rest by name, in place of mmengine's.

Importing this imports no torch; `install` does, once mmengine's loader itself is imported.
"""

from mmproscale.checkpoints.installation import install, install_when_imported

__all__ = ["install", "install_when_imported"]
