"""Settings: where values come from, and the errors for invalid values."""

import os
from pathlib import Path
from typing import Any

import pytest

from shared.accounts import account_names, load_accounts
from shared.settings import Settings, SettingsError, load_settings

PASSWORD = "hunter2-very-secret"  # must not appear in any text


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FACEID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # without the developer's .env
    (tmp_path / "secrets").mkdir()
    monkeypatch.setenv("FACEID_SECRETS_DIR", str(tmp_path / "secrets"))


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"FACEID_{name}", value)
    return load_settings()


def faults(error: pytest.ExceptionInfo[SettingsError]) -> dict[str, str]:
    pairs = (fault.split(": ", 1) for fault in error.value.faults)
    return {name: words for name, words in pairs}


def accounts_file(folder: Path, text: str) -> Path:
    path = folder / "accounts.toml"
    path.write_text(text)
    return path


# Where values come from


def test_settings_have_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8028)
    assert (settings.getresult_budget, settings.lease_seconds, settings.retention_days) == (3, 30.0, 30.0)
    assert (settings.max_body_bytes, settings.max_backlog) == (262_144, 1_000_000)
    assert settings.redis_url == settings.broker_url == settings.results_url == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("value", ["0.0.0.0:9100", "off", ""])
def test_the_admin_listener_has_an_address_or_is_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, ADMIN_LISTEN=value).admin_listen == value


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FACEID_LISTEN=0.0.0.0:443\nANOTHER_PROGRAMS=1\n")
    assert load_settings().port == 443


def test_the_environment_beats_the_dotenv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("FACEID_PREFIX=from_file\n")
    assert given(monkeypatch, PREFIX="from_environment").prefix == "from_environment"


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    (folder / "faceid_api_secrets").write_text("newest, older\n")
    (folder / "faceid_api_key").write_text("key\n")
    settings = load_settings()
    assert [secret.get_secret_value() for secret in settings.api_secrets] == ["newest", "older"]
    assert settings.api_key.get_secret_value() == "key"


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, REDIS_URL="", POLICY="", PREFETCH="", READ_SPACING_SECONDS="")
    assert settings == load_settings()
    assert (settings.redis_url, settings.policy) == ("redis://127.0.0.1:6379/0", None)


@pytest.mark.parametrize(
    ("values", "urls"),
    [
        ({"REDIS_URL": "redis://a"}, ("redis://a", "redis://a", "redis://a")),
        ({"BROKER_URL": "amqp://b"}, ("redis://127.0.0.1:6379/0", "amqp://b", "amqp://b")),
        (
            {"RESULTS_URL": "stock+redis://c"},
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0", "stock+redis://c"),
        ),
        (
            {"REDIS_URL": "redis://a", "BROKER_URL": "amqp://b", "RESULTS_URL": "stock+redis://c"},
            ("redis://a", "amqp://b", "stock+redis://c"),
        ),
    ],
)
def test_the_results_url_defaults_to_the_broker_url_and_that_to_the_redis_url(
    values: dict[str, str], urls: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = given(monkeypatch, **values)
    assert (settings.redis_url, settings.broker_url, settings.results_url) == urls


@pytest.mark.parametrize("text", ["new,old", " new , old ", "new,,old,"])
def test_secrets_are_comma_separated(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = given(monkeypatch, API_SECRETS=text).api_secrets
    assert [secret.get_secret_value() for secret in secrets] == ["new", "old"]


def test_read_spacing_is_comma_separated_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, READ_SPACING_SECONDS="1, 2.5").read_spacing_seconds == (1.0, 2.5)


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "redis://h:1/15", "rediss://u:p@h/3?x=1", "unix:///s?db=1"])
def test_a_redis_url_may_name_a_database_by_its_number(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, REDIS_URL=url).redis_url == url


# Invalid values


def test_a_folder_of_secrets_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, SECRETS_DIR=str(tmp_path / "nope"), PREFETCH="many")
    assert set(faults(error)) == {"FACEID_SECRETS_DIR", "FACEID_PREFETCH"}


