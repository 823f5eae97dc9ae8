"""Start several processes: torchrun, with its options, and one line where a process fails.

  python tools/launch.py --nproc-per-node 8 tools/train.py CONFIG     in a checkout
  mmproscale launch --nproc-per-node 8 -m mmproscale train CONFIG     without one

--nproc-per-node N    processes on this machine, one for each GPU
--nnodes N            machines; also give --node-rank, --master-addr and --master-port
--standalone          one machine, on a free port

`torchrun --help` lists all options; docs/distributed.md has several machines.
"""

import sys

from mmproscale.cli.launch import launch


def main() -> None:
    """Start the processes; print the help without torch, which takes seconds to import."""
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        print(__doc__)
    else:
        launch(sys.argv[1:])


if __name__ == "__main__":
    main()
