"""The commands of `python -m flows`, a module each; `register` adds one to the parser."""
