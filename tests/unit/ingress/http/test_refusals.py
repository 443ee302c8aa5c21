"""Refusals are counted always, and logged once a minute for each kind."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingress.http.refusals import Refusal, Refusals
from shared.log_limiter import LOG_SECONDS, LogLimiter


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("faceid_refusals_total", {"kind": kind}) or 0.0


def test_a_kind_is_logged_at_once_and_then_once_a_minute_with_the_number_since() -> None:
    now = 50.0
    refusals = Refusals(LogLimiter(lambda: now))
    before = counted("url")
    with capture_logs() as lines:
        for _ in range(100):
            refusals.note("url", 414)
        refusals.note("headers", 431)
        now += LOG_SECONDS
        refusals.note("url", 414)
    assert [(line["event"], line["kind"], line["status"], line["count"]) for line in lines] == [
        ("request.refused", "url", 414, 1),
        ("request.refused", "headers", 431, 1),
        ("request.refused", "url", 414, 100),
    ]
    assert counted("url") == before + 101


def test_an_answer_is_complete_and_closes_the_connection() -> None:
    assert Refusal.HEADERS.answer().last((b"date", b"today")) == (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\ndate: today\r\n"
        b"content-type: text/plain; charset=utf-8\r\ncontent-length: 32\r\nconnection: close\r\n\r\n"
        b"the headers are over 8192 bytes\n"
    )


def test_every_answer_has_a_status_of_http() -> None:
    assert all(refusal.answer().last() for refusal in Refusal if refusal.status)
