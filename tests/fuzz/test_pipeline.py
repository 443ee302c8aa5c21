"""A short fuzzing of the whole pipeline. `make fuzz` does the long one."""

from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.fuzz.pipeline import account, faults, load, run

pytestmark = pytest.mark.server


def test_every_hostile_body_is_accounted_for(tmp_path: Path) -> None:
    with Stack(tmp_path, worker_stages=((),), settings={"FACEID_RECONCILE": "never"}).running() as stack:
        expected, found = run(stack, load(600, seed=3))
    print(account(found))
    assert faults(expected, found) == []
    assert found.statuses.total() == 600
