"""`faceid sign` and `faceid verify`: signatures of callbacks, for integration tests."""

import sys
import time
from typing import Final
from urllib.parse import urlencode

import typer

from console.terminal.accounts import secrets_of
from console.terminal.options import OfAccount
from console.terminal.output import plain, print_line
from shared.messaging.envelope import Envelope
from shared.settings import load_settings
from workers.faceid import verification
from workers.faceid.verification import Unverified, VerifiedArrival

FORM: Final = "application/x-www-form-urlencoded"


def sign(account: OfAccount = "default") -> None:
    """Make a signed callback from the JSON on stdin.

    Prints the form body that FaceID would post, signed with the account's newest secret (FACEID_API_SECRETS).
    One line end after the JSON is left out.

    Example: [cyan]faceid sign < data.json | curl --data-binary @- http://127.0.0.1:8028/callbacks/default/notify[/]
    """
    body = signed_form(_read_stdin(), secrets_of(load_settings(), account)[0])
    print(body, end="\n" if sys.stdout.isatty() else "", flush=True)  # in a pipe a line end would be part of the body


def verify(account: OfAccount = "default") -> None:
    """Verify the signature of the callback on stdin. Exits with 1 when it is not valid.

    Reads a form body. Says which of the account's secrets signed it, and never shows a secret.

    Example: [cyan]faceid sign < data.json | faceid verify[/]
    """
    secrets = secrets_of(load_settings(), account)
    envelope = Envelope("stdin", account, "notify", "POST", time.time(), _read_stdin(), FORM)
    try:
        verified = verification.verify(envelope, secrets)
    except Unverified as reason:
        print_line(plain(f"unverified: {reason}", "red"))
        raise typer.Exit(1) from None
    for line in describe(verified, len(secrets)):
        print_line(line)


def signed_form(data: bytes, secret: str) -> str:
    """The form body as FaceID posts it."""
    return urlencode({"data": data, "sign": verification.sign(secret, data)})


def describe(verified: VerifiedArrival, secrets: int) -> list[str]:
    """What is known of a verified callback, in words. `secrets`: how many the account has."""
    number = (verified.secret or 0) + 1
    age = "" if secrets == 1 else ", the newest" if number == 1 else ", an older one"
    lines = [f"verified: signed with secret {number} of {secrets}{age}", f"biz_id:   {verified.biz_id}"]
    if verified.callback is not None:
        lines.append(f"status:   {verified.callback.status}")
        if verified.callback.unreadable:
            lines.append(f"ignored:  {', '.join(verified.callback.unreadable)} (wrong type or out of range)")
    return lines


def _read_stdin() -> bytes:
    """All of stdin without one line end at its end, which an editor or `echo` adds."""
    return sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
