"""`faceid settings`: values, sources, defaults and meanings, but no secret and no password."""

import os
from pathlib import Path

import pytest

from console.settings import without_password
from shared.settings import Settings
from tests.support.commands import Faceid

SECRET = "hunter2"
faceid = Faceid({})


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FACEID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").mkdir()
    monkeypatch.setenv("FACEID_SECRETS_DIR", str(tmp_path / "secrets"))


def test_every_setting_has_a_row_with_its_default_and_meaning() -> None:
    records = faceid("settings", "--json").records

    assert [record["name"] for record in records] == [f"FACEID_{name.upper()}" for name in Settings.model_fields]
    assert {record["source"] for record in records} == {"default"}
    assert all(record["meaning"] and "\n" not in record["meaning"] for record in records)
    lease = next(record for record in records if record["name"] == "FACEID_LEASE_SECONDS")
    assert (lease["value"], lease["default"]) == (30.0, 30.0)


def test_the_source_of_a_setting_is_the_first_that_has_it(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    for name in ("faceid_api_key", "faceid_prefix", "faceid_prefetch"):
        (secrets / name).write_text("1")
    (tmp_path / ".env").write_text("FACEID_PREFIX=2\nFACEID_PREFETCH=2\nFACEID_LISTEN=\nOTHER=1\n")

    records = faceid("settings", "--json", FACEID_PREFETCH="3", FACEID_POLICY="").records

    found = {record["name"]: (record["source"], record["value"]) for record in records}
    assert found["FACEID_API_KEY"] == ("secrets file", "set")
    assert found["FACEID_PREFIX"] == (".env", "2")
    assert found["FACEID_PREFETCH"] == ("environment", 3)
    assert found["FACEID_LISTEN"] == ("default", "127.0.0.1:8028")
    assert found["FACEID_POLICY"] == ("default", None)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_and_no_password_is_shown(options: tuple[str, ...]) -> None:
    ran = faceid(
        "settings",
        *options,
        FACEID_API_KEY=SECRET,
        FACEID_API_SECRETS=f"{SECRET}1,{SECRET}2",
        FACEID_REDIS_URL=f"redis://:{SECRET}@127.0.0.1/0",
        FACEID_BROKER_URL=f"amqp://guest:{SECRET}@127.0.0.1//",
        FACEID_RESULTS_URL=f"stock+redis://127.0.0.1/0?password={SECRET}",
        FACEID_BASE_URL=f"https://user:{SECRET}@127.0.0.1/faceid/lite",
        FACEID_RETURN_REDIRECT_URL=f"https://127.0.0.1/?token={SECRET}",
    )

    assert ran.code == 0
    assert SECRET not in ran.out + ran.err
    assert "amqp://guest:***@127.0.0.1//" in ran.out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pw@h/0", "redis://:***@h/0"),
        ("redis://user:p@w:p/w@h/0", "redis://user:***@h/0"),
        ("redis://token@h/0", "redis://***@h/0"),
        ("amqp://a:pw@one;amqp://b:pw@two//", "amqp://a:***@two//"),
        ("rediss://h/0?ssl_cert_reqs=none&password=pw", "rediss://h/0?ssl_cert_reqs=none&password=***"),
        ("user:pw@h", "***"),
    ],
)
def test_the_password_of_a_url_is_hidden(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_settings_that_can_not_be_used_exit_with_2() -> None:
    ran = faceid("settings", FACEID_LISTEN="nowhere", FACEID_PREFETCH=SECRET)

    assert (ran.code, ran.out) == (2, "")
    assert "FACEID_LISTEN" in ran.err
    assert "FACEID_PREFETCH" in ran.err
    assert SECRET not in ran.err


def test_names_that_are_no_settings_are_warned_about_with_the_nearest_setting(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "faceid_api_secret").write_text(SECRET)
    (tmp_path / ".env").write_text(f"FACEID_REDIS_ULR={SECRET}\nOTHER=1\n")

    ran = faceid("settings", faceid_wholly_unknown=SECRET, FACEID_SIMULATOR_SEED="1")

    assert ran.code == 0
    assert ran.err.splitlines() == [
        "Warning: there is no setting FACEID_API_SECRET. Did you mean FACEID_API_SECRETS?",
        "Warning: there is no setting FACEID_REDIS_ULR. Did you mean FACEID_REDIS_URL?",
        "Warning: there is no setting FACEID_WHOLLY_UNKNOWN. faceid settings lists all settings.",
    ]
