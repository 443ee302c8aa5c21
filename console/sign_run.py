"""What `faceid sign` and `faceid verify` do."""

import sys
import time
from typing import Final
from urllib.parse import urlencode

from console.terminal.accounts import secrets_of
from console.terminal.output import plain, tell
from shared.messaging.envelope import Envelope
from shared.settings import load_settings
from workers.faceid.verification import Unverified, VerifiedArrival, sign, verify

FORM: Final = "application/x-www-form-urlencoded"


def print_signed(account: str) -> None:
    """Print the body that carries the text on stdin; a line end follows only on a terminal, for it would spoil it."""
    body = signed(_stdin(), secrets_of(load_settings(), account)[0])
    print(body, end="\n" if sys.stdout.isatty() else "", flush=True)


def print_judgement(account: str) -> int:
    """Print what the verifier says of the body on stdin; returns the exit code."""
    secrets = secrets_of(load_settings(), account)
    envelope = Envelope.arrived(account, "notify", "POST", _stdin(), FORM, "", time.time())
    try:
        verified = verify(envelope, secrets)
    except Unverified as fault:
        tell(plain(f"unverified: {fault}", "red"))
        return 1
    for line in judgement(verified, len(secrets)):
        tell(line)
    return 0


def signed(data: bytes, secret: str) -> str:
    """The form body as FaceID posts it."""
    return urlencode({"data": data, "sign": sign(secret, data)})


def judgement(verified: VerifiedArrival, secrets: int) -> list[str]:
    """What is known of a verified callback, in words; `secrets` the account has."""
    place = (verified.secret or 0) + 1
    age = "" if secrets == 1 else ", the newest" if place == 1 else ", an older one"
    lines = [f"verified: signed with secret {place} of {secrets}{age}", f"biz_id:   {verified.biz_id}"]
    if verified.callback is not None:
        lines.append(f"status:   {verified.callback.status}")
        if verified.callback.unreadable:
            lines.append(f"left out: {', '.join(verified.callback.unreadable)} (of a wrong type or out of range)")
    return lines


def _stdin() -> bytes:
    """All of it, less one line end, which an editor or `echo` has put there."""
    return sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
