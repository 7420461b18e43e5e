"""`python -m roundsman` is the command `roundsman`."""

from roundsman.cli.command_line import run

if __name__ == "__main__":
    run()
