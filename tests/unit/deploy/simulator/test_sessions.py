"""The sessions of the simulator: ids, tokens, expiry, and faults."""

import pytest
from pydantic import ValidationError

from deploy.simulator.model.api_errors import ApiError
from deploy.simulator.model.faults import FaultQueue, Faults, ResultFault
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.model.token_request import parse_token_request

DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_462_259_748.5

    def __call__(self) -> float:
        return self.now


class Registry:
    """Sessions with a clock that the test sets."""

    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.sessions = Sessions(SimulatorSettings.model_validate({"seed": 7} | settings), self.clock)

    def create(self, biz_no: str, api_key: str = "key") -> Session:
        fields = {"return_url": "http://a/", "notify_url": "http://a/", "biz_no": biz_no, "comparison_type": "-1"}
        return self.sessions.create(api_key, parse_token_request(fields, any_port=True))

    def finished(self, biz_no: str) -> Session:
        session = self.create(biz_no)
        self.sessions.finish(session)
        return session


def test_a_biz_id_is_unix_seconds_a_comma_and_a_uuid() -> None:
    created, _, uuid = Registry().create("1").biz_id.partition(",")
    assert created == "1462259748"
    assert len(uuid) == 36


def test_the_same_seed_gives_the_same_ids() -> None:
    assert Registry().create("1").biz_id == Registry().create("1").biz_id
    assert Registry().create("1").biz_id != Registry(seed=8).create("1").biz_id


def test_a_biz_no_is_unique_within_its_account() -> None:
    registry = Registry()
    registry.create("1")
    registry.create("1", api_key="another")
    with pytest.raises(ApiError, match=r"^BAD_ARGUMENTS:biz_no$"):
        registry.create("1")


def test_a_token_can_be_used_once() -> None:
    registry = Registry()
    session = registry.create("1")
    assert registry.sessions.open(session.token) is session
    assert registry.sessions.open(session.token) is None


def test_a_token_expires() -> None:
    registry = Registry(token_ttl_seconds=60)
    session = registry.create("1")
    registry.clock.now += 61
    assert registry.sessions.open(session.token) is None
    assert session.status == "NOT_STARTED"


def test_the_status_is_not_started_then_processing_then_that_of_the_result() -> None:
    registry = Registry()
    session = registry.create("1")
    seen = [session.status]
    registry.sessions.open(session.token)
    seen.append(session.status)
    registry.sessions.finish(session)
    assert [*seen, session.status] == ["NOT_STARTED", "PROCESSING", "OK"]


def test_a_result_is_destroyed_a_day_after_the_end_of_the_flow() -> None:
    registry = Registry()
    session = registry.create("1")
    registry.clock.now += 600
    registry.sessions.finish(session)
    registry.clock.now += DAY
    assert not registry.sessions.is_destroyed(session)
    registry.clock.now += 1
    assert registry.sessions.is_destroyed(session)


def test_a_result_is_destroyed_after_its_last_read() -> None:
    registry = Registry()
    session = registry.finished("1")
    session.reads = 3
    assert not registry.sessions.is_destroyed(session)
    session.reads = 4
    assert registry.sessions.is_destroyed(session)


def test_a_session_is_forgotten_with_its_biz_no_a_day_after_its_result_was_destroyed() -> None:
    registry = Registry()
    session = registry.finished("1")
    registry.clock.now += 2 * DAY - 1
    registry.create("2")
    assert registry.sessions.find(session.biz_id) is session
    registry.clock.now += 2
    registry.create("3")
    assert registry.sessions.find(session.biz_id) is None
    registry.create("1")


def test_the_oldest_sessions_are_forgotten_above_the_limit() -> None:
    registry = Registry(max_sessions=3)
    created = [registry.create(str(number)) for number in range(5)]
    assert list(registry.sessions.page(0, 10)) == created[2:]
    assert registry.sessions.open(created[0].token) is None


def test_faults_are_used_in_order() -> None:
    queue = FaultQueue(
        (ResultFault(kind="busy", times=2), ResultFault(kind="hang"), ResultFault(kind="slow", times=None))
    )
    kinds = [fault.kind if (fault := queue.next()) else None for _ in range(6)]
    assert kinds == ["busy", "busy", "hang", "slow", "slow", "slow"]
    assert [fault["times"] for fault in queue.left()] == [None]


def test_a_used_fault_is_removed() -> None:
    queue = FaultQueue((ResultFault(kind="busy"),))
    assert queue.next() is not None
    assert queue.next() is None
    assert queue.left() == []


@pytest.mark.parametrize("name", ["then", "result"])
def test_an_unknown_scenario_is_an_error(name: str) -> None:
    with pytest.raises(ValidationError, match="no such scenario"):
        Faults.model_validate({name: "nonsense"})


def test_secrets_are_not_in_the_text_of_settings_or_errors() -> None:
    settings = SimulatorSettings.model_validate({"accounts": {"key": "hush-hush"}})
    assert "hush-hush" not in repr(settings)
    with pytest.raises(ValidationError) as caught:
        SimulatorSettings.model_validate({"accounts": {"key": ["hush-hush"]}})
    assert "hush-hush" not in str(caught.value)
