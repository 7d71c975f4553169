"""The bucket of a targeting key: a number from 0 to below 100, the same in every process and at any time. Pure.

A traffic share only moves the limit that buckets are compared with, so a key that gets the candidate at 10 % gets it
at 25 % too. `Serving.arm` in rollout/decisions/stages.py compares them and decides the arm; rollout/gate/gates.py calls
it. The rollout's name is part of what is hashed, so that the early keys of one rollout are not the early keys of
another. The hash is MurmurHash3, 32 bits, as in OpenFeature's flagd and in Unleash (Appleby 2008,
https://github.com/aappleby/smhasher).
"""

import mmh3

SCALE = 100 / 2**32


def bucket(rollout: str, targeting_key: str) -> float:
    """Return the key's bucket, from 0 to below 100. Buckets are spread evenly over all keys.

    targeting_key: any text, lone surrogates included.
    """
    hashed: int = mmh3.hash(f"{rollout}:{targeting_key}".encode("utf-8", "surrogatepass"), signed=False)
    return hashed * SCALE
