"""The faults that the simulator produces on purpose. They are the bodies of the control API."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from deploy.simulator.model.scenarios import SCENARIOS


def _known(name: str) -> str:
    if name not in SCENARIOS:
        raise ValueError(f"no such scenario; the scenarios are {', '.join(SCENARIOS)}")
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
    "too-large",
    "hang",
    "broken",
]

ERROR_MESSAGES: dict[ResultFaultKind, str] = {
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
"""The `error_message` of the faults that are error answers."""

MAY_HAVE_READ: frozenset[ResultFaultKind] = frozenset({"internal-error", "not-json", "too-large", "hang", "broken"})
"""Faults after which the caller can't know whether the call has used up a read."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResultFault(_Model):
    """A fault of GetResult."""

    kind: ResultFaultKind
    """`slow`: a correct answer after `delay_ms`. `broken`: the answer is cut off. `hang`: no answer.
    `too-large`: a result with 5 MiB of images."""
    times: PositiveInt | None = 1
    """How many calls get this fault. None: all of them."""
    delay_ms: NonNegativeFloat = 0
    """Wait before the answer, in milliseconds."""
    message_key: Literal["error_message", "error", "ERROR"] = "error_message"
    """The key of the message in the answer: the API's documents use three."""
    http_status: Annotated[int, Field(ge=200, le=599)] | None = None
    """HTTP status of the answer. None: the one of the error; 502 for `not-json`."""

    @property
    def label(self) -> str:
        """The name under which it is counted: the error code, or the kind for faults without an error code."""
        return ERROR_MESSAGES.get(self.kind, self.kind).partition(":")[0]


class Faults(_Model):
    """The faults of one session. They can be combined."""

    lose_notify: bool = False
    """Send no notify callback of the result."""
    lose_return: bool = False
    """Do not send the browser back."""
    notify_late_seconds: NonNegativeFloat = 0
    """Delay of the notify after the end of the flow. The browser does not wait, so its return comes first."""
    return_late_seconds: NonNegativeFloat = 0
    """Delay of the browser's return."""
    notify_copies: PositiveInt = 1
    """How often the notify is sent."""
    multipart: bool = False
    """Send forms as multipart/form-data instead of application/x-www-form-urlencoded."""
    raw_utf8: bool = False
    """Write non-ASCII characters of `data` as UTF-8 instead of `\\uXXXX`."""
    extra_fields: tuple[tuple[str, str], ...] = ()
    """Fields added to the form after `data` and `sign`, for example a second `data`."""
    forged: Literal["wrong-secret", "altered"] | None = None
    """Send a forged notify first: signed with a wrong secret, or altered data with the signature of other data."""
    then: ScenarioName | None = None
    """Send another signed notify of this scenario at the end, for example contradicting evidence."""
    result: ScenarioName | None = None
    """GetResult answers with this scenario; the callbacks keep the session's."""
    get_result: tuple[ResultFault, ...] = ()
    """GetResult faults of this session, in order. They come before those of all sessions."""


class Assignment(_Model):
    """Scenario and faults of a session: the body of `POST /simulator/sessions/{biz_id}`."""

    scenario: ScenarioName | None = None
    faults: Faults = Faults()


class GlobalFaults(_Model):
    """GetResult faults of all sessions: the body of `POST /simulator/faults`."""

    get_result: tuple[ResultFault, ...] = ()


class FaultQueue:
    """A queue of GetResult faults: the first one is used `times` times, then the next."""

    def __init__(self, faults: tuple[ResultFault, ...] = ()) -> None:
        self._waiting = [(fault, fault.times) for fault in faults]

    def next(self) -> ResultFault | None:
        """The fault of the next call. None: no fault."""
        if not self._waiting:
            return None
        fault, times = self._waiting[0]
        if times == 1:
            del self._waiting[0]
        elif times is not None:
            self._waiting[0] = fault, times - 1
        return fault

    def left(self) -> list[dict[str, object]]:
        """The remaining faults as JSON objects, `times` being the remaining times."""
        return [fault.model_dump() | {"times": times} for fault, times in self._waiting]
