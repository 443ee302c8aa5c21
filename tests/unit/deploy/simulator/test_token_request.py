"""get_token's checks."""

from collections import ChainMap

import pytest

from deploy.simulator.model.api_errors import ApiError
from deploy.simulator.model.token_request import NOTIFY_PORTS, TokenRequest, parse_token_request

GOOD = {
    "return_url": "https://shop.example/back?x=1#top",
    "notify_url": "https://shop.example/notify",
    "biz_no": "order-1",
    "comparison_type": "0",
    "uuid": "user-1",
    "image_ref1": "uploaded",
}


def order(*changes: dict[str, str], any_port: bool = False) -> TokenRequest:
    return parse_token_request(GOOD | dict(ChainMap(*changes)), any_port=any_port)


def refusal(*changes: dict[str, str], any_port: bool = False) -> str:
    with pytest.raises(ApiError) as caught:
        order(*changes, any_port=any_port)
    return caught.value.message


def test_what_is_not_said_has_the_vendors_default() -> None:
    plain = order()
    assert (plain.return_method, plain.procedure, plain.biz_extra_data) == ("POST", "still", "")
    assert plain.compared
    assert plain.attack_fails_liveness
    assert not plain.fail_reason_wanted
    assert not plain.multifaces_tag_wanted
    assert not plain.verify_time_wanted


@pytest.mark.parametrize("name", GOOD)
def test_a_required_argument_that_is_empty_is_missing(name: str) -> None:
    assert refusal({name: ""}) == f"MISSING_ARGUMENTS: {name}"


def test_liveness_alone_needs_no_photo() -> None:
    assert not order({"comparison_type": "-1", "uuid": "", "image_ref1": ""}).compared


@pytest.mark.parametrize(("name", "limit"), [("biz_no", 128), ("biz_extra_data", 4096), ("web_title", 32)])
def test_lengths_are_counted_in_bytes(name: str, limit: int) -> None:
    order({name: "x" * limit})
    order({name: "é" * (limit // 2)})
    assert refusal({name: "x" * (limit + 1)}) == f"BAD_ARGUMENTS:{name}"
    assert refusal({name: "é" * (limit // 2 + 1)}) == f"BAD_ARGUMENTS:{name}"


@pytest.mark.parametrize("port", sorted(NOTIFY_PORTS))
def test_the_five_ports_are_called_back(port: int) -> None:
    assert order({"notify_url": f"http://shop.example:{port}/notify"})


@pytest.mark.parametrize(
    "url", ["http://shop.example/notify", "https://shop.example:8443/notify", "http://127.0.0.1:80/"]
)
def test_another_port_is_refused_unless_any_port_will_do(url: str) -> None:
    assert refusal({"notify_url": url}) == "BAD_ARGUMENTS:notify_url"
    assert order({"notify_url": url}, any_port=True)


def test_the_return_url_is_the_browsers_business_so_any_port_will_do() -> None:
    assert order({"return_url": "http://shop.example:8080/back"})


@pytest.mark.parametrize("name", ["return_url", "notify_url"])
@pytest.mark.parametrize(
    "url", ["shop.example", "ftp://shop.example:443/", "https:///notify", "https://shop.example:99999/", "http://[::1/"]
)
def test_what_is_no_web_address_is_refused(name: str, url: str) -> None:
    assert refusal({name: url}, any_port=True) == f"BAD_ARGUMENTS:{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("comparison_type", "1"),
        ("action_http_method", "PUT"),
        ("procedure_type", "dance"),
        ("language", "2"),
        ("get_fail_reason", "yes"),
        ("return_multifaces_tag", "2"),
        ("return_verify_time", "true"),
        ("fmp_mode", "2"),
    ],
)
def test_a_choice_that_is_none_is_refused(name: str, value: str) -> None:
    assert refusal({name: value}) == f"BAD_ARGUMENTS:{name}"


def test_every_wish_reaches_the_documents() -> None:
    wishes = order(
        {"procedure_type": "flash", "comparison_type": "-1"},
        {"fmp_mode": "1", "get_fail_reason": "1", "return_multifaces_tag": "1"},
    ).document_options("1,b")
    assert (wishes.biz_id, wishes.biz_no, wishes.procedure) == ("1,b", "order-1", "flash")
    assert not wishes.compared
    assert not wishes.attack_fails_liveness
    assert wishes.fail_reason_wanted
    assert wishes.multifaces_tag_wanted
