"""The outbox: what each of several workers that empty it logs."""

from collections.abc import Collection, Sequence

from fakeredis import FakeRedis
from structlog.testing import capture_logs

from shared.ledger.message_set import MessageSet, put_commands
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from tests.support.biz_ids import biz_id
from workers.maintenance.outbox_relay import OutboxRelay


class OtherServer:
    """Results on another server: of the items, this worker publishes those in `own`."""

    def __init__(self, own: Collection[str]) -> None:
        self._own = own

    def release(self, _: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> list[str]:
        assert results
        return [item for item, _ in leaving if item in self._own]


def test_an_alert_is_logged_by_the_worker_that_published_it() -> None:
    redis = FakeRedis()
    for number in range(4):
        alert = StoredMessage(str(number), "publish", "budget_spent", "", 1.0, account="default", biz_id=biz_id(number))
        for command in put_commands("faceid", "outbox", alert):
            redis.execute_command(*command)  # type: ignore[no-untyped-call]
    workers = [OutboxRelay(OtherServer(own), redis, "faceid") for own in ({"0", "1"}, {"2", "3"})]  # type: ignore[arg-type]  # the part of a Source that it uses

    with capture_logs() as logs:
        for worker in workers:
            worker.run()

    logged = [line["biz_id"] for line in logs if line["event"] == "alert.raised"]
    assert sorted(logged) == sorted(map(biz_id, range(4)))
