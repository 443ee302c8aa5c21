"""Probes of a broker, and its errors in words. No text quotes a URL: it may hold a password."""

import re
import socket
from dataclasses import dataclass
from typing import Final, Literal

_CODE: Final = re.compile(r"^[A-Z_]+ - ")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a probe found wrong, and what to do."""

    found: str
    hint: str
    level: Literal["warn", "fail"] = "fail"
    """`warn` for what works now."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One test of a broker."""

    what: str
    """Empty for the test whether the broker can be reached."""
    result: str | Refusal
    """A text when the test passed."""


def explain_error(error: Exception, setting: str) -> Refusal:
    """A broker's error in words. `setting`: the setting that names the broker."""
    code = str(getattr(error, "reply_code", "") or "")
    text = _CODE.sub("", str(getattr(error, "reply_text", "") or ""))
    match code:
        case "403" if "Login was refused" in text:
            return Refusal("the user or the password is wrong", f"Fix the user and the password in {setting}.")
        case "403":
            hint = "Give the user configure, write and read on the pipeline's queues: rabbitmqctl set_permissions."
            return Refusal(f"not permitted: {text}", hint)
        case "530" if "not found" in text:
            return Refusal(text, f"Run rabbitmqctl add_vhost, or fix the path of {setting}.")
        case "530":
            hint = "Give the user permissions on it: rabbitmqctl set_permissions -p VHOST USER ..."
            return Refusal("the user has no access to the virtual host", hint)
        case "406":
            hint = "It exists with other arguments: delete it when it is empty. A worker makes it again at its start."
            return Refusal(f"declared with other arguments: {text}", hint)
    return _unreachable(error, setting)


def _unreachable(error: Exception, setting: str) -> Refusal:
    match error:
        case ConnectionRefusedError():
            return Refusal("nothing listens there", f"Start the broker, or fix host and port in {setting}.")
        case socket.gaierror():
            return Refusal("the host name has no address", f"Fix the host in {setting}.")
        case TimeoutError():
            return Refusal("no answer in time", f"Check the broker that {setting} names, and the network.")
    return Refusal(f"can't be reached ({type(error).__name__})", f"Start the broker, or fix {setting}.")
