"""Reads a run's history from the simulator, the ledger, the queues and the message sets."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

from redis import Redis

from shared.events.decision import Decision
from shared.ledger.case_fields import read_text
from shared.ledger.case_key import CaseKey, account_key, case_key
from shared.ledger.case_reader import read_fields
from shared.ledger.message_set import MessageSet
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import ALERTS, DECISIONS
from tests.chaos.brokers import PREFIX, Broker
from tests.chaos.environment import Environment
from tests.chaos.history import (
    AlertMessage,
    Case,
    History,
    InjectedFault,
    Posted,
    Proof,
    ResultMessage,
    StoredItem,
    VendorSession,
)
from tests.chaos.users import User, Users
from workers.decisioning.evidence import final_result

ACCOUNT: Final = "default"
OPEN_MESSAGE_SETS: Final = ("delayed", "outbox")
"""Message sets that are empty when all is done."""
UNFINISHED: Final = frozenset({"NOT_STARTED", "PROCESSING"})


async def collect(environment: Environment, users: Users, injected: Sequence[InjectedFault]) -> History:
    """The history so far."""
    sessions = await environment.remote.sessions()
    with environment.ledger as ledger:
        return History(
            posted=(*_notified(sessions), *users.posted, *environment.attacks),
            vendor_sessions=tuple(_vendor_sessions(sessions, users.users)),
            cases=tuple(_cases(ledger)),
            messages=tuple(_messages(environment.decisions)),
            alerts=tuple(_alerts(environment.decisions)),
            dead=tuple(map(_stored_item, MessageSet(ledger, PREFIX, "dead"))),
            unverified=tuple(map(_stored_item, MessageSet(ledger, PREFIX, "unverified"))),
            waiting=open_items(ledger) | environment.broker.left(),
            deaths=tuple(environment.deaths),
            injected=tuple(injected),
            breaker_open=bool(ledger.hexists(account_key(PREFIX, ACCOUNT), "opened_at")),
            results_apart=environment.decisions is not environment.redis,
        )


def open_items(ledger: "Redis") -> dict[str, int]:
    """How many items each open message set holds, seen at one moment."""
    with ledger.pipeline(transaction=True) as pipe:
        for message_set in OPEN_MESSAGE_SETS:
            pipe.zcard(f"{PREFIX}:{message_set}")
        return dict(zip(OPEN_MESSAGE_SETS, pipe.execute(), strict=True))


def _notified(sessions: Iterable[Mapping[str, Any]]) -> Iterator[Posted]:
    for session in sessions:
        for callback in session["callbacks"]:
            answer, at, status = callback["answer"], callback["at"], callback["status"]
            yield Posted(session["biz_id"], "notify", _proof(callback), answer, at, status)


def _proof(callback: Mapping[str, Any]) -> Proof:
    if callback["kind"] == "forged":
        return "forged"
    return "unfinished" if callback["status"] in UNFINISHED else "final"


def _vendor_sessions(sessions: Iterable[Mapping[str, Any]], users: Mapping[str, User]) -> Iterator[VendorSession]:
    for session in sessions:
        user = users[session["biz_id"]]
        finished = session["finished_at"] is not None
        outcome, contradiction = user.session.outcome, user.contradiction
        yield VendorSession(session["biz_id"], session["reads"], finished, outcome, contradiction)


def _cases(ledger: "Redis") -> Iterator[Case]:
    key = case_key(PREFIX, CaseKey(ACCOUNT, ""))
    for found in ledger.scan_iter(f"{key}*", count=1000, _type="HASH"):
        biz_id = found.decode().removeprefix(key)
        fields = read_fields(ledger, PREFIX, CaseKey(ACCOUNT, biz_id))
        decision, raw = read_text(fields, "decision"), read_text(fields, "raw")
        yield Case(
            biz_id=biz_id,
            notified=int(fields.get("count:notify", 0)),
            returned=int(fields.get("count:return", 0)),
            reads=int(fields.get("reads", 0)),
            owned="owner" in fields,
            decision=Decision.model_validate_json(decision).id if decision else "",
            published=fields.get("published", b"").decode(),
            answered=raw is not None and final_result(raw, biz_id) is not None,
        )


def _messages(results: Broker) -> Iterator[ResultMessage]:
    for at, event in results.events(DECISIONS):
        decision = event["data"]
        yield ResultMessage(
            id=event["id"],
            biz_id=event["subject"],
            revision=decision["revision"],
            supersedes=decision["supersedes"],
            outcome=decision["outcome"],
            at=at,
            reasons=frozenset(reason["code"] for reason in decision["reasons"]),
            not_reconciled="" if decision["reconciled"] else _why_not_reconciled(decision["reasons"]),
        )


def _why_not_reconciled(reasons: Sequence[Mapping[str, Any]]) -> str:
    """The code in a reason that names GetResult; a decision without one was made without asking it."""
    return next((str(reason["value"]) for reason in reasons if reason["field"] == "get_result"), "no reason given")


def _alerts(results: Broker) -> Iterator[AlertMessage]:
    for _, event in results.events(ALERTS):
        alert = event["data"]
        at = datetime.fromisoformat(alert["at"]).timestamp()
        yield AlertMessage(event["id"], alert["kind"], at, alert["biz_id"] or "")


def _stored_item(stored: StoredMessage) -> StoredItem:
    return StoredItem(stored.id, stored.biz_id or _claimed(stored.message), stored.reason)


def _claimed(message: Message | None) -> str:
    """The biz_id that an unverified body names; empty where there is none."""
    try:
        (data,) = parse_qs((message.body if message else b"").decode())["data"]
        return str(json.loads(data)["biz_info"]["biz_id"])
    except (KeyError, TypeError, ValueError):
        return ""
