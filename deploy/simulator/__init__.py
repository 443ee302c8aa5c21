"""A simulator of FaceID over real HTTP, for tests, the demo and trying a session by hand.

It imports nothing from the pipeline, so that both can't contain the same mistake. The vendor's rules are in
`model/wire`, `model/scenarios`, `model/api_errors` and `model/token_request`. The faults that it can produce on purpose
are in `model/faults`. `server` answers FaceID's API calls, and `driver` plays the customer's side.
"""
