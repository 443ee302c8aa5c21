"""`python -m deploy.simulator`: the simulator with the settings of the environment."""

from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.serve import serve

serve(SimulatorSettings())