def test_all_errors_are_reported_together_by_the_names_of_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, LISTEN="nowhere", PREFETCH="many", RECONCILE="sometimes", GETRESULT_BUDGET="4")
    assert set(faults(error)) == {"FACEID_LISTEN", "FACEID_PREFETCH", "FACEID_RECONCILE", "FACEID_GETRESULT_BUDGET"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("LISTEN", value) for value in ("8028", "host:", "host:99999", "host:80x", "a b:80")),
        *(("ADMIN_LISTEN", value) for value in ("9028", "host:", "host:99999", "no", "OFF")),
        *(("PREFIX", value) for value in ("a b", "a:b", "{a}")),
        *(("GETRESULT_BUDGET", value) for value in ("0", "4")),
        *(("READ_SPACING_SECONDS", value) for value in (",", "-1", "inf", "nan", "1;2")),
        *(("RETENTION_DAYS", value) for value in ("0", "inf", "nan")),
        *(("GRACE_SECONDS", value) for value in ("-1", "inf")),
        ("MAX_BODY_BYTES", "10"),
        ("LEASE_SECONDS", "0.1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, **{name: value})
    assert set(faults(error)) == {f"FACEID_{name}"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"REDIS_URL": "amqp://host", "BROKER_URL": "redis://host"}, {"FACEID_REDIS_URL": "redis://127.0.0.1:6379/0"}),
        *(
            ({f"{name}_URL": url}, {f"FACEID_{name}_URL": "write redis://..., rediss://..., unix://..."})
            for name in ("REDIS", "BROKER", "RESULTS")
            for url in (
                "memory://",
                "sqs://",
                "filesystem://x",
                "stock+amqp://h",
                "redis",
                "host:6379",
                "http://h",
                "=",
            )
        ),
        *(
            ({f"{name}_URL": url}, {f"FACEID_{name}_URL": "write its number, such as redis://HOST:6379/0"})
            for name in ("REDIS", "BROKER", "RESULTS")
            for url in ("redis://h/abc", "redis://h:6379/0/1", "rediss://u:p@h/-1", "redis://h/ 0")
        ),
        ({"RESULTS_URL": "stock+redis://h/abc"}, {"FACEID_RESULTS_URL": "write its number"}),
        ({"BROKER_URL": "stock+redis://host"}, {"FACEID_BROKER_URL": "FACEID_RESULTS_URL"}),
        ({"REDIS_URL": "redis://a;redis://b"}, {"FACEID_REDIS_URL": "redis+sentinel://"}),
        ({"BROKER_URL": "redis://a;redis://b"}, {"FACEID_BROKER_URL": "redis+sentinel://"}),
        ({"BROKER_URL": "amqp://a;redis://b"}, {"FACEID_BROKER_URL": "redis+sentinel://"}),
        ({"BROKER_URL": "amqp://a", "STORE_REPLICAS": "1"}, {"FACEID_STORE_REPLICAS": "RabbitMQ"}),
        ({"RESULTS_URL": "redis://a;redis://b"}, {"FACEID_RESULTS_URL": "redis+sentinel://"}),
        ({"REDIS_URL": "redis+sentinel://a,b"}, {"FACEID_REDIS_URL": "redis+sentinel://HOST:PORT"}),
    ],
)
def test_the_error_for_an_unsuitable_broker_says_what_to_write_instead(
    values: dict[str, str], words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, **values)
    found = faults(error)
    assert found.keys() == words.keys()
    assert all(words[name] in found[name] for name in words)


@pytest.mark.parametrize("url", ["amqp://a;amqp://b", "redis+sentinel://a,b:1/main/0", "rediss+sentinel://a/main"])
def test_a_broker_may_be_a_list_of_rabbitmq_addresses_or_sentinels(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, BROKER_URL=url).results_url == url


@pytest.mark.parametrize("name", ["PREFETCH", "RECONCILE", "LISTEN", "LEASE_SECONDS", "READ_SPACING_SECONDS", "PREFIX"])
def test_no_error_contains_the_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, **{name: f"{PASSWORD} {PASSWORD}"})
    assert PASSWORD not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


# Accounts


def test_the_default_account_needs_key_secrets_and_base_url() -> None:
    with pytest.raises(SettingsError) as error:
        load_accounts(load_settings())
    assert set(faults(error)) == {"FACEID_API_KEY", "FACEID_API_SECRETS", "FACEID_BASE_URL"}


def test_an_account_that_does_not_reconcile_needs_only_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = load_accounts(given(monkeypatch, API_SECRETS="s", RECONCILE="never"))
    assert [(name, account.reconcile) for name, account in accounts.items()] == [("default", "never")]


def test_without_an_accounts_file_the_account_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, API_KEY="k", API_SECRETS="new,old", BASE_URL="http://127.0.0.1:1/lite")
    account = load_accounts(settings)["default"]
    assert account_names(settings) == {"default"}
    assert [secret.get_secret_value() for secret in account.api_secrets] == ["new", "old"]
    assert (account.name, account.base_url) == ("default", "http://127.0.0.1:1/lite")


@pytest.mark.parametrize("url", ["faceid", "ftp://host/x", "http://", "http://a b/", "http://host:99999", "//host"])
def test_a_base_url_that_is_not_an_http_url_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        load_accounts(given(monkeypatch, API_KEY="k", API_SECRETS="s", BASE_URL=url))
    assert set(faults(error)) == {"FACEID_BASE_URL"}


PLAIN = [
    "http://api-idn.megvii.com/faceid/lite",
    "http://10.0.0.1/x",
    "http://[2001:db8::1]/x",
    "HTTP://localhost.evil.com",
]
LOOPBACK = ["http://127.0.0.1:8029/faceid/lite", "http://127.9.9.9", "http://[::1]:1/x", "http://LocalHost/x"]


