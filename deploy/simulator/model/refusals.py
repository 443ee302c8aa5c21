"""How FaceID says no: one exception, one line for each row of its error tables. Pure."""

from typing import Final

HTTP_STATUS: Final = {
    "MISSING_ARGUMENTS": 400,
    "BAD_ARGUMENTS": 400,
    "RESULT_NOT_FOUND": 400,
    "AUTHENTICATION_ERROR": 403,
    "AUTHORIZATION_ERROR": 403,
    "CONCURRENCY_LIMIT_EXCEEDED": 403,
    "DATA_DESTROYED": 403,
    "API_NOT_FOUND": 404,
    "INTERNAL_ERROR": 500,
}
"""The HTTP status that goes with an error, by its code: the message up to `:` (official pages)."""


class Refused(Exception):
    """FaceID refuses a call; `message` is its `error_message`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = message.partition(":")[0]
        self.http_status = HTTP_STATUS[self.code]


def missing(argument: str) -> Refused:
    """A required argument is not there; the vendor puts a space after the colon here."""
    return Refused(f"MISSING_ARGUMENTS: {argument}")


def bad(argument: str) -> Refused:
    """An argument breaks its rule; the vendor puts no space here."""
    return Refused(f"BAD_ARGUMENTS:{argument}")
