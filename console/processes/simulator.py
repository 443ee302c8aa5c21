"""`faceid simulator`."""

from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.serve import serve
from shared.logs import configure


def simulator() -> None:
    """Simulate FaceID over HTTP: tokens, sessions, callbacks and GetResult.

    Its settings are FACEID_SIMULATOR_... variables. It is for tests only: never send real users to it.

    Example: [cyan]faceid simulator[/]
    """
    configure("simulator")
    serve(SimulatorSettings())
