"""What was claimed about speed and truthfulness, measured: `python -m benchmarks`.

A module of this folder that has `rows()` is a benchmark; each row is (what, measured, wanted, ok).
"""
