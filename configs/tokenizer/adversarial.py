r"""The image tokenizer of the shapes world trained as VQGAN is: a perceptual network, a critic, a teacher if wanted.

  pip install "unified_jax[metrics]"
  ujx train --config configs/tokenizer/adversarial.py --workdir runs/tokenizer_adversarial
  smoke, without the perceptual network:  --config configs/tokenizer/adversarial.py:debug
  another quantiser:  --config configs/tokenizer/adversarial.py:scalar (or moving, residual ...)

    --config.perceptual.network=""               no perceptual network; "st-lpips-vgg" for the larger one
    --config.critic.weight=0.0                   no critic
    --config.critic.game=logistic                in place of hinge
    --config.critic.slope=10.0                   R1       --config.critic.usual=0.001   LeCam
    --config.teacher.folder=PATH                 latents learn from a CLIP, SigLIP or DINOv2 checkpoint in this folder

The perceptual distance is ST-LPIPS, not LPIPS. No figures are given: this run has not been made to its end yet.
"""

from configs import common
from configs.tokenizer import shapes
from configs.tokenizer.shapes import benchmarks, data, texts
from unified_jax.models import judges
from unified_jax.models.perceptual.packaged import packaged, weights
from unified_jax.models.pretrained import from_pretrained
from unified_jax.models.vq import vq
from unified_jax.nn.critic import PatchCritic
from unified_jax.nn.grid_features import GridFeatures
from unified_jax.objectives.adversarial import GAMES, Fool, Tell
from unified_jax.objectives.distil import Distil
from unified_jax.objectives.judged import Judged
from unified_jax.objectives.reconstruct import Reconstruct

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


def get_config(arg=None):
    c = shapes.get_config(arg)
    c.perceptual = dict(network="st-lpips-alex", weight=1.0)
    c.critic = dict(
        width=32,
        depth=2,
        groups=8,
        game="hinge",
        weight=0.5,
        start=1000,
        layer="codec/decoder/out/kernel",
        slope=0.0,
        usual=0.001,
    )
    c.teacher = dict(folder="", layer=-1, weight=0.1, start=0, last="codec/to_code/kernel")
    c.optimizer.critic = common.adamw(1e-3)
    c.optimizer.critic.b1 = 0.5
    c.optimizer.freeze = r"judges_(st-lpips-\w+|teacher)/network/.*"
    c.optimizer.averaged = "|".join(filter(None, ["judges_critic/usual", c.optimizer.averaged]))
    if arg == "debug":
        c.perceptual.network, c.critic.start, c.critic.width = "", 1, 8
    return c


def model(c, tokenizer):
    autoencoder = vq(tokenizer, **c.model.to_dict())
    found = {}
    if c.perceptual.network:
        found[c.perceptual.network] = judges.Perceptual(packaged(c.perceptual.network).module)
    if c.critic.weight:
        found["critic"] = judges.Critic(PatchCritic(c.critic.width, c.critic.depth, c.critic.groups))
    if c.teacher.folder:
        encoder, _ = from_pretrained(c.teacher.folder)
        found["teacher"] = judges.Teacher(GridFeatures(encoder.module, autoencoder.grid, c.teacher.layer))
    return autoencoder.clone(judges=found)


def given(c, model):
    brought = {}
    if c.perceptual.network:
        brought[f"judges_{c.perceptual.network}"] = {"network": weights(c.perceptual.network)}
    if c.teacher.folder:
        _, encoder = from_pretrained(c.teacher.folder)
        brought["judges_teacher"] = {"network": {"encoder": encoder}}
    return brought


def objectives(c):
    found = [Reconstruct("image")]
    if c.perceptual.network:
        found.append(Judged("image", reads=c.perceptual.network, weight=c.perceptual.weight))
    if c.critic.weight:
        critic, game = c.critic, GAMES[c.critic.game]
        found.append(Fool("image", game=game, weight=critic.weight, start=critic.start, layer=critic.layer))
        found.append(Tell("image", game=game, slope=critic.slope, usual=critic.usual, start=critic.start))
    if c.teacher.folder:
        teacher = c.teacher
        found.append(Distil("image", weight=teacher.weight, start=teacher.start, layer=teacher.last))
    return tuple(found)
