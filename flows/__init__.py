"""What Prefect runs, and the commands."""

from flows.log import guard

guard()
