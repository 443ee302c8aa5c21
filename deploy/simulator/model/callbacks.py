"""The callbacks of a session, and how its browser returns to the customer. No I/O."""

from dataclasses import dataclass, replace

from deploy.simulator.model.scenarios import SCENARIOS, Evidence
from deploy.simulator.model.sessions import CallbackKind, Session
from deploy.simulator.model.wire import (
    MULTIPART,
    URLENCODED,
    Body,
    Encoding,
    Field,
    encode_form,
    json_text,
    sign,
    signed_fields,
    with_biz_id,
)

WRONG_SECRET = "not-the-secret"  # noqa: S105 - a forger does not know the secret
PASSED = SCENARIOS["pass"].evidence


@dataclass(frozen=True, slots=True)
class OutgoingCallback:
    """A callback to post to the customer's server."""

    kind: CallbackKind
    status: str
    """The `status` field of its data."""
    body: Body


@dataclass(frozen=True, slots=True)
class FormReturn:
    """The browser posts this form."""

    action: str
    fields: tuple[Field, ...]
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class RedirectReturn:
    """The browser is redirected to this address."""

    location: str


BrowserReturn = FormReturn | RedirectReturn


def callbacks_before_end(session: Session, secret: str) -> list[OutgoingCallback]:
    """The notify callbacks that are sent before the flow has ended, in order."""
    statuses = SCENARIOS[session.scenario].notified_before
    return [_callback(session, secret, Evidence(status=status, live=None)) for status in statuses]


def callbacks_at_end(session: Session, secret: str) -> list[OutgoingCallback]:
    """The notify callbacks of a flow that has ended, in order."""
    faults = session.faults
    forged = [_forged(session, secret)] if faults.forged else []
    copies = 0 if faults.lose_notify else faults.notify_copies
    final = [_callback(session, secret, SCENARIOS[session.scenario].evidence)] * copies
    contradicting = [_callback(session, secret, SCENARIOS[faults.then].evidence)] if faults.then else []
    return forged + final + contradicting


def browser_return(session: Session, secret: str, *, raw_comma: bool) -> BrowserReturn | None:
    """How the browser returns to the customer. None: it does not. `raw_comma`: see `wire.with_biz_id`."""
    scenario = SCENARIOS[session.scenario]
    if session.faults.lose_return or not scenario.returns:
        return None
    request = session.request
    if request.return_method == "GET":
        return RedirectReturn(with_biz_id(request.return_url, session.biz_id, raw_comma=raw_comma))
    fields = signed_fields(secret, _data(session, scenario.evidence))
    return FormReturn(request.return_url, fields + session.faults.extra_fields, _encoding(session))


def _callback(session: Session, secret: str, evidence: Evidence) -> OutgoingCallback:
    fields = signed_fields(secret, _data(session, evidence))
    return OutgoingCallback("notify", evidence.status, _body(session, fields))


def _forged(session: Session, secret: str) -> OutgoingCallback:
    """A forged callback that says the user has passed."""
    claimed = _data(session, PASSED)
    if session.faults.forged == "wrong-secret":
        return OutgoingCallback("forged", PASSED.status, _body(session, signed_fields(WRONG_SECRET, claimed)))
    signed_text = _data(session, replace(PASSED, live=False))
    return OutgoingCallback(
        "forged", PASSED.status, _body(session, (("data", claimed), ("sign", sign(secret, signed_text))))
    )


def _data(session: Session, evidence: Evidence) -> str:
    return json_text(session.callback_document(evidence), raw_utf8=session.faults.raw_utf8)


def _body(session: Session, fields: tuple[Field, ...]) -> Body:
    return encode_form(fields + session.faults.extra_fields, _encoding(session), boundary=f"{session.token:.32}")


def _encoding(session: Session) -> Encoding:
    return MULTIPART if session.faults.multipart else URLENCODED
