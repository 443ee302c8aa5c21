"""GetResult of the simulator over HTTP: three reads within a day, every documented error, every fault."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pyreqwest.exceptions import BodyDecodeError

from deploy.simulator.model.api_errors import HTTP_STATUS
from deploy.simulator.model.faults import ERROR_MESSAGES, MAY_HAVE_READ, Faults, ResultFault, ResultFaultKind
from tests.support.simulated import OTHER_KEY, OTHER_SECRET, World, simulated
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with simulated() as world:
        yield world


async def finished(world: World, *faults: ResultFault, **fields: str) -> str:
    """Play one session with these GetResult faults. Returns its biz_id."""
    token, _ = await world.verify("pass", Faults(get_result=faults), **fields)
    return token.biz_id


async def message(world: World, biz_id: str, **fields: str) -> tuple[int, str]:
    """Call GetResult. Returns the HTTP status and the error message, or "none"."""
    status, document = await world.result(biz_id, **fields)
    return status, document.get("error_message", "none")


# the result


async def test_the_result_has_the_fields_of_the_callback_and_two_more(world: World) -> None:
    biz_id = await finished(world, return_multifaces_tag="1")
    status, result = await world.result(biz_id)
    notified = world.customer.on("notify")[0].data
    assert status == 200
    assert result.pop("request_id").startswith(f"{int(world.clock.now)},")
    assert isinstance(result.pop("time_used"), int)
    assert result == notified


async def test_the_result_has_the_verify_time_only_on_request(world: World) -> None:
    biz_id = await finished(world)
    assert (await world.result(biz_id, return_verify_time="1"))[1]["verify_result"]["verify_time"] == int(
        world.clock.now
    )
    assert "verify_time" not in (await world.result(biz_id))[1]["verify_result"]


async def test_callbacks_have_the_verify_time_if_get_token_requested_it(world: World) -> None:
    await world.verify(return_verify_time="1")
    assert world.customer.on("notify")[0].data["verify_result"]["verify_time"] == int(world.clock.now)


async def test_the_result_has_images_only_on_request(world: World) -> None:
    biz_id = await finished(world)
    assert (await world.result(biz_id, return_image="1"))[1]["images"]["image_best"]
    assert "images" not in (await world.result(biz_id, return_image="0"))[1]


async def test_a_result_can_disagree_with_its_callbacks(world: World) -> None:
    token, _ = await world.verify("pass", Faults(result="face-below"))
    _, result = await world.result(token.biz_id)
    notified = world.customer.on("notify")[0].data
    assert result["verify_result"]["result_ref1"]["confidence"] == 12.5
    assert notified["verify_result"]["result_ref1"]["confidence"] == 81.2


# the limits: three reads, one day


async def test_the_fourth_and_later_reads_are_refused_and_counted(world: World) -> None:
    biz_id = await finished(world)
    answers = [await message(world, biz_id) for _ in range(5)]
    assert answers == [(200, "none")] * 3 + [(403, "DATA_DESTROYED")] * 2
    assert await world.reads(biz_id) == 5


async def test_concurrent_reads_are_counted_one_by_one(world: World) -> None:
    biz_id = await finished(world)
    answers = await asyncio.gather(*(message(world, biz_id) for _ in range(20)))
    assert sorted(answers) == [(200, "none")] * 3 + [(403, "DATA_DESTROYED")] * 17


async def test_reads_before_the_user_has_finished_count_and_return_no_result(world: World) -> None:
    token = await world.token()
    for _ in range(3):
        status, document = await world.result(token.biz_id)
        assert (status, document["status"]) == (200, "NOT_STARTED")
        assert "liveness_result" not in document
    await world.browser.verify(token.token)
    assert await message(world, token.biz_id) == (403, "DATA_DESTROYED")


async def test_the_status_is_processing_during_the_check() -> None:
    async with simulated(flow_seconds=1, max_reads=1000) as world:
        token = await world.token()
        visit = asyncio.create_task(world.browser.verify(token.token))
        await eventually(lambda: is_processing(world, token.biz_id))
        await visit
        assert (await world.result(token.biz_id))[1]["status"] == "OK"


async def is_processing(world: World, biz_id: str) -> bool:
    return bool((await world.result(biz_id))[1]["status"] == "PROCESSING")


async def test_a_result_is_destroyed_after_a_day() -> None:
    async with simulated() as world:
        biz_id = await finished(world)
        world.clock.now += 86400
        assert await message(world, biz_id) == (200, "none")
        world.clock.now += 1
        assert await message(world, biz_id) == (403, "DATA_DESTROYED")


# errors


async def test_getresult_names_a_missing_required_argument(world: World) -> None:
    for name in ("api_key", "api_secret", "biz_id"):
        fields = {"biz_id": "1,x"} | {name: ""}
        assert await message(world, **fields) == (400, f"MISSING_ARGUMENTS: {name}")


@pytest.mark.parametrize("name", ["return_image", "return_verify_time"])
async def test_a_value_outside_the_choices_is_a_bad_argument(world: World, name: str) -> None:
    biz_id = await finished(world)
    assert await message(world, biz_id, **{name: "7"}) == (400, f"BAD_ARGUMENTS:{name}")
    assert await world.reads(biz_id) == 0


async def test_a_wrong_secret_spends_no_read(world: World) -> None:
    biz_id = await finished(world)
    assert await message(world, biz_id, api_secret="wrong") == (403, "AUTHENTICATION_ERROR")
    assert await world.reads(biz_id) == 0


async def test_another_accounts_result_is_not_found(world: World) -> None:
    biz_id = await finished(world)
    other = {"api_key": OTHER_KEY, "api_secret": OTHER_SECRET}
    assert await message(world, biz_id, **other) == (400, "RESULT_NOT_FOUND")
    assert await world.reads(biz_id) == 0


async def test_an_unknown_biz_id_is_not_found(world: World) -> None:
    assert await message(world, "1462259748,52b13fb5") == (400, "RESULT_NOT_FOUND")


async def test_calls_above_the_concurrency_limit_are_refused_and_spend_no_read() -> None:
    async with simulated(concurrency_limit=2, get_result_seconds=1) as world:
        biz_ids = [await finished(world) for _ in range(6)]
        answers = await asyncio.gather(*(message(world, biz_id) for biz_id in biz_ids))
        assert sorted(answers) == [(200, "none")] * 2 + [(403, "CONCURRENCY_LIMIT_EXCEEDED")] * 4
        stats = await world.remote.stats()
        assert (stats["calls"], stats["reads"], stats["max_in_flight"]) == (6, 2, 2)
        assert (await message(world, biz_ids[0]))[0] == 200


# faults


@pytest.mark.parametrize("kind", ERROR_MESSAGES)
async def test_every_documented_error_can_be_returned_once(world: World, kind: ResultFaultKind) -> None:
    biz_id = await finished(world, ResultFault(kind=kind))
    error = ERROR_MESSAGES[kind]
    assert await message(world, biz_id) == (HTTP_STATUS[error.partition(":")[0]], error)
    assert await world.reads(biz_id) == (1 if kind in MAY_HAVE_READ else 0)
    assert await message(world, biz_id) == (200, "none")


@pytest.mark.parametrize("key", ["error_message", "error", "ERROR"])
async def test_the_error_message_can_have_another_key(world: World, key: str) -> None:
    fault = ResultFault.model_validate({"kind": "busy", "message_key": key})
    _, document = await world.result(await finished(world, fault))
    assert document[key] == "CONCURRENCY_LIMIT_EXCEEDED"
    assert set(document) == {key, "request_id", "time_used"}


async def test_an_error_can_have_another_http_status(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="busy", http_status=429))
    assert await message(world, biz_id) == (429, "CONCURRENCY_LIMIT_EXCEEDED")


@pytest.mark.parametrize("status", [502, 200])
async def test_an_answer_can_be_invalid_json(world: World, status: int) -> None:
    biz_id = await finished(world, ResultFault(kind="not-json", http_status=status))
    answer = await world.get_result(biz_id)
    assert answer.status == status
    with pytest.raises(json.JSONDecodeError):
        json.loads(await answer.text())
    assert await world.reads(biz_id) == 1


async def test_an_answer_can_be_larger_than_any_result(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="too-large"))
    status, document = await world.result(biz_id)
    assert (status, len(document["images"]["image_best"])) == (200, 5 * 1024 * 1024)
    assert await world.reads(biz_id) == 1


async def test_an_answer_can_be_cut_off(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="broken"))
    with pytest.raises(BodyDecodeError):
        await world.get_result(biz_id)
    assert await world.reads(biz_id) == 1
    assert await message(world, biz_id) == (200, "none")


async def test_an_answer_can_hang(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="hang"))
    arguments = {"api_key": OTHER_KEY, "api_secret": OTHER_SECRET, "biz_id": biz_id}
    call = asyncio.create_task(world.http.get(f"{world.base}/get_result").query(arguments).build().send())
    await eventually(lambda: has_reads(world, biz_id, 1))
    assert not call.done()
    call.cancel()


async def has_reads(world: World, biz_id: str, reads: int) -> bool:
    return await world.reads(biz_id) == reads


async def test_a_slow_answer_is_correct(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="slow", delay_ms=150))
    status, document = await world.result(biz_id)
    assert (status, document["status"]) == (200, "OK")
    assert document["time_used"] >= 150


async def test_failed_reads_cost_nothing_if_the_setting_says_so() -> None:
    async with simulated(failed_reads_count=False) as world:
        biz_id = await finished(world, ResultFault(kind="internal-error", times=5))
        assert [await message(world, biz_id) for _ in range(5)] == [(500, "INTERNAL_ERROR")] * 5
        assert await world.reads(biz_id) == 0


async def test_a_fault_affects_the_configured_number_of_calls(world: World) -> None:
    biz_id = await finished(world, ResultFault(kind="busy", times=2), ResultFault(kind="authentication-error"))
    messages = [(await message(world, biz_id))[1] for _ in range(4)]
    assert messages == ["CONCURRENCY_LIMIT_EXCEEDED"] * 2 + ["AUTHENTICATION_ERROR", "none"]
    session = await world.remote.session(biz_id)
    assert (session["calls"], session["reads"]) == (4, 1)


async def test_a_global_fault_affects_every_session_until_it_is_removed() -> None:
    async with simulated() as world:
        first, second = await finished(world), await finished(world, ResultFault(kind="busy"))
        await world.remote.set_faults(ResultFault(kind="authorization-error", times=None))
        assert await message(world, first) == (403, "AUTHORIZATION_ERROR:Denied")
        assert await message(world, second) == (403, "CONCURRENCY_LIMIT_EXCEEDED")
        assert await message(world, second) == (403, "AUTHORIZATION_ERROR:Denied")
        await world.remote.set_faults()
        assert await message(world, first) == (200, "none")
        assert (await world.remote.stats())["answers"] == {
            "AUTHORIZATION_ERROR": 2,
            "CONCURRENCY_LIMIT_EXCEEDED": 1,
            "OK": 1,
        }


async def test_the_stats_have_the_highest_read_count_of_a_session() -> None:
    async with simulated() as world:
        first, second = await finished(world), await finished(world)
        for biz_id in (first, first, second):
            await world.result(biz_id)
        stats = await world.remote.stats()
        assert (stats["calls"], stats["reads"], stats["max_reads"]) == (3, 3, 2)
