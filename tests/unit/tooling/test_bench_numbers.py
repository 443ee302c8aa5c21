"""The arithmetic of the benchmarks, and the page that is made from their numbers."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.callbacks import BODY_BYTES, answer_around, body
from tests.bench.measuring import WrongCount, count_repeats, measure_drain, percentiles
from tests.bench.numbers import Table, keep, load, median_of
from tests.bench.open_loop import arrivals
from tests.bench.parts import PARTS
from tests.bench.parts.profile import counted
from tests.bench.peer import HERE, ROOT, peers
from tests.bench.vendor import request_end
from tests.bench.work import decide_callback
from tests.support.biz_ids import biz_id
from workers.faceid.payload import Payload


def results_of(*numbers: int) -> Callable[[], Sequence[bytes]]:
    return lambda: [f'{{"subject":"{biz_id(number)}"}}'.encode() for number in numbers]


def test_every_body_is_1200_bytes_and_is_approved() -> None:
    for number in (1, 20_000):
        assert len(body(number)) == BODY_BYTES
        event = decide_callback(body(number))
        assert event is not None
        assert b'"outcome":"APPROVED"' in event
        assert biz_id(number).encode() in event


def test_the_stand_in_answers_for_the_case_it_is_asked_for() -> None:
    before, after = answer_around()
    result = Payload.from_json(before + biz_id(7).encode() + after)
    assert (result.biz_id, result.status) == (biz_id(7), "OK")


@pytest.mark.parametrize(
    ("unread", "whole"),
    [
        (b"GET /?biz_id=1 HTTP/1.1\r\n\r\n", True),
        (b"GET /?biz_id=1 HTTP/1.1\r\n", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nbiz_id=1", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 8\r\n\r\nbiz_id=", False),
    ],
)
def test_a_request_is_read_when_it_is_complete(unread: bytes, whole: bool) -> None:
    assert (request_end(unread) <= len(unread)) is whole


def test_a_case_without_a_result_is_found() -> None:
    with pytest.raises(WrongCount):
        count_repeats(results_of(1, 2), 3, allowed=False)


def test_a_second_result_is_counted_where_it_is_allowed_and_an_error_where_it_is_not() -> None:
    assert count_repeats(results_of(1, 2, 2), 2, allowed=True) == 1
    with pytest.raises(WrongCount):
        count_repeats(results_of(1, 2, 2), 2, allowed=False)


def test_the_rate_leaves_out_the_first_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 10.0, 10.0, 11.0, 12.0])
    counts = iter([0, 10, 50, 100])
    cpu = iter([3.0, 3.9])
    monkeypatch.setattr("tests.bench.measuring.perf_counter", lambda: next(clock))
    monkeypatch.setattr("tests.bench.measuring.cpu_seconds", lambda _pids: next(cpu))
    measured = measure_drain(100, lambda: next(counts), [])
    assert measured == pytest.approx({"rate": 45.0, "cpu_us": 10_000.0, "share": 0.45})


def test_percentiles_go_from_the_least_to_the_most() -> None:
    found = percentiles([float(number) for number in range(1000)])
    assert (found["p0"], found["p50"], found["p99"], found["p99.9"], found["p100"]) == (0, 500, 990, 999, 999)


def test_arrivals_come_at_the_rate_and_are_the_same_in_every_run() -> None:
    due = arrivals(200, 10)
    assert len(due) == pytest.approx(2000, rel=0.1)
    assert due == sorted(due) == arrivals(200, 10)


def test_a_part_measured_again_leaves_the_others_alone(tmp_path: Path) -> None:
    for part, rate in (("queue", 1.0), ("whole", 2.0), ("queue", 3.0)):
        keep(tmp_path, part, {"rows": {"ours": [{"rate": rate}]}})
    parts = load(tmp_path)["parts"]
    assert {name: median_of(part["rows"], "ours", "rate") for name, part in parts.items()} == {"queue": 3, "whole": 2}


def test_a_table_in_the_docs_has_figures_on_the_right() -> None:
    assert Table("", ("", "rate"), [("ours", "1")]).markdown() == "|  | rate |\n| --- | ---: |\n| ours | 1 |\n"


def test_the_page_shows_the_numbers_that_are_kept_beside_it() -> None:
    page = report.PAGE.read_text()
    assert page == report.written(page, load(report.FOLDER))


def test_the_page_has_a_place_for_every_part() -> None:
    for part in PARTS:
        assert f"<!-- begin {part} -->" in report.PAGE.read_text()
        assert import_module(f"tests.bench.parts.{part}").__doc__


def test_every_peer_says_how_it_is_set_up_and_is_pinned() -> None:
    pinned = (ROOT / "constraints.txt").read_text() + (HERE / "constraints.txt").read_text()
    wanted = [line for line in (HERE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    for name in wanted:
        assert f"\n{name.partition('[')[0]}==" in f"\n{pinned.lower()}"
    assert {peer.name for peer in peers("queue")} == {"arq", "celery", "dramatiq", "faststream", "rq", "saq", "taskiq"}
    for peer in peers():
        assert "\n\nSettings: " in (HERE / "peers" / f"{peer.name}.py").read_text()
        assert all("==" in pin for pin in peer.pins)


def test_a_sample_counts_for_the_innermost_part_of_ours_that_it_stands_in() -> None:
    samples = [
        "thread (1): MainThread;verify (workers/faceid/verification.py:1);_parse (workers/faceid/strict_json.py:7) 4",
        "thread (1): MainThread;run (workers/stages/classify.py:3);model_validate (pydantic/main.py:2) 3",
        "thread (1): MainThread;run (uvloop/__init__.py:1);_work (workers/worker.py:9) 2",
        "thread (2): pump;settle (workers/sources/redis_streams.py:8);eval (redis/client.py:4) 1",
    ]
    assert counted(samples) == {
        "strict JSON": 4,
        "stages and tasks": 3,
        "the loop, and what is not named": 2,
        "the pump: reading, settling": 1,
    }
