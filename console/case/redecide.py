"""What `faceid case redecide` does."""

import time
from typing import Any, Final, cast

import typer
from redis import Redis

from console.case.record import find
from console.case.timeline import reasons
from console.dead_letters.replay import os_user
from console.terminal.accounts import policy_of
from console.terminal.errors import CommandError, NotFound, UsageError
from console.terminal.output import COLOURS, as_json, out, plain, tell
from console.terminal.redis_connection import open_redis
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, case_key, outbox_keys
from shared.ledger.superseding import SCRIPT, Superseding
from shared.settings import Settings, account_names, load_settings
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide, is_different, supersede
from workers.decisioning.policy import DEFAULT, Policy
from workers.decisioning.stored_evidence import FIELDS, StoredEvidence, load_stored_evidence

DAY_MS: Final = 86_400_000
DIGEST: Final = 12
"""Characters of a policy's digest that are shown."""


def redecide(name: str, account: str | None, note: str, *, plan: bool, yes: bool, json: bool) -> int:
    """Decide a case again, having shown what that comes to; returns the exit code."""
    if not note.strip():
        raise UsageError("The note is empty.", "Say why it is decided again, as --note TEXT: it is kept on the case.")
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        case = _find(redis, settings, name, account)
        stored_evidence = _load_evidence(redis, settings, case)
        superseding = _decided_again(settings, case, stored_evidence, note)
        changes = is_different(superseding.new, superseding.old)
        if not json:
            _tell(case, superseding, changes=changes)
        if changes and not plan and not (yes or typer.confirm("Let it stand?", err=True)):
            return 1
        done = changes and not plan
        if done:
            _carry_out(redis, settings, case, superseding)
    if json:
        as_json(_as_json(case, superseding, changes=changes, done=done))
    elif done:
        tell(f"Revision {superseding.new.revision} stands. The workers publish it, as event {superseding.new.id}.")
    return 0


def _find(redis: "Redis", settings: Settings, name: str, account: str | None) -> CaseKey:
    accounts = [account] if account else sorted(account_names(settings))
    record = find(redis, settings.prefix, accounts, name)
    if record is None:
        raise NotFound(f"The ledger knows no case {name} of {', '.join(accounts)}.")
    return record.case


def _load_evidence(redis: "Redis", settings: Settings, case: CaseKey) -> StoredEvidence:
    values = cast("list[bytes | None]", redis.hmget(case_key(settings.prefix, case), FIELDS))
    stored_evidence = load_stored_evidence(
        case, {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    )
    if stored_evidence is None:
        raise CommandError(f"{case.biz_id} is not decided yet.", f"See where it stands: faceid case {case.biz_id}")
    if not stored_evidence.has_evidence:
        raise CommandError(
            f"No evidence of {case.biz_id} is stored, so its decision stands.",
            "FaceID keeps its own for a day. Have the user verified anew, with a new token and a new biz_no.",
        )
    return stored_evidence


def _decided_again(settings: Settings, case: CaseKey, stored_evidence: StoredEvidence, note: str) -> Superseding:
    policy = Policy.load(policy_of(settings, case.account) or DEFAULT)
    verdict = classify(stored_evidence.reconciled.evidence, policy)
    fresh = decide(stored_evidence.envelope, stored_evidence.reconciled, verdict, policy, time.time())
    return supersede(stored_evidence.stored, stored_evidence.decision, fresh, by=os_user(), note=note)


def _carry_out(redis: "Redis", settings: Settings, case: CaseKey, superseding: Superseding) -> None:
    keys = (case_key(settings.prefix, case), *outbox_keys(settings.prefix))
    words = superseding.arguments(settings.prefix, int(settings.retention_days * DAY_MS))
    if not redis.register_script(SCRIPT.read_text())(keys=keys, args=words):
        raise CommandError(
            "Another decision has come to stand meanwhile; nothing was changed.", "Look at the case again."
        )


def _tell(case: CaseKey, superseding: Superseding, *, changes: bool) -> None:
    tell(plain(f"{case.biz_id} of {case.account}", "bold"))
    for when, decision in (("before", superseding.old), ("after", superseding.new)):
        policy = f"policy {decision.policy.version} ({decision.policy.digest[:DIGEST]})"
        outcome = plain(f"{decision.outcome:<12}", COLOURS[decision.outcome])
        tell(f"{when:<8}", outcome, f"  revision {decision.revision}, by {policy}")
        for reason in reasons(decision):
            tell(f"  {reason}")
    if not changes:
        out.print("The decision would be the same: nothing was changed.")


def _as_json(case: CaseKey, superseding: Superseding, *, changes: bool, done: bool) -> dict[str, Any]:
    shown = {"biz_id": case.biz_id, "account": case.account, "changes": changes, "done": done}
    shown |= {"before": _in_short(superseding.old), "after": _in_short(superseding.new)}
    return shown | {"event": superseding.new.id if done else None}


def _in_short(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(mode="json", include={"outcome", "reasons", "policy", "reconciled", "revision"})
