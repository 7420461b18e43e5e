"""The commands of `roundsman`, a module each; `register` adds one to the parser."""
