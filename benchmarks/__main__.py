import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks


def main() -> int:
    """Print every row of every benchmark; 1 when one is not as wanted."""
    table = Table("", "what", "measured", "wanted")
    every = True
    for found in pkgutil.iter_modules(benchmarks.__path__):
        if found.name == "__main__":
            continue
        for what, measured, wanted, ok in getattr(importlib.import_module(f"benchmarks.{found.name}"), "rows", list)():
            table.add_row("[green]ok[/]" if ok else "[red]no[/]", what, measured, wanted)
            every = every and ok
    # One line for each row, also where no terminal says how wide it is.
    Console(width=140).print(table)
    return 0 if every else 1


if __name__ == "__main__":
    sys.exit(main())
