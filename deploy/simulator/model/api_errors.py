"""FaceID's error answers. No I/O."""

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
"""The HTTP status of each error code (the error tables of the API's documents)."""


class ApiError(Exception):
    """FaceID answers a call with an error. `message` is its `error_message`; `code` is the part before the colon."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = message.partition(":")[0]
        self.http_status = HTTP_STATUS[self.code]


def missing_argument(argument: str) -> ApiError:
    """A required argument is missing. The vendor writes a space after the colon (API documents)."""
    return ApiError(f"MISSING_ARGUMENTS: {argument}")


def bad_argument(argument: str) -> ApiError:
    """An argument is invalid. The vendor writes no space after the colon (API documents)."""
    return ApiError(f"BAD_ARGUMENTS:{argument}")
