"""What a call to a broker, and reading a message, may raise."""


class BrokerUnavailable(Exception):
    """The broker can't be reached, or the connection to it is lost. The message names the cause, never a URL.

    Calling again connects anew. What was in work on the lost connection is delivered again.
    """


class Undecodable(ValueError):
    """A message or a stored message can't be read. The text names the fault, never a value."""
