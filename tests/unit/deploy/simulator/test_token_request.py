"""The checks of get_token."""

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


def parsed(*changes: dict[str, str], any_port: bool = False) -> TokenRequest:
    return parse_token_request(GOOD | dict(ChainMap(*changes)), any_port=any_port)


def error_of(*changes: dict[str, str], any_port: bool = False) -> str:
    with pytest.raises(ApiError) as caught:
        parsed(*changes, any_port=any_port)
    return caught.value.message


def test_optional_arguments_have_the_vendors_defaults() -> None:
    plain = parsed()
    assert (plain.return_method, plain.procedure, plain.biz_extra_data) == ("POST", "still", "")
    assert plain.compared
    assert plain.attack_fails_liveness
    assert not plain.fail_reason_wanted
    assert not plain.multifaces_tag_wanted
    assert not plain.verify_time_wanted


@pytest.mark.parametrize("name", GOOD)
def test_a_required_argument_that_is_empty_is_missing(name: str) -> None:
    assert error_of({name: ""}) == f"MISSING_ARGUMENTS: {name}"


def test_without_a_comparison_no_photo_is_required() -> None:
    assert not parsed({"comparison_type": "-1", "uuid": "", "image_ref1": ""}).compared


@pytest.mark.parametrize(("name", "limit"), [("biz_no", 128), ("biz_extra_data", 4096), ("web_title", 32)])
def test_lengths_are_counted_in_bytes(name: str, limit: int) -> None:
    parsed({name: "x" * limit})
    parsed({name: "é" * (limit // 2)})
    assert error_of({name: "x" * (limit + 1)}) == f"BAD_ARGUMENTS:{name}"
    assert error_of({name: "é" * (limit // 2 + 1)}) == f"BAD_ARGUMENTS:{name}"


@pytest.mark.parametrize("port", sorted(NOTIFY_PORTS))
def test_a_notify_url_may_use_the_five_ports(port: int) -> None:
    assert parsed({"notify_url": f"http://shop.example:{port}/notify"})


@pytest.mark.parametrize(
    "url", ["http://shop.example/notify", "https://shop.example:8443/notify", "http://127.0.0.1:80/"]
)
def test_another_port_is_an_error_unless_any_port_is_set(url: str) -> None:
    assert error_of({"notify_url": url}) == "BAD_ARGUMENTS:notify_url"
    assert parsed({"notify_url": url}, any_port=True)


def test_a_return_url_may_use_any_port() -> None:
    assert parsed({"return_url": "http://shop.example:8080/back"})


@pytest.mark.parametrize("name", ["return_url", "notify_url"])
@pytest.mark.parametrize(
    "url", ["shop.example", "ftp://shop.example:443/", "https:///notify", "https://shop.example:99999/", "http://[::1/"]
)
def test_a_value_that_is_not_an_http_url_is_an_error(name: str, url: str) -> None:
    assert error_of({name: url}, any_port=True) == f"BAD_ARGUMENTS:{name}"


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
def test_a_value_outside_the_choices_is_an_error(name: str, value: str) -> None:
    assert error_of({name: value}) == f"BAD_ARGUMENTS:{name}"


def test_every_option_is_passed_to_the_documents() -> None:
    options = parsed(
        {"procedure_type": "flash", "comparison_type": "-1"},
        {"fmp_mode": "1", "get_fail_reason": "1", "return_multifaces_tag": "1"},
    ).document_options("1,b")
    assert (options.biz_id, options.biz_no, options.procedure) == ("1,b", "order-1", "flash")
    assert not options.compared
    assert not options.attack_fails_liveness
    assert options.fail_reason_wanted
    assert options.multifaces_tag_wanted