def account_at(monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> Settings:
    return given(monkeypatch, API_KEY="k", API_SECRETS=PASSWORD, BASE_URL=url, **more)


@pytest.mark.parametrize("url", PLAIN)
def test_a_base_url_that_would_send_the_secret_in_plain_text_is_an_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="FACEID_ALLOW_HTTP") as error:
        load_accounts(account_at(monkeypatch, url))
    assert set(faults(error)) == {"FACEID_BASE_URL"}


@pytest.mark.parametrize("url", LOOPBACK)
def test_a_base_url_on_this_machine_may_be_http(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_accounts(account_at(monkeypatch, url))["default"].base_url == url


@pytest.mark.parametrize("url", PLAIN)
def test_http_may_be_allowed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_accounts(account_at(monkeypatch, url, ALLOW_HTTP="1"))["default"].base_url == url


def test_an_accounts_file_needs_https_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = accounts_file(tmp_path, f"[a]\napi_key = 'k'\napi_secrets = 's'\nbase_url = '{PLAIN[0]}'")
    with pytest.raises(SettingsError, match="FACEID_ALLOW_HTTP") as error:
        load_accounts(given(monkeypatch, ACCOUNTS=str(path)))
    assert set(faults(error)) == {"[a] base_url"}
    assert set(load_accounts(given(monkeypatch, ACCOUNTS=str(path), ALLOW_HTTP="1"))) == {"a"}


def test_a_base_url_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, API_KEY="k", API_SECRETS="s", BASE_URL="https://API-idn.megvii.com:443/faceid/lite")
    assert load_accounts(settings)["default"].base_url == "https://API-idn.megvii.com:443/faceid/lite"


def test_an_accounts_file_has_a_table_for_each_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = accounts_file(
        tmp_path,
        """
        [jakarta]
        api_key = "k1"
        api_secrets = ["new", "old"]
        base_url = "https://api-idn.megvii.com/faceid/lite"
        [beijing]
        api_secrets = "one, two"
        reconcile = "never"
        """,
    )
    settings = given(monkeypatch, ACCOUNTS=str(path))
    accounts = load_accounts(settings)
    assert account_names(settings) == set(accounts) == {"jakarta", "beijing"}
    assert [secret.get_secret_value() for secret in accounts["beijing"].api_secrets] == ["one", "two"]


def test_all_errors_of_accounts_are_reported_together_by_table_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = accounts_file(
        tmp_path,
        f"""
        [a]
        api_secrets = ["", "{PASSWORD}"]
        apikey = "{PASSWORD}"
        [b]
        reconcile = "{PASSWORD}"
        """,
    )
    with pytest.raises(SettingsError) as error:
        load_accounts(given(monkeypatch, ACCOUNTS=str(path)))
    assert set(faults(error)) == {
        "[a] api_key",
        "[a] api_secrets",
        "[a] base_url",
        "[a] apikey",
        "[b] reconcile",
        "[b] api_secrets",
    }
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("text", ["", "not toml", "api_key = 'k'", "['a b']", "[_]\napi_key = 'k'", "[a.b]\n['x:y']"])
def test_an_accounts_file_without_accounts_is_an_error(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = given(monkeypatch, ACCOUNTS=str(accounts_file(tmp_path, text)))
    for load in (load_accounts, account_names):
        with pytest.raises(SettingsError, match="FACEID_ACCOUNTS"):
            load(settings)


def test_a_broken_accounts_file_names_the_line_and_nothing_of_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = accounts_file(tmp_path, f"[a]\napi_key = {PASSWORD}\n")
    with pytest.raises(SettingsError, match="line 2, column") as error:
        load_accounts(given(monkeypatch, ACCOUNTS=str(path)))
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(("policy", "found"), [("strict.toml", "{}/strict.toml"), ("/p/a.toml", "/p/a.toml")])
def test_a_relative_policy_is_beside_its_accounts_file(
    policy: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "etc").mkdir()
    path = accounts_file(folder, f"[a]\napi_secrets = 's'\nreconcile = 'never'\npolicy = '{policy}'")
    accounts = load_accounts(given(monkeypatch, ACCOUNTS=str(path.relative_to(tmp_path))))
    assert str(accounts["a"].policy) == found.format(folder)


def test_a_missing_accounts_file_is_an_error_of_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="FACEID_ACCOUNTS"):
        load_accounts(given(monkeypatch, ACCOUNTS=str(tmp_path / "nowhere.toml")))


# Secrets


def settings_with_secrets(monkeypatch: pytest.MonkeyPatch) -> Settings:
    url = f"redis://:{PASSWORD}@127.0.0.1/0"
    return given(
        monkeypatch,
        **{name: PASSWORD for name in ("API_KEY", "API_SECRETS")},
        **{name: url for name in ("REDIS_URL", "BROKER_URL", "RESULTS_URL")},
        BASE_URL="http://127.0.0.1",
    )


@pytest.mark.parametrize("show", [repr, str])
def test_secrets_are_not_in_repr_or_str(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with_secrets(monkeypatch)
    assert PASSWORD not in show(settings) + show(load_accounts(settings)["default"])


def test_settings_are_immutable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().prefix = "other"  # type: ignore[misc]  # the model forbids it too
