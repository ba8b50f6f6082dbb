"""The published systems that are compared with transformers: a small random model of each, with its processor."""

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from words import picture, tokenizer, words

from unified_jax.data.document import Image, Text
from unified_jax.models.emu3 import BLAME

TEXT = dict(
    vocab_size=128,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    bos_token_id=1,
    eos_token_id=None,  # nothing ends a text early
    pad_token_id=0,
    rope_parameters=dict(rope_type="default", rope_theta=3e4),
)
SCALE = 5.0  # of guidance
AREA = (12 * 8) ** 2  # pixels of a picture that Emu3 draws


def text_fields(**changes: Any) -> dict[str, Any]:
    """``TEXT`` with changes, a copy for each config: transformers' configs write into the dicts they are given, as
    Persimmon's its ``partial_rotary_factor`` into ``rope_parameters``, which the next model would then be saved with.
    """
    return copy.deepcopy(TEXT | changes)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A picture of the reference. ids: as they were generated [n]. pixels: uint8 [H W 3]."""

    ids: np.ndarray
    pixels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. model: () -> the reference. processor: () -> its processor, picture and words alike. draw:
    (reference, processor, text) -> its greedy picture with guidance of ``SCALE``; None for a system that draws none.
    ask: (processor, document) -> the prompt. given: the same -> all inputs, in place of what comes of a prompt.
    """

    name: str
    model: Callable[[], torch.nn.Module]
    processor: Callable[[], Any]
    draw: Callable[[Any, Any, str], Drawn] | None = None
    ask: Callable[[Any, list], str] | None = None
    given: Callable[[Any, list], dict] | None = None
    shapes: tuple[tuple[int, int], ...] = ((50, 37), (40, 64))
    order: tuple[int | None, ...] = (150, None, 120, None, 250)
    said: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, folder: Path, reference: torch.nn.Module, processor: Any) -> None:
        """The folder as it is published."""
        reference.save_pretrained(folder)
        processor.save_pretrained(folder)
        file = folder / "processor_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | dict(self.said)))

    def document(self) -> list:
        """A question about the pictures, blank answer and all."""
        shapes = iter(self.shapes)
        parts = [
            Image(picture(i, *next(shapes))) if count is None else Text(words(i, count))
            for i, count in enumerate(self.order)
        ]
        return [*parts, Text(target=True)]

    def inputs(self, processor: Any) -> dict:
        """What the reference's own processor makes of the document."""
        if self.given is not None:
            return self.given(processor, self.document())
        pictures = [part.pixels for part in self.document() if isinstance(part, Image)]
        prompt = (self.ask or asked)(processor, self.document())
        return dict(processor(text=prompt, images=pictures, return_tensors="pt"))

    def reference(self) -> torch.nn.Module:
        """The model in float32, with weights that make greedy ids vary: drawn large, and no constant ones left."""
        torch.manual_seed(0)
        model = self.model().float().eval()
        embedding = model.get_input_embeddings().weight
        with torch.no_grad():
            for weight in model.parameters():
                noise = torch.randn_like(weight)
                if (weight == weight.flatten()[0]).all():
                    weight.add_(0.1 * noise)
                else:
                    weight.copy_((0.02 if weight is embedding else 0.25) * noise)
        return model

    @property
    def version(self) -> str:
        return f"transformers {transformers.__version__}, {type(self.model()).__name__}"


def asked(processor: Any, document: list) -> str:
    """The user's turn as the template renders it, and the beginning of the assistant's."""
    content = [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
        for part in document
        if not part.target
    ]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def followed(processor: Any, document: list) -> str:
    """The parts one after another, of a system without turns."""
    return " ".join(part.text if isinstance(part, Text) else "<image>" for part in document if not part.target)


def llava() -> transformers.LlavaForConditionalGeneration:
    vision = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
    )
    text = transformers.LlamaConfig(**text_fields())
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=3)
    return transformers.LlavaForConditionalGeneration(config)


