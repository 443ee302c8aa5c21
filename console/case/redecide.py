"""`faceid case redecide`: decide a case again on its stored evidence."""

import time
from typing import Annotated, Any, Final

import typer
from redis import Redis

from console.case.record import find
from console.case.show import CaseName, OneJson
from console.case.timeline import explain_reasons
from console.dead_letters.batch_move import DAY_MS, os_user
from console.terminal.accounts import policy_of
from console.terminal.errors import CommandError, NotFound, UsageError
from console.terminal.options import InAccount, Plan, Yes
from console.terminal.output import COLOURS, out, plain, print_json, print_line
from console.terminal.redis_connection import open_redis
from shared.accounts import account_names
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, case_key, message_set_keys
from shared.ledger.case_reader import read_fields
from shared.ledger.superseding import SCRIPT, Superseding
from shared.settings import Settings, load_settings
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide, is_different, supersede
from workers.decisioning.policy import DEFAULT, Policy
from workers.decisioning.stored_evidence import StoredEvidence, load_stored_evidence

DIGEST: Final = 12
"""Characters of a policy's digest that are shown."""

Note = Annotated[
    str,
    typer.Option("--note", help="Why. It is kept on the case, with your user name and the time.", show_default=False),
]


def redecide(
    name: CaseName,
    *,
    note: Note,
    account: InAccount = None,
    plan: Plan = False,
    yes: Yes = False,
    json: OneJson = False,
) -> None:
    """Decide a case again, on its stored evidence and its account's present policy.

    Shows the decision before and after, and asks. The new decision is published as the next revision; the event names
    the decision that it supersedes. An alert is raised when the outcome differs. When the decision would be the same,
    nothing is changed.

    Exits with 1 when the ledger has no such case, or the case can't be decided again.

    Example: [cyan]faceid case redecide 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11 --note "policy 8, ticket 17"[/]
    """
    if not note.strip():
        raise UsageError("The note is empty.", "Say why the case is decided again: --note TEXT.")
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        case = _find(redis, settings, name, account)
        superseding = _decide_again(settings, case, _read_evidence(redis, settings, case), note)
        changes = is_different(superseding.new, superseding.old)
        if not json:
            _print(case, superseding, changes=changes)
        if changes and not plan and not (yes or typer.confirm("Publish the new decision?", err=True)):
            raise typer.Exit(1)
        done = changes and not plan
        if done:
            _commit(redis, settings, case, superseding)
    if json:
        print_json(_as_json(case, superseding, changes=changes, done=done))
    elif done:
        print_line(
            f"Revision {superseding.new.revision} is stored. The workers publish it as event {superseding.new.id}."
        )


def _find(redis: Redis, settings: Settings, name: str, account: str | None) -> CaseKey:
    accounts = [account] if account else sorted(account_names(settings))
    record = find(redis, settings.prefix, accounts, name)
    if record is None:
        raise NotFound(f"The ledger has no case {name} in {', '.join(accounts)}.")
    return record.case


def _read_evidence(redis: Redis, settings: Settings, case: CaseKey) -> StoredEvidence:
    evidence = load_stored_evidence(case, read_fields(redis, settings.prefix, case))
    if evidence is None:
        raise CommandError(f"{case.biz_id} is not decided yet.", f"See its state: faceid case {case.biz_id}")
    if not evidence.has_evidence:
        raise CommandError(
            f"No evidence of {case.biz_id} is stored, so it can't be decided again.",
            "FaceID keeps a result for one day. Let the user verify again, with a new token and a new biz_no.",
        )
    return evidence


def _decide_again(settings: Settings, case: CaseKey, evidence: StoredEvidence, note: str) -> Superseding:
    policy = Policy.load(policy_of(settings, case.account) or DEFAULT)
    verdict = classify(evidence.reconciled.evidence, policy)
    decision = decide(evidence.envelope, evidence.reconciled, verdict, policy, time.time()).decision
    return supersede(evidence.stored_decision, evidence.decision, decision, by=os_user(), note=note)


def _commit(redis: Redis, settings: Settings, case: CaseKey, superseding: Superseding) -> None:
    keys = (case_key(settings.prefix, case), *message_set_keys(settings.prefix, "outbox"))
    arguments = superseding.arguments(settings.prefix, int(settings.retention_days * DAY_MS))
    if not redis.register_script(SCRIPT)(keys=keys, args=arguments):
        raise CommandError(
            "The case was decided again by somebody else meanwhile; nothing was changed.",
            f"See the new decision: faceid case {case.biz_id}",
        )


def _print(case: CaseKey, superseding: Superseding, *, changes: bool) -> None:
    print_line(plain(f"{case.biz_id} in {case.account}", "bold"))
    for when, decision in (("before", superseding.old), ("after", superseding.new)):
        policy = f"policy {decision.policy.version} ({decision.policy.digest[:DIGEST]})"
        outcome = plain(f"{decision.outcome:<12}", COLOURS[decision.outcome])
        print_line(f"{when:<8}", outcome, f"  revision {decision.revision}, by {policy}")
        for reason in explain_reasons(decision):
            print_line(f"  {reason}")
    if not changes:
        out.print("The decision would be the same: nothing was changed.")


def _as_json(case: CaseKey, superseding: Superseding, *, changes: bool, done: bool) -> dict[str, Any]:
    record = {"biz_id": case.biz_id, "account": case.account, "changes": changes, "done": done}
    record |= {"before": _summary(superseding.old), "after": _summary(superseding.new)}
    return record | {"event": superseding.new.id if done else None}


def _summary(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(mode="json", include={"outcome", "reasons", "policy", "reconciled", "revision"})
