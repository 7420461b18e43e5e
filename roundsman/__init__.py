"""The library: what needs no Prefect. `flows` runs it on a schedule."""
