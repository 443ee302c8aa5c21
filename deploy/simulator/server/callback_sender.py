"""Post callbacks to the customer's server."""

from datetime import timedelta
from typing import Literal

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, PyreqwestError, RequestTimeoutError

from deploy.simulator.model.wire import Body

PostResult = int | Literal["refused", "timeout", "broken"]


class CallbackSender:
    """An HTTP client with a connection pool that follows no redirects and raises no exceptions."""

    def __init__(self, timeout_seconds: float) -> None:
        self._client: Client = (
            ClientBuilder()
            .no_proxy()
            .follow_redirects(False)
            .timeout(timedelta(seconds=timeout_seconds))
            .user_agent("FaceID-simulator")
            .build()
        )

    async def post(self, url: str, body: Body) -> PostResult:
        """Post a callback. Returns the HTTP status of the answer, or why there was none."""
        try:
            request = self._client.post(url).header("content-type", body.content_type).body_bytes(body.content).build()
            return (await request.send()).status
        except RequestTimeoutError:
            return "timeout"
        except ConnectError as error:
            return "refused" if _never_connected(error) else "broken"
        except (PyreqwestError, ValueError):
            return "broken"

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.close()


def _never_connected(error: ConnectError) -> bool:
    """Whether no connection was made. Pyreqwest raises ConnectError also when one breaks before the answer."""
    causes = error.details["causes"] or []
    return any(cause["message"] == "client error (Connect)" for cause in causes)
