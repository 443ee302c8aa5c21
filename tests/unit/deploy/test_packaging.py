"""The Dockerfile, the compose files and the package, checked without a container engine."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from docker.utils.build import exclude_paths

from deploy.simulator.model.settings import SimulatorSettings
from shared.admin.listener import INGRESS_ADDRESS, WORKER_ADDRESS
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
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_redis_needs_the_password_of_a_secret_file() -> None:
    redis = SERVICES["redis"]
    assert redis["command"][1] == f"/run/secrets/{redis['secrets'][0]}"
    assert redis["secrets"] == ["redis_conf"]
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert "FACEID_REDIS_URL" not in given


def test_the_side_of_the_ports_does_not_reach_redis() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks == {
        "redis": {"storage"},
        "ingress": {"public", "storage"},
        "worker": {"storage", "vendor"},
        "simulator": {"public", "vendor"},
    }
    assert COMPOSE["networks"]["storage"] == {"internal": True}
    assert set(COMPOSE["networks"]) == {"public", "storage", "vendor"}
    assert "ports" not in SERVICES["redis"]
    assert ON_RABBITMQ["services"]["rabbitmq"]["networks"] == ["storage"]


def size(text: str) -> int:
    """Bytes of a size such as `2g`, `1gb` or `384m`."""
    number, unit = re.fullmatch(r"(\d+)([mg])b?", text).groups()  # type: ignore[union-attr]
    return int(number) << {"m": 20, "g": 30}[unit]


@pytest.mark.parametrize("name", [*SERVICES, "rabbitmq"])
def test_every_service_has_limits_for_memory_processes_and_logs(name: str) -> None:
    service = {**SERVICES, **ON_RABBITMQ["services"]}[name] if name == "rabbitmq" else SERVICES[name]
    assert size(service["mem_limit"]) <= 2 << 30
    assert 0 < service["pids_limit"] <= 1024
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_redis_has_memory_for_a_copy_while_its_file_is_rewritten() -> None:
    words = SERVICES["redis"]["command"]
    assert size(SERVICES["redis"]["mem_limit"]) >= 2 * size(words[words.index("--maxmemory") + 1])


def test_secrets_are_files_and_only_workers_get_those_of_the_account() -> None:
    assert set(SERVICES["worker"]["secrets"]) == {"faceid_api_key", "faceid_api_secrets", "faceid_redis_url"}
    assert SERVICES["ingress"]["secrets"] == ["faceid_redis_url"]
    assert "secrets" not in SERVICES["simulator"]
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert not given & {"FACEID_API_KEY", "FACEID_API_SECRETS"}


def test_every_variable_in_compose_is_a_setting() -> None:
    known = {f"FACEID_{name.upper()}" for name in Settings.model_fields}
    known |= {f"FACEID_SIMULATOR_{name.upper()}" for name in SimulatorSettings.model_fields}
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert given <= known
    assert {"faceid_" + name for name in Settings.model_fields} >= set(COMPOSE["secrets"]) - {"redis_conf"}


@pytest.mark.parametrize("name", OURS)
def test_every_process_of_ours_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_redis_is_healthy_once_it_answers_with_its_password() -> None:
    """The check runs here with a `redis-cli` that answers as Redis does."""
    kind, command = SERVICES["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert health(command, password="right", conf="requirepass right\n") == 0
    assert health(command, password="right", conf="requirepass wrong\n") != 0
    assert health(command, password="", conf="", answer="LOADING Redis is loading") != 0


def health(command: str, *, password: str, conf: str, answer: str = "PONG") -> int:
    with TemporaryDirectory() as folder:
        Path(folder, "conf").write_text(conf)
        client = Path(folder, "redis-cli")
        client.write_text(f'#!/bin/sh\n[ "$REDISCLI_AUTH" = "{password}" ] && echo "{answer}" || echo NOAUTH\n')
        client.chmod(0o755)
        shell = command.replace("$$", "$").replace("/run/secrets/redis_conf", f"{folder}/conf")
        path = f"{folder}:{os.environ['PATH']}"
        return subprocess.run(["sh", "-c", shell], env={"PATH": path}, check=False).returncode


@pytest.mark.parametrize("name", ["compose.yaml", "compose.rabbitmq.yaml"])
def test_the_compose_files_follow_the_compose_specification(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", f"deploy/{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("service", "address"), [("ingress", INGRESS_ADDRESS), ("worker", WORKER_ADDRESS)])
def test_the_health_check_of_a_process_asks_whether_it_is_alive(service: str, address: str) -> None:
    assert f"'http://{address}/livez'" in SERVICES[service]["healthcheck"]["test"][-1]


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


def test_the_build_context_has_the_source_and_nothing_else(tmp_path: Path) -> None:
    packages = ("ingress", "workers", "console", "shared", "deploy")
    source = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    for package in packages:
        found = [path for pattern in ("*.py", "*.lua", "*.toml") for path in (ROOT / package).rglob(pattern)]
        source |= {str(path.relative_to(ROOT)) for path in found}
    for name in (*source, *NOT_SOURCE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    context = exclude_paths(str(tmp_path), (ROOT / ".dockerignore").read_text().splitlines())
    assert {name for name in context if (tmp_path / name).is_file()} == source


NOT_SOURCE = (
    *("deploy/secrets/faceid_api_secrets", "deploy/secrets/redis.conf", "deploy/compose.yaml", "deploy/Dockerfile"),
    *(
        ".env",
        "deploy/.env",
        "shared/.env.local",
        "shared/secrets/key",
        "deploy/tls/server.pem",
        "deploy/tls/server.key",
    ),
    *(".git/config", ".venv/bin/python", "tests/conftest.py", "docs/README.md", "accounts.toml", "run.log"),
    *("shared/__pycache__/logs.cpython-311.pyc", "workers/x.pyc", "deploy/local/redis.rdb", "shared/x.log"),
    *("faceid_pipeline.egg-info/PKG-INFO", "deploy/local/appendonly.aof"),
)


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
