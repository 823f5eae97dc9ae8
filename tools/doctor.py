"""Show what is installed and what works here, and what to do about the rest."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import add_cfg_options, command_line

MARKS = {True: "ok", None: "--", False: "FAILS"}


@command_line
def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="also look for the data of this config")
    parser.add_argument("--json", action="store_true", help="write JSON, for a report of a problem")
    add_cfg_options(parser)
    args = parser.parse_args()
    from mmproscale.cli.diagnosis import diagnose  # imports torch, which takes seconds

    checks = []
    for check in diagnose(args.config, args.cfg_options):
        checks.append(check)
        if not args.json:
            remedy = f" ({check.remedy})" if check.remedy else ""
            print(f"{MARKS[check.works]:5}  {check.name}: {check.found}{remedy}", flush=True)
    if args.json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    failed = sum(check.works is False for check in checks)
    if failed:
        print(f"error: {failed} of {len(checks)} checks failed", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
