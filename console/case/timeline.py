"""The timeline of a case: what happened when, its state, and its GetResult calls. No I/O."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from console.case.record import CaseRecord, StoredTexts
from console.terminal.output import plural
from console.terminal.time_format import format_duration, rfc3339
from shared.events.decision import Decision, describe
from shared.ledger.case_fields import DROPPED_AT
from shared.ledger.message_set import SetName
from shared.messaging.stored_message import StoredMessage

_MOVES: Final = {"replay": "replayed", "drop": "dropped"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, or that is due."""

    at: float
    """Unix seconds."""
    kind: str
    text: str

    def as_json(self) -> dict[str, str]:
        """For JSON, its time in RFC 3339."""
        return {"at": rfc3339(self.at), "kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class Reads:
    """The GetResult calls of a case."""

    used: int
    left: int
    under_way: bool
    retry_in_seconds: float
    """Seconds until the next call is allowed."""
    refused: str | None
    """FaceID's error code when it permanently refuses to give the result."""
    stored_bytes: int
    """Length of the stored answer; 0 without one."""
    set_aside_bytes: int
    """Length of an earlier answer that was no final result; 0 without one."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A superseded decision."""

    decision: Decision
    by: str
    """Who superseded it."""
    note: str
    """Why."""

    def as_json(self, *, reveal: bool) -> dict[str, Any]:
        """For JSON; personal data only with `reveal`."""
        return {"decision": as_json(self.decision, reveal=reveal), "superseded_by": self.by, "note": self.note}


@dataclass(frozen=True, slots=True)
class CaseTimeline:
    """Everything that is known about a case."""

    account: str
    biz_id: str
    biz_no: str
    state: str
    arrivals: dict[str, int]
    """Number of arrivals by channel, also of those that are not listed in `events`."""
    reads: Reads
    events: tuple[Event, ...]
    decision: Decision | None
    earlier: tuple[Revision, ...]
    """Superseded decisions, the first one first."""
    published: str | None
    """The id of the published event; None when it is not published."""
    evidence: StoredTexts
    evidence_dropped_at: str | None
    """When the evidence was deleted to free memory, in RFC 3339; None when it was not."""

    def as_json(self, *, reveal: bool) -> dict[str, Any]:
        """For JSON; personal data only with `reveal`."""
        names = ("account", "biz_id", "biz_no", "state", "arrivals", "published", "evidence_dropped_at")
        record = {name: getattr(self, name) for name in names}
        record |= {"reads": asdict(self.reads), "events": [event.as_json() for event in self.events]}
        record |= {"decision": as_json(self.decision, reveal=reveal) if self.decision else None}
        record |= {"evidence": _texts_as_json(self.evidence, reveal=reveal)}
        return record | {"earlier": [revision.as_json(reveal=reveal) for revision in self.earlier]}


def build_timeline(record: CaseRecord, budget: int, now: float) -> CaseTimeline:
    """The timeline of a record. `budget`: GetResult calls that are allowed. `now`: unix seconds."""
    fields = record.fields
    decision = Decision.model_validate_json(fields["decision"]) if "decision" in fields else None
    arrivals = {name.partition(":")[2]: int(count) for name, count in fields.items() if name.startswith("count:")}
    earlier = tuple(_earlier(fields))
    events = [*_arrivals(fields), *_answers(record), *_moves(fields), *_stored(record, now)]
    if decision:
        events += _decisions(earlier, decision)
    return CaseTimeline(
        account=record.case.account,
        biz_id=record.case.biz_id,
        biz_no=fields.get("biz_no", ""),
        state=_state(record, decision),
        arrivals=arrivals,
        reads=_reads(record, budget, now),
        events=tuple(sorted(events, key=lambda event: event.at)),
        decision=decision,
        earlier=earlier,
        published=None if record.in_outbox else fields.get("published"),
        evidence=record.texts,
        evidence_dropped_at=rfc3339(float(fields[DROPPED_AT])) if DROPPED_AT in fields else None,
    )


def as_json(decision: Decision, *, reveal: bool) -> dict[str, Any]:
    """A decision for JSON; the customer's biz_extra_data only with `reveal`."""
    record = decision.model_dump(mode="json")
    if decision.biz_extra_data and not reveal:
        record["biz_extra_data"] = _hidden(decision.biz_extra_data)
    return record


def _texts_as_json(texts: StoredTexts, *, reveal: bool) -> dict[str, Any]:
    shown: Callable[[str], str] = str if reveal else _hidden
    answers = {name: getattr(texts, name) for name in ("get_result", "set_aside")}
    record: dict[str, Any] = {name: text if text is None else shown(text) for name, text in answers.items()}
    return {"callbacks": [*map(shown, texts.callbacks)], **record}


def _hidden(text: str) -> str:
    return f"[hidden, {plural(len(text), 'character')}]"


def explain_reasons(decision: Decision) -> list[str]:
    """The reasons of a decision, a sentence each."""
    return [f"{reason.code}: {describe(reason)}" for reason in decision.reasons]


def _arrivals(fields: dict[str, str]) -> Iterator[Event]:
    for name, value in fields.items():
        if name.startswith("arrival:"):
            item = name.partition(":")[2]
            channel, at, secret = value.split("|")
            yield Event(float(at), "arrival", f"{channel}: {_proof(secret)}{_role(fields, item)}; item {item}")
        elif name.startswith("conflict:"):
            text = f"the signed evidence of item {value} contradicts earlier evidence"
            yield Event(_arrived_at(fields, value), "conflict", text)


def _proof(secret: str) -> str:
    if not secret:
        return "not signed"
    index = int(secret)
    return f"signed with secret {index + 1} of the list" if index else "signed with the newest secret"


def _role(fields: dict[str, str], item: str) -> str:
    if fields.get("owner") == item:
        return "; owns the case"
    rechecking = (fields.get("signed_recheck"), fields.get("unsigned_recheck"))
    return "; rechecks the case later" if item in rechecking else ""


def _arrived_at(fields: dict[str, str], item: str) -> float:
    arrival = fields.get(f"arrival:{item}", "").split("|")
    return float(arrival[1]) if len(arrival) == 3 else 0.0


def _answers(record: CaseRecord) -> Iterator[Event]:
    if "raw_at" in record.fields:
        text = f"GetResult answered; {plural(_size(record.texts.get_result), 'byte')} stored"
        yield Event(float(record.fields["raw_at"]), "get_result", text)
    if DROPPED_AT in record.fields:
        yield Event(float(record.fields[DROPPED_AT]), "evidence", "the stored evidence was deleted to free memory")


def _size(text: str | None) -> int:
    return len((text or "").encode())


def _moves(fields: dict[str, str]) -> Iterator[Event]:
    for name, value in fields.items():
        kind, _, rest = name.partition(":")
        if kind in _MOVES:
            item, _, milliseconds = rest.rpartition(":")
            move = json.loads(value)
            why = f': "{move["note"]}"' if move["note"] else ""
            text = f"{_MOVES[kind]} by {move['by']} from {move['message_set']} ({move['stage']}: {move['reason']})"
            yield Event(int(milliseconds) / 1000, kind, f"{text}{why}; item {item}")


def _stored(record: CaseRecord, now: float) -> Iterator[Event]:
    for message_set, stored in record.stored:
        yield Event(stored.at, message_set, f"{_stored_text(message_set, stored, now)}; item {stored.id}")


def _stored_text(message_set: SetName, stored: StoredMessage, now: float) -> str:
    failed = f", {plural(stored.attempts, 'attempt')} failed" if stored.attempts else ""
    if message_set == "delayed":
        when = f"due in {format_duration(stored.at - now)}" if stored.at > now else "due"
        return f"delayed before {stored.stage} ({stored.reason}), {when}{failed}"
    detail = f": {stored.detail}" if stored.detail else ""
    return f"in {message_set}, failed in {stored.stage} ({stored.reason}{detail}){failed}"


def _earlier(fields: dict[str, str]) -> Iterator[Revision]:
    numbers = sorted(int(name.partition(":")[2]) for name in fields if name.startswith("superseded:"))
    for number in numbers:
        record = json.loads(fields[f"superseded:{number}"])
        yield Revision(Decision.model_validate_json(fields[f"revision:{number}"]), record["by"], record["note"])


def _decisions(earlier: tuple[Revision, ...], current: Decision) -> Iterator[Event]:
    causes = ("", *(f', decided again by {revision.by}: "{revision.note}"' for revision in earlier))
    for decision, cause in zip((*(revision.decision for revision in earlier), current), causes, strict=True):
        basis = "on GetResult's answer" if decision.reconciled else "not reconciled with GetResult"
        text = f"{decision.outcome} by policy {decision.policy.version}, {basis}; revision {decision.revision}{cause}"
        yield Event(datetime.fromisoformat(decision.decided_at).timestamp(), "decision", text)


def _reads(record: CaseRecord, budget: int, now: float) -> Reads:
    fields = record.fields
    used = int(fields.get("reads", 0))
    retry_in_seconds = max(0.0, int(fields.get("next_read_at", 0)) / 1000 - now)
    return Reads(
        used=used,
        left=max(0, budget - used),
        under_way=int(fields.get("read_until", 0)) / 1000 > now,
        retry_in_seconds=0.0 if record.texts.get_result is not None else retry_in_seconds,
        refused=fields.get("refused"),
        stored_bytes=_size(record.texts.get_result),
        set_aside_bytes=_size(record.texts.set_aside),
    )


def _state(record: CaseRecord, decision: Decision | None) -> str:
    if decision:
        published = "published" in record.fields and not record.in_outbox
        return f"{decision.outcome}, {'published' if published else 'not published'}"
    message_sets = {message_set for message_set, _ in record.stored}
    if "dead" in message_sets:
        return "stopped: dead letter"
    return "waiting" if "delayed" in message_sets else "in progress"
