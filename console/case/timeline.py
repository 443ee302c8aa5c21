"""The life of a case, told from its record: what happened when, where it stands, what it has cost."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from console.case.record import CaseRecord
from console.terminal.time_format import rfc3339, span
from shared.events.decision import Decision, in_words
from shared.ledger.message_set import SetName
from shared.messaging.stored_message import StoredMessage

_NOTED: Final = {"replay": "replayed", "drop": "dropped"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, or is due."""

    at: float
    """Unix seconds."""
    kind: str
    text: str

    def as_json(self) -> dict[str, str]:
        """For machines, its time in RFC 3339."""
        return {"at": rfc3339(self.at), "kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class Reads:
    """What has been asked of GetResult."""

    used: int
    left: int
    under_way: bool
    rests: float
    """Seconds for which nobody may read."""
    refused: str | None
    """The vendor's final refusal."""
    stored_bytes: int
    """Length of the answer that is kept; 0 without one."""
    set_aside_bytes: int
    """Length of an earlier answer, which decided nothing."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A decision that stands no more."""

    decision: Decision
    by: str
    """Who superseded it."""
    note: str
    """Why."""

    def as_json(self, *, reveal: bool) -> dict[str, Any]:
        """For machines; personal data only with `reveal`."""
        return {"decision": shown(self.decision, reveal=reveal), "superseded_by": self.by, "note": self.note}


@dataclass(frozen=True, slots=True)
class CaseTimeline:
    """All that can be told of a case."""

    account: str
    biz_id: str
    biz_no: str
    state: str
    arrivals: dict[str, int]
    """By channel, those too that were not noted one by one."""
    reads: Reads
    events: tuple[Event, ...]
    decision: Decision | None
    earlier: tuple[Revision, ...]
    """Decisions that were superseded, the first one first."""
    published: str | None
    """The id of the event that went out."""

    def as_json(self, *, reveal: bool) -> dict[str, Any]:
        """For machines; personal data only with `reveal`."""
        told = {name: getattr(self, name) for name in ("account", "biz_id", "biz_no", "state", "arrivals", "published")}
        told |= {"reads": asdict(self.reads), "events": [event.as_json() for event in self.events]}
        told |= {"decision": shown(self.decision, reveal=reveal) if self.decision else None}
        return told | {"earlier": [revision.as_json(reveal=reveal) for revision in self.earlier]}


def build_timeline(record: CaseRecord, budget: int, now: float) -> CaseTimeline:
    """Tell a record; `budget` reads of GetResult are allowed, `now` is in unix seconds."""
    fields = record.fields
    decision = Decision.model_validate_json(fields["decision"]) if "decision" in fields else None
    arrivals = {name.partition(":")[2]: int(count) for name, count in fields.items() if name.startswith("count:")}
    earlier = tuple(_earlier(fields))
    events = [*_arrivals(fields), *_answers(record), *_notes(fields), *_rests(record, now)]
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
        published=None if record.sending else fields.get("published"),
    )


def shown(decision: Decision, *, reveal: bool) -> dict[str, Any]:
    """A decision as JSON has it, what the customer sent along only with `reveal`."""
    told = decision.model_dump(mode="json")
    if decision.biz_extra_data and not reveal:
        told["biz_extra_data"] = f"[hidden, {len(decision.biz_extra_data)} characters]"
    return told


def reasons(decision: Decision) -> list[str]:
    """Why, a sentence for each reason."""
    return [f"{reason.code}: {in_words(reason)}" for reason in decision.reasons]


def _arrivals(fields: dict[str, str]) -> Iterator[Event]:
    for name, value in fields.items():
        if name.startswith("arrival:"):
            item = name.partition(":")[2]
            channel, at, secret = value.split("|")
            yield Event(float(at), "arrival", f"{channel}: {_proof(secret)}{_role(fields, item)}; item {item}")
        elif name.startswith("conflict:"):
            text = f"signed evidence of item {value} contradicts what came first"
            yield Event(_arrived_at(fields, value), "conflict", text)


