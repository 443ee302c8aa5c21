"""The redirect keeps the request's parameters, but never `data` and `sign`."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.redirect import NEVER_PASSED, redirect_target

SHOP = "https://shop.example/done"


@pytest.mark.parametrize(
    ("url", "query", "target"),
    [
        (SHOP, "", SHOP),
        (SHOP, "biz_id=1%2Ca", f"{SHOP}?biz_id=1%2Ca"),
        (f"{SHOP}?shop=7", "biz_id=1", f"{SHOP}?shop=7&biz_id=1"),
        (f"{SHOP}?", "biz_id=1", f"{SHOP}?biz_id=1"),
        (f"{SHOP}?shop=7&", "biz_id=1", f"{SHOP}?shop=7&biz_id=1"),
        (f"{SHOP}#top", "biz_id=1", f"{SHOP}?biz_id=1#top"),
        (f"{SHOP}?shop=7#top?x", "biz_id=1", f"{SHOP}?shop=7&biz_id=1#top?x"),
        (f"{SHOP}#top", "", f"{SHOP}#top"),
        ("https://shop.example", "biz_id=1", "https://shop.example?biz_id=1"),
        (SHOP, "&a=1&&b=2&", f"{SHOP}?a=1&b=2"),
        (SHOP, "a=1&a=2&flag", f"{SHOP}?a=1&a=2&flag"),
        (SHOP, "dataset=1&signed=2&mydata=3", f"{SHOP}?dataset=1&signed=2&mydata=3"),
        (SHOP, "note=data%3D1%26sign%3D2", f"{SHOP}?note=data%3D1%26sign%3D2"),
    ],
)
def test_parameters_are_added_unchanged_before_the_fragment(url: str, query: str, target: str) -> None:
    assert redirect_target(url, query) == target


@pytest.mark.parametrize(
    "part",
    [
        "a=1;sign=x",
        "data=x",
        "sign=x",
        "data",
        "sign=",
        "DATA=x",
        "Sign=x",
        "d%61ta=x",
        "%73ign=x",
        "+sign=x",
        "data%20=x",
    ],
)
def test_data_and_sign_are_left_out_however_they_are_written(part: str) -> None:
    assert redirect_target(SHOP, f"a=1&{part}&b=2") == f"{SHOP}?a=1&b=2"
    assert redirect_target(SHOP, part) == SHOP


names = st.sampled_from(["data", "sign", "Data", "s%69gn", "biz_id", "a", ""]) | st.text("dsatign%= +", max_size=8)
queries = st.lists(st.tuples(names, st.text("abc%=+1", max_size=5)).map("=".join)).map("&".join)


@given(queries)
def test_no_query_gets_data_or_sign_into_the_location(query: str) -> None:
    target = urlsplit(redirect_target(SHOP, query))
    passed = {name.strip().lower() for name, _ in parse_qsl(target.query, keep_blank_values=True)}
    assert not passed & NEVER_PASSED
    assert (target.scheme, target.netloc, target.path) == ("https", "shop.example", "/done")
