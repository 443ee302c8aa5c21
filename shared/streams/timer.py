from time import monotonic


class Timer:
    """Says when something is due again. It is due at first, and stays due until `done`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = 0.0

    @property
    def due(self) -> bool:
        """Whether the time has come."""
        return monotonic() >= self._due_at

    def done(self) -> None:
        """Count from now."""
        self._due_at = monotonic() + self._seconds

    def hurry(self) -> None:
        """Make it due at once."""
        self._due_at = 0.0
