"""Golden messages: an example of every decision and alert, for the tests of consumers."""

import json

from deploy.contract.golden_alerts import alerts
from deploy.contract.golden_decisions import decisions
from shared.events.alert import Alert
from shared.events.cloudevent import to_event
from shared.events.decision import Decision


def golden() -> dict[str, bytes]:
    """The golden messages by name, such as `decisions/face_matched` and `alerts/attack_rate`."""
    made = {f"decisions/{name}": _indented(decision) for name, decision in decisions().items()}
    return made | {f"alerts/{kind}": _indented(alert) for kind, alert in sorted(alerts().items())}


def _indented(message: Decision | Alert) -> bytes:
    return json.dumps(json.loads(to_event(message)), indent=2, ensure_ascii=False).encode() + b"\n"
