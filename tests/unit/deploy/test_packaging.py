"""The Dockerfile, the compose files and the package, checked without a container engine."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from deploy.simulator.model.settings import SimulatorSettings
from shared.admin.listener import WORKER_ADDRESS
from shared.settings import Settings
from tests.support.paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ON_RABBITMQ: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.rabbitmq.yaml").read_text())
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
OURS = ("ingress", "worker", "simulator")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_redis_writes_to_disk_before_it_replies_and_evicts_nothing() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_secrets_are_files_that_only_workers_get() -> None:
    assert set(SERVICES["worker"]["secrets"]) == {"faceid_api_key", "faceid_api_secrets"} == set(COMPOSE["secrets"])
    for name in ("ingress", "simulator"):
        assert "secrets" not in SERVICES[name]
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert not given & {"FACEID_API_KEY", "FACEID_API_SECRETS"}


def test_every_variable_in_compose_is_a_setting() -> None:
    known = {f"FACEID_{name.upper()}" for name in Settings.model_fields}
    known |= {f"FACEID_SIMULATOR_{name.upper()}" for name in SimulatorSettings.model_fields}
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert given <= known
    assert {"faceid_" + name for name in Settings.model_fields} >= set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", [*OURS, "redis"])
def test_every_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_the_health_check_of_a_worker_asks_whether_it_is_alive() -> None:
    assert f"'http://{WORKER_ADDRESS}/livez'" in SERVICES["worker"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", OURS)
def test_the_services_run_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["command"][0] == name


def test_workers_can_be_scaled_and_may_use_their_grace_period() -> None:
    worker = SERVICES["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    grace = int(worker["environment"]["FACEID_GRACE_SECONDS"])
    assert int(worker["stop_grace_period"].removesuffix("s")) > grace


def test_the_simulator_runs_only_when_asked_for() -> None:
    assert SERVICES["simulator"]["profiles"] == ["simulator"]
    assert all("profiles" not in SERVICES[name] for name in ("redis", "ingress", "worker"))


def test_one_url_moves_the_queues_to_rabbitmq() -> None:
    services = ON_RABBITMQ["services"]
    assert set(services) == {"rabbitmq", "ingress", "worker"}
    for name in ("ingress", "worker"):
        assert services[name] == {
            "depends_on": {"rabbitmq": {"condition": "service_healthy"}},
            "secrets": ["faceid_broker_url"],
        }
    assert "broker_url" in Settings.model_fields


def test_rabbitmq_has_a_volume_and_its_password_is_in_a_file() -> None:
    rabbitmq = ON_RABBITMQ["services"]["rabbitmq"]
    assert rabbitmq["volumes"] == ["rabbitmq:/var/lib/rabbitmq"]
    assert rabbitmq["hostname"] == "rabbitmq"
    assert rabbitmq["healthcheck"]["test"][0] == "CMD"
    assert "environment" not in rabbitmq
    sources = {secret if isinstance(secret, str) else secret["source"] for secret in rabbitmq["secrets"]}
    assert sources | {"faceid_broker_url"} == set(ON_RABBITMQ["secrets"])
    assert all(secret["file"].startswith("./secrets/") for secret in ON_RABBITMQ["secrets"].values())


def test_the_image_is_slim_and_does_not_run_as_root() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["python:3.11-slim", "python:3.11-slim"]
    assert re.search(r"^USER faceid$", DOCKERFILE, re.MULTILINE)
    assert "--constraint constraints.txt" in DOCKERFILE
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == {"ingress", "workers", "console", "shared", "deploy"}


def test_every_dependency_is_pinned() -> None:
    lines = CONSTRAINTS.splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {normal(line.partition("==")[0]) for line in lines}
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {normal(found[0]) for one in wanted if (found := re.match(r"[A-Za-z0-9_.-]+", one))}
    assert names <= pinned


def test_lua_and_toml_files_are_in_the_package() -> None:
    packed = PROJECT["tool"]["setuptools"]["package-data"]
    packages = ("ingress", "workers", "console", "shared", "deploy")
    for path in (path for package in packages for path in (ROOT / package).rglob("*")):
        package, inside = path.relative_to(ROOT).parts[0], path.relative_to(ROOT / path.relative_to(ROOT).parts[0])
        if path.suffix in {".lua", ".toml"}:
            assert any(inside.match(pattern) for pattern in packed.get(package, [])), path


def test_the_readme_names_only_settings_and_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    known = {f"FACEID_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"FACEID_[A-Z_]+", text)) <= known
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
