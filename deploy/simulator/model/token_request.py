"""The get_token request, checked as the vendor checks it. No I/O."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import SplitResult, urlsplit

from deploy.simulator.model.api_errors import bad_argument, missing_argument
from deploy.simulator.model.scenarios import DocumentOptions, Procedure

NOTIFY_PORTS: Final = frozenset({443, 5000, 16003, 8883, 8028})
"""The only ports that FaceID's servers call back to (official callback page)."""

REQUIRED: Final = ("return_url", "notify_url", "biz_no", "comparison_type")
REQUIRED_TO_COMPARE: Final = ("uuid", "image_ref1")
"""Also required with `comparison_type=0` (API documents, get_token)."""
MAX_BYTES: Final = {"biz_no": 128, "biz_extra_data": 4096, "web_title": 32}
"""Longest values, in bytes of UTF-8 (API documents, get_token)."""
CHOICES: Final[Mapping[str, Collection[str]]] = {
    "comparison_type": ("0", "-1"),
    "action_http_method": ("POST", "GET"),
    "procedure_type": ("still", "flash", "distance"),
    "language": ("0", "1"),
    "get_fail_reason": ("0", "1"),
    "return_multifaces_tag": ("0", "1"),
    "return_verify_time": ("0", "1"),
    "fmp_mode": ("0", "1"),
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A valid get_token request. Whether its biz_no is unique is checked in `Sessions.create`."""

    return_url: str
    notify_url: str
    biz_no: str
    biz_extra_data: str
    return_method: Literal["POST", "GET"]
    procedure: Procedure
    compared: bool
    attack_fails_liveness: bool
    fail_reason_wanted: bool
    multifaces_tag_wanted: bool
    verify_time_wanted: bool

    def document_options(self, biz_id: str) -> DocumentOptions:
        """The options of the documents about this request."""
        return DocumentOptions(
            biz_id=biz_id,
            biz_no=self.biz_no,
            biz_extra_data=self.biz_extra_data,
            procedure=self.procedure,
            compared=self.compared,
            attack_fails_liveness=self.attack_fails_liveness,
            fail_reason_wanted=self.fail_reason_wanted,
            multifaces_tag_wanted=self.multifaces_tag_wanted,
        )


def parse_token_request(fields: Mapping[str, str], *, any_port: bool) -> TokenRequest:
    """Check and convert the form fields of get_token. An uploaded file is given as a non-empty text.

    Unknown fields are ignored. Raises `ApiError` for the first rule that is broken.
    """
    _check_present(fields)
    _check_lengths(fields)
    _check_choices(fields)
    _check_url("return_url", fields["return_url"])
    _check_notify_port(_check_url("notify_url", fields["notify_url"]), any_port=any_port)
    return TokenRequest(
        return_url=fields["return_url"],
        notify_url=fields["notify_url"],
        biz_no=fields["biz_no"],
        biz_extra_data=fields.get("biz_extra_data", ""),
        return_method=cast(Literal["POST", "GET"], fields.get("action_http_method") or "POST"),
        procedure=cast(Procedure, fields.get("procedure_type") or "still"),
        compared=fields["comparison_type"] == "0",
        attack_fails_liveness=fields.get("fmp_mode") != "1",
        fail_reason_wanted=fields.get("get_fail_reason") == "1",
        multifaces_tag_wanted=fields.get("return_multifaces_tag") == "1",
        verify_time_wanted=fields.get("return_verify_time") == "1",
    )


def _check_present(fields: Mapping[str, str]) -> None:
    required = REQUIRED + REQUIRED_TO_COMPARE if fields.get("comparison_type") == "0" else REQUIRED
    for name in required:
        if not fields.get(name):
            raise missing_argument(name)


def _check_lengths(fields: Mapping[str, str]) -> None:
    for name, limit in MAX_BYTES.items():
        if len(fields.get(name, "").encode()) > limit:
            raise bad_argument(name)


def _check_choices(fields: Mapping[str, str]) -> None:
    for name, allowed in CHOICES.items():
        if fields.get(name) and fields[name] not in allowed:
            raise bad_argument(name)


def _check_url(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise bad_argument(name)
    return parts


def _check_notify_port(parts: SplitResult, *, any_port: bool) -> None:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not any_port and port not in NOTIFY_PORTS:
        raise bad_argument("notify_url")
