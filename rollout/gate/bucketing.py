"""Who gets the candidate: a targeting key's place between 0 and 100, the same in every process and at any time. Pure.

A share only moves the line that places are compared with, so a key in at 10 % is in at 25 %; the rollout's name is
part of what is hashed, so that one rollout's early keys are not another's. MurmurHash3, 32 bits, as OpenFeature's
flagd and Unleash have it (Appleby 2008, https://github.com/aappleby/smhasher).
"""

import mmh3

SCALE = 100 / 2**32


def bucket(rollout: str, targeting_key: str) -> float:
    """From 0 to below 100, evenly over all keys; any text will do, lone surrogates too."""
    hashed: int = mmh3.hash(f"{rollout}:{targeting_key}".encode("utf-8", "surrogatepass"), signed=False)
    return hashed * SCALE
