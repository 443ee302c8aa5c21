"""What the simulator logs at its start."""

import structlog

from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.serve import log_usage


def test_the_start_is_logged_with_the_address_the_key_and_the_commands_of_one_session() -> None:
    with structlog.testing.capture_logs() as lines:
        log_usage(SimulatorSettings(listen="127.0.0.1:0"), port=4711)
    listening, *usage = lines
    assert listening["address"] == "http://127.0.0.1:4711"
    assert listening["base_url"] == "http://127.0.0.1:4711/faceid/lite"
    assert listening["key"] == "test_api_key_0001"
    assert [line["step"] for line in usage] == [1, 2, 3]
    assert "http://127.0.0.1:4711/faceid/lite/get_token -d api_key=test_api_key_0001 " in usage[0]["command"]
    assert "http://127.0.0.1:4711/faceid/lite/do?token=TOKEN" in usage[1]["command"]


def test_neither_a_secret_nor_the_key_of_another_account_is_logged() -> None:
    settings = SimulatorSettings.model_validate({"accounts": {"private-key": "private-secret"}})
    with structlog.testing.capture_logs() as lines:
        log_usage(settings, port=4711)
    assert lines[0]["key"] == "API_KEY"
    assert "private" not in str(lines)
