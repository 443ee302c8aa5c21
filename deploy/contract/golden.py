"""Golden messages, laid out to be read: whoever consumes decisions and alerts may feed them to tests of his own."""

import json

from deploy.contract.golden_alerts import alerts
from deploy.contract.golden_decisions import decisions
from shared.events.alert import Alert
from shared.events.cloudevent import to_event
from shared.events.decision import Decision


def golden() -> dict[str, bytes]:
    """All of them by their name: `decisions/face_matched`, ..., `alerts/attack_rate`, ..."""
    made = {f"decisions/{name}": _laid_out(decision) for name, decision in decisions().items()}
    return made | {f"alerts/{kind}": _laid_out(alert) for kind, alert in sorted(alerts().items())}


def _laid_out(message: Decision | Alert) -> bytes:
    return json.dumps(json.loads(to_event(message)), indent=2, ensure_ascii=False).encode() + b"\n"
