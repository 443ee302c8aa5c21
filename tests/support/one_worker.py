"""A worker with all stages, GetResult and Redis in this process. The clock is set by hand: nothing waits."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from pydantic import SecretStr
from redis import Redis

from shared.accounts import Account
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.ledger import Ledger, Limits
from shared.ledger.message_set import MessageSet, run_commands
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.topology import BY_QUEUE
from shared.settings import Reconcile
from tests.support.case_texts import text
from tests.support.payloads import SECRET
from workers.decisioning.policy import Policy
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import Answer
from workers.runtime.full_ledger import FullLedger
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settlement, Settler
from workers.stages.classify import Classify
from workers.stages.evidence_reader import EvidenceReader, ReadRules
from workers.stages.publish import Publish
from workers.stages.reconcile import RecheckTimes
from workers.stages.reconcile import Reconcile as ReconcileStage
from workers.stages.verify import Verify

PREFIX = "faceid"
UNSIGNED_DELAY, TOKEN_LIFETIME = 60.0, 3900.0
LIMITS = Limits(retention=86_400.0, breaker_pause=0.001)
MAX_RETRIES = 500
"""Retries of delayed messages after which they are taken to be endless."""


class OneWorker:
    """Runs messages through all stages, and keeps what they publish and store."""

    def __init__(
        self, get_result: Callable[[Account, str], Awaitable[Answer]], reconcile: Reconcile = "always", now: float = 0
    ) -> None:
        """`now`: unix seconds at the start; `run_until_idle` moves the clock to whatever is due next."""
        server = FakeServer()
        self.redis: Redis = FakeRedis(server=server)
        self._async_redis = FakeAsyncRedis(server=server)
        self.now = now
        self.decisions: list[dict[str, Any]] = []
        self._number = 0
        account = Account(
            name="default",
            reconcile=reconcile,
            api_key=SecretStr("key"),
            api_secrets=(SecretStr(SECRET),),
            base_url="http://127.0.0.1:1/faceid/lite",
        )
        full_ledger = FullLedger(lambda: False, Random(1), self._clock)
        settler = Settler(PREFIX, 8, self._clock)
        self._runner = Runner(self._stages(account, get_result), settler, full_ledger, Random(1))

    def _stages(self, account: Account, get_result: Callable[[Account, str], Awaitable[Answer]]) -> Any:
        ledger = Ledger(self._async_redis, PREFIX, LIMITS)
        rules = ReadRules(budget=3, spacing=(0.0,), timeout=1.0)
        limiters = {account.name: ConcurrencyLimiter(8)}
        reader = EvidenceReader(ledger, get_result, rules, limiters, self._clock)
        accounts, recheck_times = {account.name: account}, RecheckTimes(UNSIGNED_DELAY, TOKEN_LIFETIME)
        return {
            "verify": Verify({account.name: [SECRET]}, LIMITS.retention),
            "reconcile": ReconcileStage(accounts, ledger, reader, recheck_times, self._clock),
            "classify": Classify({account.name: Policy.load()}, self._clock),
            "publish": Publish(ledger, PREFIX),
        }

    async def process(self, envelope: Envelope, *, deaths: int = 0) -> None:
        """Process one message. The first `deaths` workers die before they settle it, and another takes it over."""
        await self.process_message(envelope.to_message(f"{PREFIX}.callbacks"), deaths=deaths)

    async def process_message(self, message: Message, *, deaths: int = 0) -> None:
        """Process one message of any inner queue."""
        for count in range(deaths + 1):
            self._number += 1
            delivery = Delivery(
                str(self._number),
                message.queue.removeprefix(f"{PREFIX}."),
                message.headers,
                message.content_type,
                message.body,
                delivery_count=count,
            )
            settlement = await self._runner.run(delivery)
        self._settle(settlement)

    async def process_all(self, envelopes: Sequence[Envelope], *, deaths: Sequence[int] = ()) -> None:
        """Process many messages at the same time."""
        each = zip(envelopes, [*deaths, *[0] * len(envelopes)], strict=False)
        await asyncio.gather(*(self.process(envelope, deaths=times) for envelope, times in each))

    async def run_until_idle(self) -> None:
        """Move the clock to the next delayed message and process it, until none is left."""
        delayed = MessageSet(self.redis, PREFIX, "delayed")
        for _ in range(MAX_RETRIES):
            waiting = list(delayed)
            if not waiting:
                return
            stored = waiting[0]
            self.now = max(self.now, stored.at)
            delayed.take([(stored.id, ())])
            assert stored.message is not None
            queue = BY_QUEUE[stored.message.queue.removeprefix(f"{PREFIX}.")].reads
            message = stored.message
            delivery = Delivery(stored.id, queue, message.headers, message.content_type, message.body)
            self._settle(await self._runner.run(delivery))
            await asyncio.sleep(0.0002)  # the ledger's pauses go by Redis's own clock
        raise AssertionError("a message is delayed again and again")

    def committed(self, biz_id: str) -> list[dict[str, Any]]:
        """The decision that the ledger holds for a case, or nothing."""
        decision = text(self.redis.hgetall(case_key(PREFIX, CaseKey("default", biz_id))), "decision")
        return [json.loads(decision)] if decision else []

    def published(self) -> list[dict[str, Any]]:
        """All decisions that are published, or wait in the outbox."""
        waiting = [
            stored for stored in MessageSet(self.redis, PREFIX, "outbox") if stored.reason.startswith("supersed")
        ]
        return self.decisions + [json.loads(stored.message.body)["data"] for stored in waiting if stored.message]

    def message_set(self, name: Any) -> list[str]:
        """The reasons of the messages in a message set."""
        return [stored.reason for stored in MessageSet(self.redis, PREFIX, name)]

    def _settle(self, settlement: Settlement) -> None:
        assert not settlement.messages, "every stage runs in this process"
        first = settlement.once is None or self.redis.hsetnx(*settlement.once)
        run_commands(self.redis, settlement.writes)
        if first:
            self.decisions += [
                json.loads(message.body)["data"]
                for message in settlement.results
                if message.queue == f"{PREFIX}.decisions"
            ]

    def _clock(self) -> float:
        return self.now
