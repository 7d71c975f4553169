from rollout.decisions.stages import Arm
from rollout.gate.gates import Answer, Gate, gate

__all__ = ["Answer", "Arm", "Gate", "gate"]
