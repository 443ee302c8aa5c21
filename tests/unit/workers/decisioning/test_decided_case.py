"""A decision as Structs: the same fields and the same JSON as the public model."""

import pytest

from shared.events.decision import Decision, Face, Genuineness, Liveness, Reason
from tests.support.decisions import decided_on, on_answer, on_callback
from tests.support.payloads import CALLBACKS
from workers.decisioning import decided_case
from workers.decisioning.decided_case import DecidedCase
from workers.faceid.payload import FaceGenuineness


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_json_is_that_of_the_public_model(name: str) -> None:
    decided = decided_on(on_answer(name))
    assert decided.dump() == decided.decision.model_dump_json().encode()
    assert DecidedCase.load(decided.dump()) == decided
    assert decided.id == decided.decision.id


def test_the_fields_are_those_of_the_public_models_in_their_order() -> None:
    assert DecidedCase.__struct_fields__ == tuple(Decision.model_fields)
    pairs = (
        (decided_case.Reason, Reason),
        (decided_case.Liveness, Liveness),
        (decided_case.Face, Face),
        (FaceGenuineness, Genuineness),
    )
    for struct, public in pairs:
        assert struct.__struct_fields__ == tuple(public.__dataclass_fields__)


def test_the_repr_shows_no_personal_data() -> None:
    decided = decided_on(on_callback(biz_info__biz_extra_data="a name", biz_info__biz_no="a number"))
    assert "a name" not in repr(decided)
    assert "a number" not in repr(decided)


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match="missing required field"):
        DecidedCase.load(b"{}")
