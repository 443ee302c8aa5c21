"""Why a message is in a message set: the closed lists."""

from typing import Literal

DeadReason = Literal["undecodable", "poison", "error", "attempts_exhausted", "unknown_account"]
UnverifiedReason = Literal["bad_signature", "malformed", "stale"]
