"""Ask the probes of a process."""

import http.client
from urllib.parse import urlsplit


def probe(url: str, path: str) -> tuple[int, str]:
    """The status and the text of a page of an admin listener; 0 and nothing when it does not answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()
