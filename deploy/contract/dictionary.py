"""Make a dictionary for `shared.compression`: `python -m deploy.contract.dictionary FILE NUMBER`.

The samples are what the ledger stores: callbacks, GetResult's answers and decisions of the simulator's scenarios. All
ids and numbers are made up, so the dictionary holds no personal data.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from zstandard import train_dictionary

from deploy.simulator.model.scenarios import SCENARIOS, DocumentOptions, Evidence, Procedure, document
from deploy.simulator.model.wire import json_text
from shared.compression import FIRST_ID, LEVEL
from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival

SIZE: Final = 6144
"""Bytes. A larger dictionary made the texts no shorter."""
SAMPLES: Final = 300
POLICY: Final = Policy.load()
PROCEDURES: Final[tuple[Procedure, ...]] = ("still", "flash", "distance")


def samples(random: Random) -> Iterator[bytes]:
    """Texts as the ledger stores them. Half of them are of users who have passed."""
    scenarios = [*SCENARIOS.values()]
    for _ in range(SAMPLES):
        evidence = random.choice((SCENARIOS["pass"], random.choice(scenarios))).evidence
        callback = _document(random, evidence)
        answer = {**callback, "request_id": _biz_id(random), "time_used": random.randrange(50, 900)}
        yield json_text(callback).encode()
        yield json_text(answer).encode()  # with two more fields (FaceID's GetResult page)
        yield _decision(callback, answer)


def _decision(callback: dict[str, Any], answer: dict[str, Any]) -> bytes:
    data, raw, biz_id = json_text(callback), json_text(answer), callback["biz_info"]["biz_id"]
    began = float(biz_id.partition(",")[0])
    verified = VerifiedArrival(biz_id, Payload.from_json(data), data, 0)
    reconciled = ReconciledCase(verified, raw, Payload.from_answer(raw, biz_id), None, True, ("notify",))
    envelope = Envelope("sample", "default", "notify", "POST", began + 60.25, b"")
    verdict = classify(reconciled.evidence, POLICY)
    return decide(envelope, reconciled, verdict, POLICY, began + 60.5).dump()


def _document(random: Random, evidence: Evidence) -> dict[str, Any]:
    options = DocumentOptions(
        _biz_id(random),
        _uuid(random),
        procedure=random.choice(PROCEDURES),
        fail_reason_wanted=True,
        multifaces_tag_wanted=random.random() < 0.7,
    )
    began = random.choice((None, int(options.biz_id.partition(",")[0]) + 15))
    return {name: _vary(random, value) for name, value in document(options, evidence, began).items()}


def _vary(random: Random, value: Any, name: str = "") -> Any:
    """The value with other counters, and scores nearby."""
    if isinstance(value, dict):
        return {key: _vary(random, part, key) for key, part in value.items()}
    if isinstance(value, int | float) and name.endswith("confidence"):
        return round(value * random.uniform(0.8, 1.2), 3)
    return random.choice((0, value, random.randrange(6))) if name.isupper() else value


def _biz_id(random: Random) -> str:
    return f"{random.randrange(1_700_000_000, 1_900_000_000)},{_uuid(random)}"


def _uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128)))


def dictionary(number: int) -> bytes:
    """A new dictionary with this number. Another version of zstandard may make another one."""
    texts: list[bytes | bytearray | memoryview[int]] = [*samples(Random(1))]  # noqa: S311 - no secrets
    return train_dictionary(SIZE, texts, dict_id=FIRST_ID + number, level=LEVEL).as_bytes()


if __name__ == "__main__":
    file, number = sys.argv[1:]
    Path(file).write_bytes(dictionary(int(number)))
    print(f"{Path(file).stat().st_size} bytes in {file}")
