"""Writes the generated parts of `docs/reference/`: `make reference`.

No process of the pipeline imports this.
"""
