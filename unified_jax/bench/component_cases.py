"""What ``ujx bench codec``, ``encoder`` and ``denoiser`` measure."""

from unified_jax.bench import components, denoising, published
from unified_jax.bench.case import Case
from unified_jax.bench.peers import DIFFUSERS, peer


def codecs() -> list[Case]:
    """Both ways of every kind of codec, at two sizes of picture."""
    codecs = {
        "AutoencoderKL half as wide": published.stable_diffusion(64),
        "AutoencoderDC half as wide": published.deep(64),
        "JanusVQVAE half as wide": published.janus(64),
        "Emu3VQVAE a quarter as wide": published.emu3(64),
    }
    return [
        Case(
            name=f"codec:{way} {codec} {side}x{side}",
            size=size,
            ours=ours,
            peers=[peer("diffusers" if "Autoencoder" in codec else "transformers", "components.py", way, DIFFUSERS)],
            arguments=dict(config=config, side=side),
            tolerance=1e-3,
            note="one picture, from the same weights; widths are those of the published codec, times as said",
        )
        for size, side in (("small", 128), ("large", 256))
        for codec, config in codecs.items()
        for way, ours in (("encode", components.encode), ("decode", components.decode))
    ]


def encoders() -> list[Case]:
    """Towers that look at a picture, and one that reads a text."""
    towers = {"CLIP ViT-B/16": published.CLIP, "SigLIP ViT-B/16": published.SIGLIP}
    note = "the published size, from the same weights, one row"
    looking = [
        Case(
            name=f"encoder:{name} 224x224",
            size="large",
            ours=components.look,
            peers=[peer("transformers", "components.py", "look", DIFFUSERS)],
            arguments=dict(config=config, side=224),
            tolerance=1e-3,
            note=note,
        )
        for name, config in towers.items()
    ]
    reading = [
        Case(
            name=f"encoder:T5 base {length} ids",
            size=size,
            ours=components.read,
            peers=[peer("transformers", "components.py", "read", DIFFUSERS)],
            arguments=dict(config=published.T5, length=length),
            tolerance=1e-3,
            note=note,
        )
        for size, length in (("small", 77), ("large", 512))
    ]
    return [*looking, *reading]


def denoisers() -> list[Case]:
    """A prediction and a training step, of a denoiser told labels and of one told texts."""
    works = {
        "predict": (denoising.predict, "one prediction"),
        "train": (denoising.train, "forward, backward and AdamW"),
    }
    return [
        Case(
            name=f"denoiser:{work} {name}",
            size="small" if work == "predict" else "large",
            ours=ours,
            peers=[peer("diffusers", "denoiser.py", work, DIFFUSERS)],
            arguments=dict(config=config, rows=4, side=32, text=77),
            tolerance=1e-3 if work == "predict" else None,
            note=f"{what} from the same weights, 4 pictures of 32 x 32 latents in patches of 2, float32, width 384",
        )
        for work, (ours, what) in works.items()
        for name, config in (("DiT", published.DIT), ("MM-DiT", published.MM_DIT))
    ]
