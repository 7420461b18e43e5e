import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks


def main() -> int:
    """Print every row of the benchmarks that are named, or of all but the long ones; 1 when one is not as wanted."""
    names = sys.argv[1:]
    table = Table("", "what", "measured", "wanted")
    every = True
    for found in pkgutil.iter_modules(benchmarks.__path__):
        if found.name == "__main__" or (names and found.name not in names):
            continue
        module = importlib.import_module(f"benchmarks.{found.name}")
        if not names and getattr(module, "BY_NAME", False):
            continue
        for what, measured, wanted, ok in getattr(module, "rows", list)():
            table.add_row("[green]ok[/]" if ok else "[red]no[/]", what, measured, wanted)
            every = every and ok
    # One line for each row, also where no terminal says how wide it is.
    Console(width=140).print(table)
    return 0 if every else 1


if __name__ == "__main__":
    sys.exit(main())
