"""FaceID as its customers see it: an outside party over real HTTP, with every fault that was seen or feared.

It imports nothing of the pipeline, so that the two can't share a mistake. What it knows of the vendor stands in
`wire`, `scenarios`, `refusals` and `orders`; what it can do wrong on purpose, in `faults`.
"""
