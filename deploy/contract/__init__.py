"""Generate the contract for consumers of decisions into `docs/contract/`. `make contract` runs it.

No process of the pipeline imports it.
"""
