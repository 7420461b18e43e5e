"""`python -m flows` in a clone is the command `roundsman`."""

from roundsman.cli.command_line import main, run

__all__ = ["main"]

if __name__ == "__main__":
    run()
