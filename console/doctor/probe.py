"""What was tried with a broker, and what its refusal means. Nothing of a URL is quoted: it may hold a password."""

import re
import socket
from dataclasses import dataclass
from typing import Final

_CODE: Final = re.compile(r"^[A-Z_]+ - ")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was found, and what to do."""

    found: str
    hint: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that was tried with a broker; empty for whether it can be reached."""

    what: str
    result: str | Refusal
    """A text when it went well."""


def refusal(error: Exception, setting: str) -> Refusal:
    """In words; `setting` is the one an operator would mend."""
    code = str(getattr(error, "reply_code", "") or "")
    said = _CODE.sub("", str(getattr(error, "reply_text", "") or ""))
    match code:
        case "403" if "Login was refused" in said:
            return Refusal("the user or the password is wrong", f"Mend the name and the password in {setting}.")
        case "403":
            hint = "Give the user configure, write and read on the pipeline's queues: rabbitmqctl set_permissions."
            return Refusal(f"not permitted: {said}", hint)
        case "530" if "not found" in said:
            return Refusal(said, f"rabbitmqctl add_vhost, or mend the path of {setting}.")
        case "530":
            hint = "Give the user permissions there: rabbitmqctl set_permissions -p VHOST USER ..."
            return Refusal("the virtual host is not the user's", hint)
        case "406":
            hint = "Somebody has made it otherwise: delete it when it is empty, and it is made again as it has to be."
            return Refusal(f"declared otherwise: {said}", hint)
    return _unreachable(error, setting)


def _unreachable(error: Exception, setting: str) -> Refusal:
    match error:
        case ConnectionRefusedError():
            return Refusal("nobody listens there", f"Start it, or mend host and port in {setting}.")
        case socket.gaierror():
            return Refusal("its host has no address", f"Mend the host in {setting}.")
        case TimeoutError():
            return Refusal("it does not answer in time", f"Look at the broker and the network; {setting} names it.")
    return Refusal(f"can't be reached ({type(error).__name__})", f"Start it, or mend {setting}.")
