"""What `faceid policy` does."""

from pathlib import Path

from console.terminal.accounts import policy_of
from console.terminal.output import complain, plain, tell
from shared.settings import load_settings
from workers.decisioning.policy import DEFAULT, Policy, PolicyError, explain


def explain_policy(file: Path | None, account: str) -> int:
    """Print a policy in words, or its faults; returns the exit code."""
    path = file or _in_force(account)
    try:
        policy = Policy.load(path)
    except PolicyError as error:
        complain(f"{path} is refused:", *error.faults)
        return 1
    tell(plain(f"{path}: version {policy.version}, digest {policy.digest[:12]}", "bold"))
    for line in explain(policy):
        tell(f"  {line}")
    return 0


def print_policy(account: str) -> int:
    """Print a policy's file; returns the exit code."""
    path = _in_force(account)
    try:
        print(path.read_text(encoding="utf-8"), end="")
    except (OSError, UnicodeDecodeError) as error:
        complain(f"{path} can't be read ({type(error).__name__}).", "It comes from FACEID_POLICY or FACEID_ACCOUNTS.")
        return 1
    return 0


def _in_force(account: str) -> Path:
    return policy_of(load_settings(), account) or DEFAULT
