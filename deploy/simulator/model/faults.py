"""What the simulator does wrong on purpose, and how often."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from deploy.simulator.model.scenarios import SCENARIOS


def _known(name: str) -> str:
    if name not in SCENARIOS:
        raise ValueError(f"no such scenario; there are {', '.join(SCENARIOS)}")
    return name


ScenarioName = Annotated[str, AfterValidator(_known)]

ResultFaultKind = Literal[
    "slow",
    "busy",
    "internal-error",
    "authentication-error",
    "authorization-error",
    "api-not-found",
    "result-not-found",
    "data-destroyed",
    "bad-arguments",
    "missing-arguments",
    "not-json",
    "hang",
    "broken",
]

MESSAGES: dict[ResultFaultKind, str] = {
    "busy": "CONCURRENCY_LIMIT_EXCEEDED",
    "internal-error": "INTERNAL_ERROR",
    "authentication-error": "AUTHENTICATION_ERROR",
    "authorization-error": "AUTHORIZATION_ERROR:Denied",
    "api-not-found": "API_NOT_FOUND",
    "result-not-found": "RESULT_NOT_FOUND",
    "data-destroyed": "DATA_DESTROYED",
    "bad-arguments": "BAD_ARGUMENTS:biz_id",
    "missing-arguments": "MISSING_ARGUMENTS: biz_id",
}
"""What the faults that are refusals say."""

MAY_HAVE_READ: frozenset[ResultFaultKind] = frozenset({"internal-error", "not-json", "hang", "broken"})
"""Faults after which nobody can tell whether the result was read."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResultFault(_Model):
    """One thing that goes wrong with GetResult."""

    kind: ResultFaultKind
    """`slow` is answered rightly; `broken` is cut off in the middle; `hang` is never answered."""
    times: PositiveInt | None = 1
    """How many calls it befalls; None: every one."""
    delay_ms: NonNegativeFloat = 0
    message_key: Literal["error_message", "error", "ERROR"] = "error_message"
    http_status: Annotated[int, Field(ge=200, le=599)] | None = None
    """Instead of the one that goes with the message; `not-json` has 502."""

    @property
    def label(self) -> str:
        """What is counted: the code of the refusal, or the kind where there is none."""
        return MESSAGES.get(self.kind, self.kind).partition(":")[0]


class Faults(_Model):
    """What goes wrong with one session, in any mix."""

    lose_notify: bool = False
    lose_return: bool = False
    notify_late_seconds: NonNegativeFloat = 0
    """From the end of the flow; the browser does not wait, so a little of it brings the return first."""
    return_late_seconds: NonNegativeFloat = 0
    notify_copies: PositiveInt = 1
    multipart: bool = False
    raw_utf8: bool = False
    extra_fields: tuple[tuple[str, str], ...] = ()
    """Appended to the form after `data` and `sign`; a second `data` is possible too."""
    forged: Literal["wrong-secret", "altered"] | None = None
    """A forged notify before the true one: signed with a wrong secret, or a true signature under altered data."""
    then: ScenarioName | None = None
    """A second signed notify of this scenario after the last: contradicting evidence, or a late TIMEOUT after OK."""
    result: ScenarioName | None = None
    """What GetResult says instead of what the callbacks say."""
    get_result: tuple[ResultFault, ...] = ()
    """Used up in this order, before the global ones."""


class Assignment(_Model):
    """What a session is to become: the body of `POST /simulator/sessions/{biz_id}`."""

    scenario: ScenarioName | None = None
    faults: Faults = Faults()


class GlobalFaults(_Model):
    """What goes wrong with GetResult whoever asks: the body of `POST /simulator/faults`."""

    get_result: tuple[ResultFault, ...] = ()


class FaultQueue:
    """Faults that wait for their calls: the first one is used until its times are over, then the next."""

    def __init__(self, faults: tuple[ResultFault, ...] = ()) -> None:
        self._waiting = [(fault, fault.times) for fault in faults]

    def next(self) -> ResultFault | None:
        """The fault of the next call, None when it goes well."""
        if not self._waiting:
            return None
        fault, times = self._waiting[0]
        if times == 1:
            del self._waiting[0]
        elif times is not None:
            self._waiting[0] = fault, times - 1
        return fault

    def left(self) -> list[dict[str, object]]:
        """The faults that still wait, with the times that are left."""
        return [fault.model_dump() | {"times": times} for fault, times in self._waiting]
