"""Make decisions and alerts, and publish them as the pipeline does."""

from collections.abc import Iterable
from contextlib import closing

from shared.brokers.factory import open_publisher
from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import to_message
from shared.events.decision import Decision, Effect, Outcome, PolicyRef, Reason, ReasonCode
from shared.messaging.message import Message

PREFIX = "faceid"
DECISIONS = "faceid.decisions"
PUBLISH_SECONDS = 60.0


def decision(number: int, outcome: Outcome = Outcome.APPROVED) -> Decision:
    return Decision(
        biz_id=f"1462259748,{number}",
        biz_no=str(number),
        biz_extra_data=None,
        account="default",
        outcome=outcome,
        reasons=(Reason(ReasonCode.FACE_MATCHED, "verify_result.result_ref1.confidence", 80.0, 69.0, Effect.APPROVE),),
        policy=PolicyRef("test", "0" * 64),
        reconciled=True,
        channels=("notify",),
        revision=1,
        supersedes=None,
        status="OK",
        liveness=None,
        genuineness=None,
        faces=(),
        received_at="2016-05-03T07:16:03.250Z",
        decided_at="2016-05-03T07:16:03.500Z",
    )


def alert() -> Alert:
    return Alert.of(AlertKind.BREAKER_OPENED, "default", 1462259763.25)


def publish(url: str, *messages: Decision | Alert) -> None:
    """Publish decisions and alerts as a worker does."""
    publish_messages(url, [to_message(message, PREFIX) for message in messages])


def publish_messages(url: str, messages: Iterable[Message]) -> None:
    waiting = list(messages)
    with closing(open_publisher(url, PUBLISH_SECONDS)) as publisher:
        while waiting:
            publisher.publish(waiting[:500])
            del waiting[:500]
