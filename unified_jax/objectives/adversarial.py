"""Adversarial: a critic learns to tell real pictures from made ones, and their maker to fool it (arXiv:1406.2661).

    hinge       critic  1/2 mean max(0, 1 - D(x)) + 1/2 mean max(0, 1 + D(x'))     maker  - mean D(x')
    logistic    critic  1/2 mean log(1 + e^-D(x)) + 1/2 mean log(1 + e^D(x'))      maker  mean log(1 + e^-D(x'))

D scores patches (arXiv:1611.07004, section 3.2.2). Hinge: arXiv:1705.02894. Logistic is the game that does not saturate
(arXiv:1406.2661, section 3). Both sides learn in one pass, from the same pictures, each with the other held fixed.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float
from unified_jax.core.verdict import Verdict
from unified_jax.objectives.judged import Beside, picture_mean
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class Game:
    """The losses of both sides, for each score. critic: (real, made) scores of equal shape."""

    critic: Callable[[Array, Array], Array]
    maker: Callable[[Array], Array]


_up, _soft = jax.nn.relu, jax.nn.softplus
HINGE = Game(critic=lambda real, made: (_up(1 - real) + _up(1 + made)) / 2, maker=lambda made: -made)
LOGISTIC = Game(critic=lambda real, made: (_soft(-real) + _soft(made)) / 2, maker=lambda made: _soft(-made))
GAMES = {"hinge": HINGE, "logistic": LOGISTIC}


@dataclasses.dataclass(frozen=True)
class Fool(Beside):
    """The maker's side. start, layer: as in ``scale.py``. reads: the name of the prediction that is the verdict."""

    stream: str
    game: Game = HINGE
    weight: float = 1.0
    start: int = 0
    layer: str = ""
    reads: str = "critic"
    name = "fool"

    def loss(self, prediction: Verdict, target: None, payload: Payload) -> Sums:
        return picture_mean(self.game.maker(prediction.fooled).mean((1, 2)), payload)


@dataclasses.dataclass(frozen=True)
class Tell(Beside):
    """The critic's side, and what keeps it from telling too well.

    slope: R1, slope / 2 * mean |d D(x) / d x|^2 (arXiv:1801.04406, eq. 9).
    usual: LeCam, usual * mean (D(x) - usual D(x'))^2 + (D(x') - usual D(x))^2 (arXiv:2104.03310, eq. 6).
    Its weight is 1: the critic has an optimizer of its own, and the averages of LeCam are kept up by this gradient.
    """

    stream: str
    game: Game = HINGE
    slope: float = 0.0
    usual: float = 0.0
    start: int = 0
    layer: str = ""
    reads: str = "critic"
    name = "tell"
    weight = 1.0

    def loss(self, prediction: Verdict, target: None, payload: Payload) -> Sums:
        said = prediction
        loss = self.game.critic(said.real, said.made).mean((1, 2)) + said.upkeep
        if self.slope:
            loss = loss + self.slope / 2 * said.slope
        if self.usual:
            loss = loss + self.usual * self._lecam(said)
        return picture_mean(loss, payload)

    def _lecam(self, said: Verdict) -> Float[Array, "B"]:
        fixed = jax.lax.stop_gradient
        real = jnp.square(said.real - fixed(said.usual_made)).mean((1, 2))
        return real + jnp.square(said.made - fixed(said.usual_real)).mean((1, 2))