def _proof(secret: str) -> str:
    if not secret:
        return "a hint, not signed"
    place = int(secret)
    return f"signed with secret {place + 1} of the list" if place else "signed with the newest secret"


def _role(fields: dict[str, str], item: str) -> str:
    if fields.get("owner") == item:
        return "; it carries the case"
    rechecking = (fields.get("signed_recheck"), fields.get("unsigned_recheck"))
    return "; it rechecks the case later" if item in rechecking else ""


def _arrived_at(fields: dict[str, str], item: str) -> float:
    noted = fields.get(f"arrival:{item}", "").split("|")
    return float(noted[1]) if len(noted) == 3 else float(fields.get("opened_at", 0))


def _answers(record: CaseRecord) -> Iterator[Event]:
    if "raw_at" in record.fields:
        size = record.evidence_bytes.get("raw", 0)
        yield Event(float(record.fields["raw_at"]), "get_result", f"GetResult answered; {size} bytes are stored")


def _notes(fields: dict[str, str]) -> Iterator[Event]:
    for name, value in fields.items():
        kind, _, rest = name.partition(":")
        if kind in _NOTED:
            item, _, milliseconds = rest.rpartition(":")
            told = json.loads(value)
            why = f': "{told["note"]}"' if told["note"] else ""
            text = f"{_NOTED[kind]} by {told['by']} from {told['message_set']} ({told['stage']}: {told['reason']})"
            yield Event(int(milliseconds) / 1000, kind, f"{text}{why}; item {item}")


def _rests(record: CaseRecord, now: float) -> Iterator[Event]:
    for message_set, stored in record.resting:
        yield Event(stored.at, message_set, f"{_resting(message_set, stored, now)}; item {stored.id}")


def _resting(message_set: SetName, stored: StoredMessage, now: float) -> str:
    tried = f", {stored.attempts} attempts failed" if stored.attempts else ""
    if message_set == "delayed":
        when = f"due in {span(stored.at - now)}" if stored.at > now else "due"
        return f"waits before {stored.stage} ({stored.reason}), {when}{tried}"
    detail = f": {stored.detail}" if stored.detail else ""
    return f"lies in {message_set} before {stored.stage} ({stored.reason}{detail}){tried}"


def _earlier(fields: dict[str, str]) -> Iterator[Revision]:
    numbers = sorted(int(name.partition(":")[2]) for name in fields if name.startswith("superseded:"))
    for number in numbers:
        told = json.loads(fields[f"superseded:{number}"])
        yield Revision(Decision.model_validate_json(fields[f"revision:{number}"]), told["by"], told["note"])


def _decisions(earlier: tuple[Revision, ...], current: Decision) -> Iterator[Event]:
    whys = ("", *(f', decided again by {revision.by}: "{revision.note}"' for revision in earlier))
    for decision, why in zip((*(revision.decision for revision in earlier), current), whys, strict=True):
        basis = "on GetResult's answer" if decision.reconciled else "not reconciled with GetResult"
        text = f"{decision.outcome} by policy {decision.policy.version}, {basis}; revision {decision.revision}{why}"
        yield Event(datetime.fromisoformat(decision.decided_at).timestamp(), "decision", text)


def _reads(record: CaseRecord, budget: int, now: float) -> Reads:
    fields = record.fields
    used = int(fields.get("reads", 0))
    rests = max(0.0, int(fields.get("next_read_at", 0)) / 1000 - now)
    return Reads(
        used=used,
        left=max(0, budget - used),
        under_way=int(fields.get("read_until", 0)) / 1000 > now,
        rests=0.0 if "raw" in record.evidence_bytes else rests,
        refused=fields.get("refused"),
        stored_bytes=record.evidence_bytes.get("raw", 0),
        set_aside_bytes=record.evidence_bytes.get("set_aside", 0),
    )


def _state(record: CaseRecord, decision: Decision | None) -> str:
    if decision:
        out = "published" in record.fields and not record.sending
        return f"{decision.outcome}, {'published' if out else 'not published'}"
    message_sets = {message_set for message_set, _ in record.resting}
    if "dead" in message_sets:
        return "stopped: among the dead letters"
    return "waiting" if "delayed" in message_sets else "under way"
