"""The bytes that the simulator sends are those of FaceID."""

import hashlib
import json
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from deploy.simulator.model.wire import MULTIPART, URLENCODED, encode_form, json_text, sign, signed_fields, with_biz_id

SECRET = "test_api_secret_0001"
BIZ_ID = "1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1"
CAPTURED = (
    '{"verify_result": {"time_used": 1079, "id_exceptions": {"id_photo_monochrome": 0, "id_attacked": 0}, '
    '"request_id": "1469257550,51848cbe-3ea7-4b03-824a-21425fecad9a", "face_genuineness": '
    '{"synthetic_face_threshold": 0.5, "synthetic_face_confidence": 0.0, "mask_confidence": 0.0, '
    '"mask_threshold": 0.5}, "result_faceid": {"confidence": 91.013, "thresholds": {"1e-3": 65.3, "1e-5": 76.5, '
    '"1e-4": 71.8, "1e-6": 79.9}}}, "biz_no": "123", "biz_extra_data": "", "liveness_result": {"result": "success", '
    '"version": "MegLive 2.4.0L", "log": "1469257541\\n0:A\\n3237:E\\n4565:P\\n6277:M\\n8227:O\\n", '
    '"failure_reason": ""}, "biz_id": "1469257536,9a135c16-51ac-4971-87b7-1c98fc6d11cd"}'
)
"""The text of a real callback of 2016."""
CAPTURED_SIGN = "22de14a7b99ec44debdf4d0b58b92825a6b15fbe"


def test_json_text_writes_a_real_callback_byte_for_byte() -> None:
    assert json_text(json.loads(CAPTURED)) == CAPTURED


def test_the_signature_of_a_real_callback_is_the_same() -> None:
    assert sign(SECRET, CAPTURED) == CAPTURED_SIGN


def test_the_urlencoded_body_is_that_of_urlencode() -> None:
    body = encode_form(signed_fields(SECRET, CAPTURED), URLENCODED, "unused")
    assert body.content == urlencode({"data": CAPTURED, "sign": CAPTURED_SIGN}).encode()
    assert body.content.startswith(b"data=%7B%22verify_result%22%3A+%7B%22time_used%22%3A+1079")
    assert body.content_type == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("raw_utf8", "printed"), [(False, '"\\u00e9\\u738b"'), (True, '"é王"')])
def test_non_ascii_is_written_escaped_or_raw_and_signed_as_utf8(raw_utf8: bool, printed: str) -> None:
    text = json_text({"name": "é王"}, raw_utf8=raw_utf8)
    assert text == f'{{"name": {printed}}}'
    assert sign(SECRET, text) == hashlib.sha1(SECRET.encode() + text.encode()).hexdigest()


def test_decoding_the_form_once_gives_the_fields() -> None:
    fields = [("data", '{"a": "+ %2B &=~*é"}'), ("sign", "0" * 40), ("data", "again")]
    assert parse_qsl(encode_form(fields, URLENCODED, "unused").content.decode()) == fields


def test_multipart_has_a_part_for_every_field() -> None:
    body = encode_form([("data", '{"a": 1}'), ("sign", "abc")], MULTIPART, "BOUNDARY")
    assert body.content_type == "multipart/form-data; boundary=BOUNDARY"
    assert body.content == (
        b'--BOUNDARY\r\nContent-Disposition: form-data; name="data"\r\n\r\n{"a": 1}\r\n'
        b'--BOUNDARY\r\nContent-Disposition: form-data; name="sign"\r\n\r\nabc\r\n'
        b"--BOUNDARY--\r\n"
    )


@pytest.mark.parametrize(
    ("return_url", "expected"),
    [
        ("https://yourdomainname/xxx", "https://yourdomainname/xxx?biz_id=B"),
        ("https://yourdomainname/xxx?xxx=xxx", "https://yourdomainname/xxx?xxx=xxx&biz_id=B"),
        ("https://yourdomainname/xxx?xxx=xxx#xxx", "https://yourdomainname/xxx?xxx=xxx&biz_id=B#xxx"),
        ("https://yourdomainname/xxx#xxx", "https://yourdomainname/xxx?biz_id=B#xxx"),
        ("https://yourdomainname", "https://yourdomainname?biz_id=B"),
    ],
)
def test_biz_id_is_added_to_the_query_before_the_fragment(return_url: str, expected: str) -> None:
    assert with_biz_id(return_url, "B") == expected


@pytest.mark.parametrize(("raw_comma", "printed"), [(False, BIZ_ID.replace(",", "%2C")), (True, BIZ_ID)])
def test_the_comma_of_a_biz_id_is_encoded_or_raw(raw_comma: bool, printed: str) -> None:
    url = with_biz_id("https://yourdomainname/xxx", BIZ_ID, raw_comma=raw_comma)
    assert url == f"https://yourdomainname/xxx?biz_id={printed}"
    assert parse_qs(urlsplit(url).query) == {"biz_id": [BIZ_ID]}
