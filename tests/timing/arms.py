"""Trials of a comparison, made up."""

import numpy as np

from roundsman.timing.rules.interleaving import Arm, ArmExchange
from tests.make import exchange


def answers(rounds=40, *, each=5, candidate=1.0, seed=1, spread=0.1, fresh=False, arms=tuple(Arm), of=None):
    """Rounds of each arm; `of(arm, number)` gives what else differs between the answers.

    Times are ten milliseconds, more or less; the candidate's are longer by a ratio.
    """
    rng = np.random.default_rng(seed)
    made = []
    for at in range(rounds):
        for arm in arms:
            for number in range(each):
                time = 0.010 * float(np.exp(rng.normal(0, spread))) * (candidate if arm is Arm.CANDIDATE else 1)
                more = {"x_cache": "MISS", **(of(arm, at * each + number) if of else {})}
                control = more.pop("cache_control", "public, max-age=600")
                made.append(ArmExchange(arm, at, exchange("/a", control, first_byte=time, **more), fresh))
    return made


def only(arm, **more):
    """What is so of one arm alone."""
    return lambda own, _: more if own is arm else {}
