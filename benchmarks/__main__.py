import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks


def main() -> int:
    """Print every row of the benchmarks that are named, or of all but the long ones.

    Exit codes: 0 each is as wanted, 1 one is not, 3 there is none of that name.
    """
    names, known = sys.argv[1:], {found.name for found in pkgutil.iter_modules(benchmarks.__path__)} - {"__main__"}
    if unknown := [name for name in names if name not in known]:
        print(f"saw {unknown[0]}, wanted some of {', '.join(sorted(known))}", file=sys.stderr)
        return 3
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
