"""`python -m deploy.simulator`: run the simulator with settings from the environment."""

from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.serve import serve

serve(SimulatorSettings())
