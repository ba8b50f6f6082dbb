"""ujx: flags -> one library call. Bad input is one clear line on stderr and exit code 2."""

import argparse
import os
import sys
from collections.abc import Sequence

from unified_jax.cli import bench, compare, evaluate, sample, train

COMMANDS = {"train": train, "sample": sample, "evaluate": evaluate, "compare": compare, "bench": bench}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ujx", description="Train, sample and evaluate unified models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        module.add_arguments(command)
    arguments, rest = parser.parse_known_args(argv)
    overrides = [item.removeprefix("--config.") for item in rest if item.startswith("--config.")]
    if unknown := [item for item in rest if not item.startswith("--config.")]:
        parser.error(f"unknown argument {unknown[0]}")
    try:
        COMMANDS[arguments.command].run(arguments, overrides)
    except KeyboardInterrupt:
        more = (
            "; the same command goes on from the last checkpoint" if arguments.command in ("train", "compare") else ""
        )
        print(f"ujx: interrupted{more}", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("UJX_TRACEBACK"):
            raise
        print(f"ujx: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
