"""Print the error that ended a command. `main` imports this only after an error."""

from console.terminal.errors import CommandError, ServerUnavailable
from console.terminal.output import print_error
from shared.messaging.publisher import NotStored
from shared.settings import SettingsError
from workers.decisioning.policy import PolicyError


def report(error: Exception) -> int | None:
    """Print what an error means and what to do; returns the exit code. None for a bug: let it raise."""
    found = as_command_error(error)
    if found is None:
        return None
    print_error(found.headline, *found.lines)
    return found.exit_code


def as_command_error(error: Exception) -> CommandError | None:
    """The error in words; None for a bug."""
    match error:
        case CommandError():
            return error
        case SettingsError():
            return CommandError("The settings can't be used. Fix these:", *error.faults, exit_code=2)
        case PolicyError():
            return CommandError("The policy can't be used. Fix these:", *error.faults, exit_code=2)
        case NotStored():
            return ServerUnavailable(
                f"The broker did not store the messages ({error}).",
                "Check that it runs, and that FACEID_BROKER_URL and FACEID_RESULTS_URL name it.",
            )
    return None
