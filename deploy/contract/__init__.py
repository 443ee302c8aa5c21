"""The contract with those who consume decisions, generated from the code into `docs/contract/`: `make contract`.

No process of the pipeline imports this.
"""
