"""What stops a command, in words that say what to do. Nothing here quotes a value or a password."""


class CommandError(Exception):
    """The end of a command: a headline, what to do about it, and the exit code."""

    def __init__(self, headline: str, *lines: str, exit_code: int = 1) -> None:
        super().__init__(headline)
        self.headline = headline
        self.lines = lines
        self.exit_code = exit_code


class UsageError(CommandError):
    """The command was called in a way that makes no sense."""

    def __init__(self, headline: str, *lines: str) -> None:
        super().__init__(headline, *lines, exit_code=2)


class NotFound(CommandError):
    """What was asked for is not there."""

    def __init__(self, headline: str, *lines: str) -> None:
        super().__init__(headline, *lines, exit_code=3)


def explained(error: Exception) -> CommandError | None:
    """The trouble that an exception means; None for a fault of ours, whose traceback is wanted."""
    from shared.messaging.publisher import NotStored  # noqa: PLC0415 - loaded only when something has gone wrong
    from shared.settings import SettingsError  # noqa: PLC0415
    from workers.decisioning.policy import PolicyError  # noqa: PLC0415

    match error:
        case CommandError():
            return error
        case SettingsError():
            return CommandError("The settings can't be used:", *error.faults, exit_code=2)
        case PolicyError():
            return CommandError("The policy can't be used:", *error.faults, exit_code=2)
        case NotStored():
            return CommandError(
                f"The broker did not take the messages ({error}).",
                "Is it running, and do FACEID_BROKER_URL and FACEID_RESULTS_URL name it?",
            )
    return None
