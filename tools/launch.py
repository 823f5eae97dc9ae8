"""Start several processes: torchrun, with its options, and one line where a process fails.

``python tools/launch.py --nproc-per-node 8 tools/train.py CONFIG``, or, without a checkout,
``mmproscale launch --nproc-per-node 8 -m mmproscale train CONFIG``. docs/distributed.md has several
machines.
"""

import sys

from mmproscale.cli.launch import launch


def main() -> None:
    launch(sys.argv[1:])


if __name__ == "__main__":
    main()
