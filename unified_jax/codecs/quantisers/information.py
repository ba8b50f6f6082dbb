"""What a code tells of its entry, for codes of several digits without a table of all codes for every entry.

    KL(p(code | entry) || p(code)),    p(code) the mean of p(code | entry) over the entries

Averaged over entries this is H(code) - H(code | entry), MAGVIT-v2's entropy term (arXiv:2310.05737, section 3.1).

Given its entry, a code's digits are independent, p(code | entry) = prod_i p_i(digit_i | entry), though their mean is
not. With digits in two halves of L and R combinations, the mean over n entries is a product of matrices [L n] [n R]:
exact, in memory n (L + R) + L R; for 2^18 codes 1024 numbers an entry and not 262144.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from unified_jax.core.types import Array, Float

SMALLEST = 1e-37  # float32's smallest normal number is 1.2e-38; what is less probable counts nothing


def information(digits: Sequence[Float[Array, "n V"]]) -> Float[Array, "n"]:
    """KL(p(code | entry) || p(code)) in nats. digits: log-probabilities of each digit; one table is a whole code."""
    entropy = sum((jnp.exp(log_p) * log_p).sum(-1) for log_p in digits)
    cut = _halfway([log_p.shape[-1] for log_p in digits])
    left, right = _joint(digits[:cut]), _joint(digits[cut:])
    mean = left.T @ right / len(left) if cut < len(digits) else left.mean(0)[:, None]
    return entropy - ((left @ jnp.log(jnp.maximum(mean, SMALLEST))) * right).sum(-1)


def _joint(digits: Sequence[Float[Array, "n V"]]) -> Float[Array, "n W"]:
    """Probabilities of all combinations, the first digit varying slowest; of no digits, 1."""
    log_p = jnp.zeros((len(digits[0]) if digits else 1, 1))
    for digit in digits:
        log_p = (log_p[:, :, None] + digit[:, None, :]).reshape(len(digit), -1)
    return jnp.exp(log_p)


def _halfway(sizes: Sequence[int]) -> int:
    """How many of the digits go left, so that both halves have about as many combinations."""
    cost = lambda cut: math.prod(sizes[:cut]) + math.prod(sizes[cut:])
    return min(range(1, len(sizes) + 1), key=cost)
