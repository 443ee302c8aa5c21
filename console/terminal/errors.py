"""Errors that end a command, with what to do about them. No text here quotes a value or a password."""


class CommandError(Exception):
    """The command failed: a headline, lines that say what to do, and the exit code."""

    def __init__(self, headline: str, *lines: str, exit_code: int = 1) -> None:
        super().__init__(headline)
        self.headline = headline
        self.lines = lines
        self.exit_code = exit_code


class UsageError(CommandError):
    """The options or the settings don't fit the command. Exit code 2."""

    def __init__(self, headline: str, *lines: str) -> None:
        super().__init__(headline, *lines, exit_code=2)


class NotFound(CommandError):
    """The item or case does not exist. Exit code 1."""


class ServerUnavailable(CommandError):
    """Redis or a broker can't be reached, or does not do its part. Exit code 3."""

    def __init__(self, headline: str, *lines: str) -> None:
        super().__init__(headline, *lines, exit_code=3)
