"""The simulator over HTTP: tokens, users and callbacks."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode

import pytest
import pytest_asyncio
from pyreqwest.client import Client
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.multipart import FormBuilder, PartBuilder

from deploy.local.ports import free_port
from deploy.simulator.driver.browser import TokenRefused, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient, ControlError
from deploy.simulator.model.faults import Faults
from deploy.simulator.model.scenarios import SCENARIOS
from deploy.simulator.model.settings import BASE_PATH
from deploy.simulator.model.token_request import REQUIRED, REQUIRED_TO_COMPARE
from tests.support.simulated import API_KEY, SECRET, World, simulated
from tests.support.waiting import LIMIT, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with simulated(notify_retry_seconds=0.01) as world:
        yield world


async def refusal(world: World, **fields: str) -> str:
    """The error message of a get_token that is refused."""
    with pytest.raises(TokenRefused) as caught:
        await world.token(**fields)
    return str(caught.value)


# get_token


async def test_get_token_answers_with_the_documented_fields(world: World) -> None:
    order = world.order()
    body = urlencode(order).encode()
    request = world.http.post(f"{world.base}/get_token").header("content-type", "application/x-www-form-urlencoded")
    answer = await request.body_bytes(body).build().send()
    document = json.loads(await answer.text())
    assert answer.status == 200
    assert set(document) == {"biz_no", "expired_time", "biz_id", "request_id", "time_used", "token"}
    assert document["biz_no"] == order["biz_no"]
    assert document["expired_time"] == int(world.clock.now) + 3600
    assert document["biz_id"].startswith(f"{int(world.clock.now)},")


@pytest.mark.parametrize(("image", "missing"), [(b"\xff\xd8\xff jpeg", False), (b"", True)])
async def test_get_token_accepts_multipart_with_an_uploaded_photo(world: World, image: bytes, missing: bool) -> None:
    form = FormBuilder()
    for name, value in world.order().items():
        if name != "image_ref1":
            form = form.text(name, value)
    form = form.part("image_ref1", PartBuilder.from_bytes(image).file_name("me.jpg").mime("image/jpeg"))
    answer = await world.http.post(f"{world.base}/get_token").multipart(form).build().send()
    document = json.loads(await answer.text())
    assert (answer.status, document.get("error_message")) == (
        (400, "MISSING_ARGUMENTS: image_ref1") if missing else (200, None)
    )


@pytest.mark.parametrize("name", ["api_key", "api_secret", *REQUIRED, *REQUIRED_TO_COMPARE])
async def test_get_token_names_a_missing_required_argument(world: World, name: str) -> None:
    order = world.order()
    del order[name]
    with pytest.raises(TokenRefused, match=f"^MISSING_ARGUMENTS: {name}$"):
        await get_token(world.http, world.base, order)


@pytest.mark.parametrize(("name", "limit"), [("biz_no", 128), ("biz_extra_data", 4096), ("web_title", 32)])
async def test_get_token_refuses_a_value_that_is_too_long(world: World, name: str, limit: int) -> None:
    assert await refusal(world, **{name: "王" * (limit // 3 + 1)}) == f"BAD_ARGUMENTS:{name}"


async def test_a_biz_no_works_once(world: World) -> None:
    await world.token(biz_no="used")
    assert await refusal(world, biz_no="used") == "BAD_ARGUMENTS:biz_no"


@pytest.mark.parametrize("fields", [{"api_secret": "wrong"}, {"api_key": "unknown"}, {"api_secret": "王"}])
async def test_a_wrong_key_or_secret_is_an_authentication_error(world: World, fields: dict[str, str]) -> None:
    assert await refusal(world, **fields) == "AUTHENTICATION_ERROR"


async def test_get_token_refuses_a_callback_url_on_another_port() -> None:
    async with simulated(any_port=False) as strict:
        assert await refusal(strict) == "BAD_ARGUMENTS:notify_url"
        assert await strict.token(notify_url="http://127.0.0.1:8028/notify")


async def test_a_broken_multipart_form_is_a_bad_argument(world: World) -> None:
    request = world.http.post(f"{world.base}/get_token").header("content-type", "multipart/form-data; boundary=x")
    answer = await request.body_bytes(b"--y\r\nnonsense").build().send()
    assert (answer.status, json.loads(await answer.text())["error_message"]) == (400, "BAD_ARGUMENTS:form")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/nothing"), ("GET", "/get_token"), ("POST", "/get_result"), ("GET", "/../v9/do")],
)
async def test_an_unknown_path_or_method_is_not_found(world: World, method: str, path: str) -> None:
    answer = await world.http.request(method, world.base + path).build().send()
    assert (answer.status, json.loads(await answer.text())["error_message"]) == (404, "API_NOT_FOUND")


# users and callbacks


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_scenario_sends_signed_callbacks_with_its_status(world: World, name: str) -> None:
    token, visit = await world.verify(name)
    scenario = SCENARIOS[name]
    notified = [arrival.data["status"] for arrival in world.customer.on("notify")]
    assert notified == [*scenario.notified_before, scenario.evidence.status]
    assert world.customer.channels() == ["notify"] * len(notified) + ["return"] * scenario.returns
    assert all(arrival.is_signed for arrival in world.customer.arrivals)
    assert {arrival.data["biz_info"]["biz_id"] for arrival in world.customer.arrivals} == {token.biz_id}
    assert visit.returned == ("POST" if scenario.returns else None)


async def test_both_channels_send_the_same_bytes_formatted_by_json_dumps_and_urlencode(world: World) -> None:
    await world.verify("pass", biz_extra_data='é+&=% "<x>"')
    notify, back = world.customer.arrivals
    assert notify.body == back.body
    assert notify.text == json.dumps(notify.data)
    assert notify.body == urlencode(parse_qsl(notify.body.decode())).encode()
    assert notify.content_type == back.content_type == "application/x-www-form-urlencoded"
    assert notify.data["biz_info"]["biz_extra_data"] == 'é+&=% "<x>"'


async def test_a_get_return_has_only_the_biz_id(world: World) -> None:
    token, visit = await world.verify(
        action_http_method="GET", return_url=f"{world.customer.url}/return?order=7&lang=en#done"
    )
    (back,) = world.customer.on("return")
    assert (visit.page_status, visit.returned, visit.return_status) == (302, "GET", 303)
    assert (back.method, back.body) == ("GET", b"")
    assert back.query == f"order=7&lang=en&biz_id={token.biz_id.replace(',', '%2C')}"


async def test_a_get_return_can_leave_the_comma_unescaped() -> None:
    async with simulated(raw_comma=True) as world:
        token, _ = await world.verify(action_http_method="GET")
        assert world.customer.on("return")[0].query == f"biz_id={token.biz_id}"


async def test_the_browser_gets_the_redirect_of_the_customer(world: World) -> None:
    _, visit = await world.verify()
    assert (visit.return_status, visit.location) == (303, "/done")


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_browser_gets_no_answer_when_the_customer_is_down(world: World, method: str) -> None:
    _, visit = await world.verify(action_http_method=method, return_url="http://127.0.0.1:1/return")
    assert (visit.returned, visit.return_status) == (method, None)


async def test_a_reload_posts_the_return_again(world: World) -> None:
    token = await world.token()
    world.customer.arrivals.clear()
    await world.browser.verify(token.token, returns=3)
    assert world.customer.channels() == ["notify", "return", "return", "return"]


async def test_a_token_works_once(world: World) -> None:
    token, _ = await world.verify()
    again = await world.browser.verify(token.token)
    assert (again.page_status, again.returned) == (400, None)
    assert world.customer.channels() == ["notify", "return"]


async def test_a_token_expires() -> None:
    async with simulated(token_ttl_seconds=60) as world:
        token = await world.token()
        world.clock.now += 61
        assert (await world.browser.verify(token.token)).page_status == 400
        assert world.customer.arrivals == []


async def test_an_unknown_scenario_does_not_use_up_the_token(world: World) -> None:
    token = await world.token()
    assert (await world.browser.verify(token.token, "unknown")).page_status == 400
    assert (await world.browser.verify(token.token, "pass")).returned == "POST"


async def test_a_scenario_can_be_assigned_before_the_user_opens_the_page(world: World) -> None:
    token = await world.token()
    await world.remote.assign(token.biz_id, "cancelled")
    world.customer.arrivals.clear()
    await world.browser.verify(token.token)
    assert world.customer.on("return")[0].data["status"] == "CANCELLED"


async def test_a_session_that_is_never_opened_times_out_without_a_return() -> None:
    async with simulated(flow_timeout_seconds=0.05) as world:
        token = await world.token()
        await eventually(lambda: world.customer.arrivals != [])
        assert [arrival.data["status"] for arrival in world.customer.arrivals] == ["TIMEOUT"]
        assert world.customer.channels() == ["notify"]
        assert (await world.browser.verify(token.token)).page_status == 400


async def test_an_opened_session_does_not_time_out() -> None:
    async with simulated(flow_timeout_seconds=2, flow_seconds=2.2) as world:
        await world.verify()
        assert [arrival.data["status"] for arrival in world.customer.on("notify")] == ["OK"]


async def test_a_session_can_be_timed_out_only_before_it_is_opened(world: World) -> None:
    token = await world.token()
    world.customer.arrivals.clear()
    await world.remote.time_out(token.biz_id)
    assert [arrival.data["status"] for arrival in world.customer.on("notify")] == ["TIMEOUT"]
    with pytest.raises(ControlError, match="opened already"):
        await world.remote.time_out(token.biz_id)


# faults of callbacks


async def test_a_lost_notify_does_not_affect_the_return(world: World) -> None:
    await world.verify(faults=Faults(lose_notify=True))
    assert world.customer.channels() == ["return"]


async def test_a_lost_return_does_not_affect_the_notify(world: World) -> None:
    _, visit = await world.verify(faults=Faults(lose_return=True))
    assert visit.returned is None
    assert world.customer.channels() == ["notify"]


async def test_a_late_notify_comes_after_the_return(world: World) -> None:
    await world.verify(faults=Faults(notify_late_seconds=0.5))
    await eventually(lambda: world.customer.channels() == ["return", "notify"])


async def test_a_late_return_makes_the_browser_wait(world: World) -> None:
    token = await world.token()
    await world.remote.assign(token.biz_id, faults=Faults(return_late_seconds=30))
    world.customer.arrivals.clear()
    request = world.http.get(f"{world.base}/do").query({"token": token.token}).build()
    browser = asyncio.create_task(request.send())
    await eventually(lambda: world.customer.channels() == ["notify"])
    assert not browser.done()
    browser.cancel()


async def test_a_doubled_notify_is_sent_twice_with_the_same_bytes(world: World) -> None:
    await world.verify(faults=Faults(notify_copies=2))
    first, second, _ = world.customer.arrivals
    assert world.customer.channels() == ["notify", "notify", "return"]
    assert first.body == second.body


async def test_multipart_is_used_on_both_channels(world: World) -> None:
    await world.verify(faults=Faults(multipart=True), biz_extra_data="é")
    for arrival in world.customer.arrivals:
        assert arrival.content_type.startswith("multipart/form-data; boundary=")
        assert b'name="data"\r\n\r\n{"status": "OK", ' in arrival.body
        assert b'name="sign"\r\n\r\n' in arrival.body
    assert world.customer.channels() == ["notify", "return"]


async def test_raw_utf8_replaces_the_escapes_on_both_channels(world: World) -> None:
    await world.verify(faults=Faults(raw_utf8=True), biz_extra_data="é王")
    for arrival in world.customer.arrivals:
        assert '"biz_extra_data": "é王"' in arrival.text
        assert arrival.is_signed


async def test_extra_fields_follow_the_two_documented_fields(world: World) -> None:
    await world.verify(faults=Faults(extra_fields=(("version", "2"), ("data", "{}"))))
    for arrival in world.customer.arrivals:
        assert [name for name, _ in arrival.fields] == ["data", "sign", "version", "data"]


@pytest.mark.parametrize("forged", ["wrong-secret", "altered"])
async def test_a_forged_notify_with_a_pass_precedes_the_genuine_one(world: World, forged: str) -> None:
    await world.verify("liveness-fail", Faults.model_validate({"forged": forged}))
    forgery, genuine = world.customer.on("notify")
    assert (forgery.data["liveness_result"]["result"], forgery.is_signed) == ("PASS", False)
    assert (genuine.data["liveness_result"]["result"], genuine.is_signed) == ("FAIL", True)


async def test_a_second_signed_notify_can_contradict_the_first(world: World) -> None:
    await world.verify("pass", Faults(then="timeout"))
    assert [arrival.data["status"] for arrival in world.customer.on("notify")] == ["OK", "TIMEOUT"]
    assert all(arrival.is_signed for arrival in world.customer.arrivals)


async def test_a_notify_that_is_not_accepted_is_posted_again(world: World) -> None:
    world.customer.notify_answers = [503, 500]
    token, _ = await world.verify()
    await eventually(lambda: len(world.customer.on("notify")) == 3)
    await eventually(lambda: callbacks_are(world, token.biz_id, [503, 500, 200]))


async def test_a_forged_notify_is_never_posted_again(world: World) -> None:
    world.customer.notify_answers = [400, 503]
    await world.verify(faults=Faults(forged="altered"))
    await eventually(lambda: len(world.customer.on("notify")) == 3)
    assert [arrival.is_signed for arrival in world.customer.on("notify")] == [False, True, True]


async def test_a_redirected_notify_is_posted_again_and_the_redirect_is_not_followed(world: World) -> None:
    world.customer.notify_answers = [303]
    token, _ = await world.verify()
    await eventually(lambda: callbacks_are(world, token.biz_id, [303, 200]))
    assert set(world.customer.channels()) == {"notify", "return"}


async def test_a_notify_is_given_up_after_the_last_attempt() -> None:
    async with simulated(notify_retry_seconds=0.01, notify_attempts=2) as world:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            unreachable = f"http://127.0.0.1:{closed.getsockname()[1]}/notify"
        token, visit = await world.verify(notify_url=unreachable)
        assert visit.returned == "POST"
        await eventually(lambda: callbacks_are(world, token.biz_id, ["refused", "refused"]))
        assert (await world.remote.stats())["callbacks"] == {"notify": 2, "not_accepted": 2}


async def test_a_notify_without_an_answer_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        async with simulated(notify_timeout_seconds=0.1, notify_attempts=1) as world:
            token, _ = await world.verify(notify_url=f"http://127.0.0.1:{hanging.getsockname()[1]}/notify")
            await eventually(lambda: callbacks_are(world, token.biz_id, ["timeout"]))


async def callbacks_are(world: World, biz_id: str, answers: list[int | str]) -> bool:
    return [callback["answer"] for callback in (await world.remote.session(biz_id))["callbacks"]] == answers


# the control API


async def test_the_control_api_shows_a_session_without_secrets_or_personal_data(world: World) -> None:
    token, _ = await world.verify("mask-attack", biz_extra_data="private matter")
    session = await world.remote.session(token.biz_id)
    assert (session["scenario"], session["status"], session["returned"]) == ("mask-attack", "OK", "POST")
    shown = json.dumps([session, await world.remote.sessions(), await world.remote.stats()])
    assert SECRET not in shown
    assert "private matter" not in shown
    assert dict(world.customer.arrivals[0].fields)["sign"] not in shown


async def test_the_control_api_lists_sessions_in_the_order_of_their_creation() -> None:
    async with simulated() as world:
        created = [(await world.token()).biz_id for _ in range(3)]
        assert [session["biz_id"] for session in await world.remote.sessions()] == created


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"scenario": "nonsense"}', b'{"faults": {"notify_copies": 0}}', b'{"faults": {"lost": true}}'],
)
async def test_an_invalid_assignment_is_refused(world: World, body: bytes) -> None:
    token = await world.token()
    answer = await world.http.post(f"{world.url}/simulator/sessions/{token.biz_id}").body_bytes(body).build().send()
    assert answer.status == 400


async def test_an_unknown_session_is_not_found(world: World) -> None:
    with pytest.raises(ControlError, match="no such session"):
        await world.remote.session("1,unknown")


async def test_the_stats_count_every_step() -> None:
    async with simulated() as world:
        await refusal(world, biz_no="")
        await world.verify("pass", Faults(forged="altered", notify_copies=2))
        await world.verify("cancelled", action_http_method="GET")
        await world.token()
        assert await world.remote.stats() == {
            "created": 3,
            "opened": 2,
            "finished": 2,
            "token_refusals": {"MISSING_ARGUMENTS": 1},
            "calls": 0,
            "reads": 0,
            "max_reads": 0,
            "answers": {},
            "max_in_flight": 0,
            "callbacks": {"forged": 1, "notify": 3, "accepted": 4},
            "returns": {"POST": 1, "GET": 1},
        }


# the process


async def test_the_process_serves_until_sigterm_and_logs_how_to_use_it_without_a_secret() -> None:
    listen = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"FACEID_SIMULATOR_LISTEN": listen, "FACEID_SIMULATOR_ANY_PORT": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.simulator"), env=environment, stdout=PIPE, stderr=STDOUT
    )
    async with http_client() as http:
        await eventually(lambda: is_answering(http, f"http://{listen}"))
        arguments = {"api_key": API_KEY, "api_secret": SECRET, "biz_id": "1,x"}
        answer = await http.get(f"http://{listen}{BASE_PATH}/get_result").query(arguments).build().send()
        assert answer.status == 400
    process.terminate()
    output, _ = await asyncio.wait_for(process.communicate(), timeout=LIMIT)
    text = output.decode()
    assert (f"http://{listen}" in text, API_KEY in text, "get_token" in text) == (True, True, True)
    assert SECRET not in text


async def is_answering(http: Client, url: str) -> bool:
    try:
        return bool(await ControlClient(http, url).stats())
    except PyreqwestError:
        return False
