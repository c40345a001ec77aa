"""Benchmarks: figures with their conditions, one module a question. `python -m bench [NAME …]`."""
