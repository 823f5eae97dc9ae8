"""``python -m mmproscale``, for torchrun and the like."""

from mmproscale.apis.console import main

if __name__ == "__main__":
    main()
