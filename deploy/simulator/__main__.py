"""`python -m deploy.simulator`: the simulator with the settings of the environment."""

from deploy.simulator.serve import serve
from deploy.simulator.settings import SimulatorSettings

serve(SimulatorSettings())
