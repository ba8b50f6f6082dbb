"""One training step of a published system on a packed batch: the loss, and which parameters it moves."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from unified_jax.core.sequence import Interleaved
from unified_jax.models.transfusion import PATH
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses, total


def check_learns(model: Any, params: Any, seq: Interleaved, *, still: Callable[[str], bool]) -> None:
    """Words by the next token, pictures by a flow: everything is finite, and all but what is ``still`` has a slope.

    still: of a parameter's path, in jax's spelling.
    """
    objectives = [Flow("image", path=PATH), NextToken("text")]

    @jax.jit
    @jax.value_and_grad
    def step(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    loss, slopes = step(params)
    assert np.isfinite(loss)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(slope).all()
        assert still(name) or np.abs(slope).max() > 0, name
