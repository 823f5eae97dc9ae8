"""``python -m mmproscale``, for torchrun and the like."""

from mmproscale.cli.console import main

if __name__ == "__main__":
    main()
