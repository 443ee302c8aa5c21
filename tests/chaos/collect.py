"""Reads a run's history from where it has left traces: simulator, ledger, queues, message sets."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qs

from redis import Redis

from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import MessageSet
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import ALERTS, DECISIONS
from tests.chaos.brokers import PREFIX, Broker
from tests.chaos.crowd import Crowd
from tests.chaos.history import Case, History, Letter, Posted, Proof, ResultMessage, Seen
from tests.chaos.scene import Scene

OPEN_MESSAGE_SETS: Final = ("delayed", "outbox")
"""Message sets that are empty when all is done."""
UNFINISHED: Final = frozenset({"NOT_STARTED", "PROCESSING"})


async def gather(scene: Scene, crowd: Crowd) -> History:
    """The history so far."""
    sessions = await scene.remote.sessions()
    with scene.ledger as ledger:
        return History(
            posted=(*_notified(sessions), *crowd.posted),
            seen=tuple(_seen(sessions, crowd.outcomes)),
            cases=tuple(_cases(ledger)),
            messages=tuple(_messages(scene.decisions)),
            alerts=tuple(event["id"] for _, event in scene.decisions.events(ALERTS)),
            dead=tuple(map(_letter, MessageSet(ledger, PREFIX, "dead"))),
            unverified=tuple(map(_letter, MessageSet(ledger, PREFIX, "unverified"))),
            waiting=open_items(ledger) | scene.broker.left(),
            deaths=tuple(scene.deaths),
            results_apart=scene.decisions is not scene.redis,
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
            yield Posted(session["biz_id"], "notify", _proof(callback), callback["answer"], callback["at"])


def _proof(callback: Mapping[str, Any]) -> Proof:
    if callback["kind"] == "forged":
        return "forged"
    return "unfinished" if callback["status"] in UNFINISHED else "final"


def _seen(sessions: Iterable[Mapping[str, Any]], outcomes: Mapping[str, frozenset[str]]) -> Iterator[Seen]:
    for session in sessions:
        finished = session["finished_at"] is not None
        yield Seen(session["biz_id"], session["reads"], finished, outcomes.get(session["biz_id"], frozenset()))


def _cases(ledger: "Redis") -> Iterator[Case]:
    key = case_key(PREFIX, CaseKey("default", ""))
    for found in ledger.scan_iter(f"{key}*", count=1000):
        names = ("count:notify", "count:return", "reads", "owner", "decision", "published")
        notified, returned, reads, owner, decision, published = cast("list[bytes | None]", ledger.hmget(found, names))
        yield Case(
            biz_id=found.decode().removeprefix(key),
            notified=int(notified or 0),
            returned=int(returned or 0),
            reads=int(reads or 0),
            carried=owner is not None,
            decision=Decision.model_validate_json(decision).id if decision else "",
            published=(published or b"").decode(),
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
        )


def _letter(stored: StoredMessage) -> Letter:
    return Letter(stored.id, stored.biz_id or _claimed(stored.message), stored.reason)


def _claimed(message: Message | None) -> str:
    """The biz_id that an unverified body names; empty where there is none."""
    try:
        (data,) = parse_qs((message.body if message else b"").decode())["data"]
        return str(json.loads(data)["biz_info"]["biz_id"])
    except (KeyError, TypeError, ValueError):
        return ""
