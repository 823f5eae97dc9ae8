"""Start several processes: torchrun, with its options, and one line where a process fails.

In a checkout: python tools/launch.py --nproc-per-node 8 tools/train.py CONFIG
Without one: mmproscale launch --nproc-per-node 8 -m mmproscale train CONFIG

`torchrun --help` lists all of its options; docs/distributed.md has several machines.
"""

import sys
from argparse import ArgumentParser

from mmproscale.cli.command_line import make_parser
from mmproscale.cli.launch import launch


def main() -> None:
    """Start the processes; the help comes without torch, which takes seconds to import."""
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        help_parser().parse_args(["--help"])
    launch(sys.argv[1:])


def help_parser() -> ArgumentParser:
    """Return a parser of torchrun's most important options, for the help."""
    parser = make_parser(__doc__)
    parser.usage = "%(prog)s [OPTIONS] SCRIPT ... | [OPTIONS] -m MODULE ..."
    parser.add_argument("--nproc-per-node", metavar="N", help="processes here, one for each GPU")
    parser.add_argument("--nnodes", metavar="N", help="machines")
    parser.add_argument("--rdzv-endpoint", metavar="HOST:PORT", help="address of one of them")
    parser.add_argument("--standalone", action="store_true", help="one machine, on a free port")
    return parser


if __name__ == "__main__":
    main()
