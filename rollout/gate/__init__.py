"""The gate between application code and a rollout: `gate(name)` decides, runs and counts the two arms."""

from rollout.decisions.stages import Arm
from rollout.gate.gates import Answer, Gate, gate

__all__ = ["Answer", "Arm", "Gate", "gate"]