def llava_processor() -> transformers.LlavaProcessor:
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_convert_rgb=True
    )
    return transformers.LlavaProcessor(
        pictures,
        tokenizer(image_token="<image>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer().chat_template,
    )


def janus() -> transformers.JanusForConditionalGeneration:
    vision = transformers.JanusVisionConfig(
        hidden_size=32,
        mlp_ratio=1.5,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=384,
        patch_size=16,
        projection_dim=32,
        num_image_tokens=576,
    )
    codes = transformers.JanusVQVAEConfig(
        embed_dim=8,
        num_embeddings=64,
        latent_channels=32,
        base_channels=32,
        channel_multiplier=[1, 1, 1, 1, 1],
        num_res_blocks=1,
        projection_dim=32,
        image_token_embed_dim=32,
    )
    config = transformers.JanusConfig(
        text_config=transformers.LlamaConfig(**text_fields()),
        vision_config=vision,
        vq_config=codes,
        image_token_id=3,
        tie_word_embeddings=False,
    )
    model = transformers.JanusForConditionalGeneration(config)
    model.generation_config.update(bos_token_id=1, pad_token_id=0)
    model.generation_config.generation_kwargs = {"boi_token_id": 4}
    return model


def janus_processor() -> transformers.JanusProcessor:
    pictures = transformers.JanusImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    named = tokenizer(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>")
    return transformers.JanusProcessor(pictures, named, chat_template=named.chat_template, num_image_tokens=576)


def janus_draw(reference: Any, processor: Any, text: str) -> Drawn:
    prompt = asked(processor, [Text(text)])
    inputs = processor(text=prompt, generation_mode="image", return_tensors="pt")
    codes = reference.generate(**inputs, generation_mode="image", do_sample=False, guidance_scale=SCALE)
    (pixels,) = reference.decode_image_tokens(codes)
    # The processor that needs no torchvision knows channels first only.
    shown = processor.postprocess([pixels.permute(2, 0, 1).numpy()], return_tensors="PIL.Image.Image")
    return Drawn(codes[0].numpy(), np.asarray(shown["pixel_values"][0]))


def emu3() -> transformers.Emu3ForConditionalGeneration:
    count, first = 32, TEXT["vocab_size"]
    visual = {f"<|visual token {i:06}|>": first + 1 + i for i in range(count)}
    codes = transformers.Emu3VQVAEConfig(
        codebook_size=count,
        base_channels=32,
        channel_multiplier=[1, 1, 1, 1],
        num_res_blocks=1,
        embed_dim=4,
        hidden_size=32,
        temporal_downsample_factor=2,
    )
    config = transformers.Emu3Config(
        text_config=transformers.Emu3TextConfig(**text_fields(vocab_size=first + 1 + count)),
        vq_config=codes,
        vocabulary_map={"<image>": 3, "<|extra_200|>": first, **visual},
    )
    return transformers.Emu3ForConditionalGeneration(config)


def emu3_processor() -> transformers.Emu3Processor:
    pictures = transformers.Emu3ImageProcessor(
        min_pixels=32 * 32, max_pixels=48 * 48, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    named = tokenizer(
        image_token="<image>",
        boi_token="<boi>",
        eoi_token="<eoi>",
        image_wrapper_token="<wrap>",
        eof_token="<eof>",
    )
    processor = transformers.Emu3Processor(pictures, named, chat_template=named.chat_template)
    processor.image_area = AREA
    return processor


def emu3_draw(reference: Any, processor: Any, text: str) -> Drawn:
    """As its model card does: which ids may follow is a function of the place."""
    given, blamed = (
        processor(text=each, return_for_image_generation=True, return_tensors="pt") for each in (text, BLAME)
    )
    (rows, columns), start = given.pop("image_sizes")[0], given["input_ids"].shape[1]
    end_of_row, *visual = range(TEXT["vocab_size"], reference.config.text_config.vocab_size)
    named = processor.tokenizer.convert_tokens_to_ids
    tail = [named("<eof>"), named("<eoi>"), named("</s>")]

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        at = len(ids) - start
        if at >= rows * (columns + 1):
            return [tail[at - rows * (columns + 1)]]
        return [end_of_row] if at % (columns + 1) == columns else visual

    made = reference.generate(
        **given,
        max_new_tokens=rows * (columns + 1) + len(tail),
        do_sample=False,
        guidance_scale=SCALE,
        negative_prompt_ids=blamed["input_ids"],
        negative_prompt_attention_mask=blamed["attention_mask"],
        prefix_allowed_tokens_fn=allowed,
    )[:, start:]
    pixels = reference.decode_image_tokens(image_tokens=made, height=rows, width=columns)
    shown = processor.postprocess(list(pixels), return_tensors="PIL.Image.Image")
    codes = made[0, : -len(tail)].reshape(rows, columns + 1)[:, :-1] - visual[0]
    return Drawn(codes.reshape(-1).numpy(), np.asarray(shown["pixel_values"][0]))


def chameleon() -> transformers.ChameleonForConditionalGeneration:
    # Codes are not numbered as their ids are, and words lie on both sides of them.
    letters = np.random.default_rng(0).permutation(list("ABCDEFGHIJ"))
    codes = transformers.ChameleonVQVAEConfig(
        base_channels=32,
        channel_multiplier=[1, 1, 1, 1],
        num_res_blocks=1,
        latent_channels=32,
        embed_dim=8,
        num_embeddings=len(letters),
        resolution=32,
    )
    config = transformers.ChameleonConfig(
        **text_fields(num_key_value_heads=4),
        vq_config=codes.to_dict(),
        vocabulary_map={"<image>": 3} | {f"IMGIMG{letter}Z": 60 + i for i, letter in enumerate(letters)},
    )
    return transformers.ChameleonForConditionalGeneration(config)


def chameleon_processor() -> transformers.ChameleonProcessor:
    pictures = transformers.ChameleonImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    named = tokenizer(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>", sep_token="<wrap>")
    return transformers.ChameleonProcessor(pictures, named, image_seq_length=16)


CASES = [
    Case("llava", llava, llava_processor),
    Case("janus", janus, janus_processor, janus_draw),
    # The reference pads a batch of pictures before it encodes them, which changes their codes: both have one size.
    Case("emu3", emu3, emu3_processor, emu3_draw, shapes=((50, 37), (52, 41)), said={"image_area": AREA}),
    Case("chameleon", chameleon, chameleon_processor, ask=followed),
]
