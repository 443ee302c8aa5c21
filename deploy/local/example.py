"""An example of a signed callback: the examples of the official callback page in one document."""

import json
from hashlib import sha1
from typing import Any, Final
from urllib.parse import urlencode

EXAMPLE: Final[dict[str, Any]] = {
    "status": "OK",
    "biz_info": {
        "biz_extra_data": "...",
        "biz_id": "1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1",
        "biz_no": "cc47190f-502-44a2-ab74-ea4f0f649f61",
    },
    "liveness_result": {
        "result": "PASS",
        "procedure_type": "still",
        "details": {
            "UPLOAD_TIMES": 5,
            "FACE_NOT_FOUND": 0,
            "LOW_FACE_QUALITY": 0,
            "INVALID_VIDEO_DURATION": 1,
            "SR_ERROR": 2,
            "NOT_SYNCHRONIZED": 1,
            "VIDEO_FORMAT_UNSUPPORTED": 0,
            "NO_AUDIO": 0,
        },
        "face_genuineness": {
            "synthetic_face_confidence": 0.88,
            "synthetic_face_threshold": 0.5,
            "mask_confidence": 0.32,
            "mask_threshold": 0.5,
            "screen_replay_confidence": 0,
            "screen_replay_threshold": 0.5,
        },
    },
    "verify_result": {
        "verify_time": 1462259763,
        "result_ref1": {
            "confidence": 68.918,
            "thresholds": {"1e-3": 64, "1e-4": 69, "1e-5": 74, "1e-6": 79.9},
        },
    },
    "multifaces_tag": "0",
}
"""A synthetic face above its threshold, and a face confidence between 1e-3 and 1e-4 (official callback page)."""


def example_body(secret: str, biz_id: str) -> str:
    """The form body of a callback about the verification `biz_id`, signed with `secret`."""
    data = json.dumps(EXAMPLE | {"biz_info": EXAMPLE["biz_info"] | {"biz_id": biz_id}})
    sign = sha1(f"{secret}{data}".encode()).hexdigest()  # noqa: S324 - the vendor's scheme
    return urlencode({"data": data, "sign": sign})
