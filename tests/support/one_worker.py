"""A worker with all its stages, a vendor and a Redis in this process: time is turned by hand, nothing is waited for."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from pydantic import SecretStr
from redis import Redis

from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.ledger import Ledger, Limits
from shared.ledger.message_set import MessageSet
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.topology import BY_QUEUE
from shared.settings import Account, Reconcile
from tests.support.payloads import SECRET
from workers.decisioning.policy import Policy
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import Answer
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settlement, Settler
from workers.stages.classify import Classify
from workers.stages.evidence_reader import EvidenceReader, ReadRules
from workers.stages.publish import Publish
from workers.stages.reconcile import RecheckTimes
from workers.stages.reconcile import Reconcile as ReconcileStage
from workers.stages.verify import Verify

PREFIX = "faceid"
HINT, TOKEN_LIFE = 60.0, 3900.0
LIMITS = Limits(retention=86_400.0, breaker_pause=0.001)
TURNS = 500
"""Rounds of retries after which something goes round in circles."""


class OneWorker:
    """What it has published and shelved can be asked at any time."""

    def __init__(
        self, get_result: Callable[[Account, str], Awaitable[Answer]], reconcile: Reconcile = "always", now: float = 0
    ) -> None:
        """`now`: unix seconds of its clock, which is turned forward to whatever is due next."""
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
        self._runner = Runner(self._stages(account, get_result), Settler(PREFIX, 8, self._clock), Random(1))

    def _stages(self, account: Account, get_result: Callable[[Account, str], Awaitable[Answer]]) -> Any:
        ledger = Ledger(self._async_redis, PREFIX, LIMITS)
        rules = ReadRules(budget=3, spacing=(0.0,), timeout=1.0)
        limiters = {account.name: ConcurrencyLimiter(8, self._clock)}
        reader = EvidenceReader(ledger, get_result, rules, limiters, self._clock)
        accounts, looks = {account.name: account}, RecheckTimes(HINT, TOKEN_LIFE)
        return {
            "verify": Verify({account.name: [SECRET]}),
            "reconcile": ReconcileStage(accounts, ledger, reader, looks, self._clock),
            "classify": Classify({account.name: Policy.load()}, self._clock),
            "publish": Publish(ledger, PREFIX),
        }

    async def take(self, envelope: Envelope, *, deaths: int = 0) -> None:
        """Work on a message; the worker dies so many times before it can settle, and another one takes it over."""
        post = envelope.to_message(f"{PREFIX}.callbacks")
        for count in range(deaths + 1):
            self._number += 1
            delivery = Delivery(
                str(self._number), "callbacks", post.headers, post.content_type, post.body, delivery_count=count
            )
            settlement = await self._runner.run(delivery)
        self._settle(settlement)

    async def take_all(self, envelopes: Sequence[Envelope], *, deaths: Sequence[int] = ()) -> None:
        """The same for many at a time."""
        each = zip(envelopes, [*deaths, *[0] * len(envelopes)], strict=False)
        await asyncio.gather(*(self.take(envelope, deaths=times) for envelope, times in each))

    async def rest(self) -> None:
        """Turn the clock to whatever is due next, and work on it, until nothing is left to be done."""
        later = MessageSet(self.redis, PREFIX, "delayed")
        for _ in range(TURNS):
            waiting = list(later)
            if not waiting:
                return
            stored = waiting[0]
            self.now = max(self.now, stored.at)
            later.take([(stored.id, ())])
            assert stored.message is not None
            queue = BY_QUEUE[stored.message.queue.removeprefix(f"{PREFIX}.")].reads
            post = stored.message
            self._settle(await self._runner.run(Delivery(stored.id, queue, post.headers, post.content_type, post.body)))
            await asyncio.sleep(0.0002)  # what the ledger rests by is Redis's own clock
        raise AssertionError("an item goes round in circles")

    def committed(self, biz_id: str) -> list[dict[str, Any]]:
        """The decision that the ledger holds of a case, if it does."""
        decision = self.redis.hget(case_key(PREFIX, CaseKey("default", biz_id)), "decision")
        return [json.loads(decision)] if decision else []

    def message_set(self, name: Any) -> list[str]:
        """The reasons of what lies on a message set."""
        return [stored.reason for stored in MessageSet(self.redis, PREFIX, name)]

    def _settle(self, settlement: Settlement) -> None:
        assert not settlement.messages, "all stages are here"
        first = settlement.once is None or self.redis.hsetnx(*settlement.once)
        for command in settlement.writes:
            self.redis.execute_command(*command)
        if first:
            self.decisions += [
                json.loads(post.body)["data"] for post in settlement.results if post.queue == f"{PREFIX}.decisions"
            ]

    def _clock(self) -> float:
        return self.now
