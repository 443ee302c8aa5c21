"""What is sent about a session that has ended, and what the browser is told to do. Pure."""

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

WRONG_SECRET = "not-the-secret"  # noqa: S105 - what a forger without the secret would use
PASSED = SCENARIOS["pass"].evidence


@dataclass(frozen=True, slots=True)
class Notice:
    """A callback on its way to the customer's server."""

    kind: CallbackKind
    status: str
    body: Body


@dataclass(frozen=True, slots=True)
class FormReturn:
    """The browser is to post this form."""

    action: str
    fields: tuple[Field, ...]
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class RedirectReturn:
    """The browser is to go to this address."""

    location: str


Return = FormReturn | RedirectReturn


def notices_on_the_way(session: Session, secret: str) -> list[Notice]:
    """The notifies that come before the flow has ended."""
    statuses = SCENARIOS[session.scenario].notified_before
    return [_notice(session, secret, Evidence(status=status, live=None)) for status in statuses]


def notices_at_the_end(session: Session, secret: str) -> list[Notice]:
    """The notifies of a flow that has ended, in the order in which they are sent."""
    faults = session.faults
    forged = [_forged(session, secret)] if faults.forged else []
    copies = 0 if faults.lose_notify else faults.notify_copies
    final = [_notice(session, secret, SCENARIOS[session.scenario].evidence)] * copies
    contradicting = [_notice(session, secret, SCENARIOS[faults.then].evidence)] if faults.then else []
    return forged + final + contradicting


def browser_return(session: Session, secret: str, *, raw_comma: bool) -> Return | None:
    """How the browser goes back to the customer; None when it does not."""
    scenario = SCENARIOS[session.scenario]
    if session.faults.lose_return or not scenario.returns:
        return None
    order = session.order
    if order.return_method == "GET":
        return RedirectReturn(with_biz_id(order.return_url, session.biz_id, raw_comma=raw_comma))
    fields = signed_fields(secret, _data(session, scenario.evidence))
    return FormReturn(order.return_url, fields + session.faults.extra_fields, _encoding(session))


def _notice(session: Session, secret: str, evidence: Evidence) -> Notice:
    fields = signed_fields(secret, _data(session, evidence))
    return Notice("notify", evidence.status, _body(session, fields))


def _forged(session: Session, secret: str) -> Notice:
    """A forger claims that the user has passed."""
    claimed = _data(session, PASSED)
    if session.faults.forged == "wrong-secret":
        return Notice("forged", PASSED.status, _body(session, signed_fields(WRONG_SECRET, claimed)))
    seen = _data(session, replace(PASSED, live=False))
    return Notice("forged", PASSED.status, _body(session, (("data", claimed), ("sign", sign(secret, seen)))))


def _data(session: Session, evidence: Evidence) -> str:
    return json_text(session.callback_document(evidence), raw_utf8=session.faults.raw_utf8)


def _body(session: Session, fields: tuple[Field, ...]) -> Body:
    return encode_form(fields + session.faults.extra_fields, _encoding(session), boundary=f"{session.token:.32}")


def _encoding(session: Session) -> Encoding:
    return MULTIPART if session.faults.multipart else URLENCODED
