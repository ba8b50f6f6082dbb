"""Published systems that read pictures before a language model, compared with transformers as those of ``families``."""

import re
from functools import partial
from typing import Any

import torch
import transformers
from families import TEXT, Case, asked, text_fields
from tokenizers import processors
from words import tokenizer

from unified_jax.data.document import Image, Text

RESOLUTIONS = [[36, 36], [36, 72], [72, 36], [72, 72], [36, 108]]
QUERIES = 7  # into which the pixels do not divide


def blip2(text: transformers.PreTrainedConfig) -> transformers.Blip2ForConditionalGeneration:
    sizes = dict(hidden_size=32, intermediate_size=48, num_attention_heads=4)
    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(**sizes, num_hidden_layers=2, image_size=40, patch_size=8),
        qformer_config=transformers.Blip2QFormerConfig(**sizes, num_hidden_layers=4),
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=3,
    )
    return transformers.Blip2ForConditionalGeneration(config)


def blip2_opt() -> transformers.Blip2ForConditionalGeneration:
    same = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "bos_token_id", "eos_token_id")
    return blip2(transformers.OPTConfig(**{key: TEXT[key] for key in same}, ffn_dim=48, pad_token_id=0))


def minigpt4() -> transformers.Blip2ForConditionalGeneration:
    return blip2(transformers.LlamaConfig(**text_fields()))


def blip2_processor() -> transformers.Blip2Processor:
    pictures = transformers.BlipImageProcessorPil(size={"height": 40, "width": 40})
    named = tokenizer()
    named.chat_template = None
    begin = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    named.backend_tokenizer.post_processor = begin
    return transformers.Blip2Processor(pictures, named, num_query_tokens=QUERIES)


def prompt(processor: Any, document: list) -> str:
    """The words alone: the processor puts the picture before them."""
    return " ".join(part.text for part in document if isinstance(part, Text) and not part.target)


def in_their_places(processor: Any, document: list) -> dict:
    """Pictures between words, as MiniGPT-4 was trained, which the processor of BLIP-2 does not write."""
    ids = [1]
    for part in document:
        if isinstance(part, Image):
            ids += [3] * QUERIES
        elif not part.target:
            ids += processor.tokenizer(part.text, add_special_tokens=False)["input_ids"]
    pictures = [part.pixels for part in document if isinstance(part, Image)]
    return dict(processor.image_processor(pictures, return_tensors="pt"), input_ids=torch.tensor([ids]))


def fuyu() -> transformers.FuyuForCausalLM:
    options = dict(num_hidden_layers=4, num_key_value_heads=4, partial_rotary_factor=0.5)
    text = transformers.PersimmonConfig(**text_fields(**options))
    place = fuyu_tokenizer().convert_tokens_to_ids("|SPEAKER|")
    return transformers.FuyuForCausalLM(transformers.FuyuConfig(text_config=text, patch_size=8, image_token_id=place))


def fuyu_tokenizer() -> transformers.PreTrainedTokenizerFast:
    named = tokenizer()
    named.chat_template = None
    named.backend_tokenizer.add_special_tokens(["|SPEAKER|", "|NEWLINE|", "<0x04>"])
    return named


class FuyuImageProcessorPil(transformers.FuyuImageProcessorPil):
    """Whose patches are tensors, as its processor expects them to be."""

    def patchify_image(self, image: torch.Tensor, patch_size: Any = None) -> torch.Tensor:
        return torch.from_numpy(super().patchify_image(image=image.numpy(), patch_size=patch_size))


def fuyu_processor() -> transformers.FuyuProcessor:
    pictures = FuyuImageProcessorPil(size={"height": 48, "width": 64}, patch_size={"height": 8, "width": 8})
    return transformers.FuyuProcessor(pictures, fuyu_tokenizer())


def fuyu_inputs(processor: Any, document: list) -> dict:
    """Its processor cuts off what its own tokenizer puts before every text, and that of tests does not."""
    picture, text = document[0].pixels, document[1].text
    options = {"return_legacy_image_output": False, "return_tensors": "pt"}
    found, (rows,) = processor._process_images([picture], **options)
    tokens = re.findall(r"[|]SPEAKER[|]|[|]NEWLINE[|]|<s>", rows)
    ids = processor.tokenizer.convert_tokens_to_ids([*tokens, *text.split(), "<0x04>"])
    return {"input_ids": torch.tensor([ids]), "pixel_values": found["pixel_values"]}


def onevision(aspect: str) -> transformers.LlavaOnevisionForConditionalGeneration:
    vision = transformers.SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=36,  # which leaves pixels behind the last patch
        patch_size=8,
        vision_use_head=False,
    )
    config = transformers.LlavaOnevisionConfig(
        vision_config=vision,
        text_config=transformers.Qwen2Config(**text_fields()),
        image_token_index=3,
        image_grid_pinpoints=RESOLUTIONS,
        vision_aspect_ratio=aspect,
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config)


class OnevisionProcessor(transformers.LlavaOnevisionProcessor):
    """Without its videos, whose own processor needs more packages."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None, aspect: str = ""):
        self.num_image_tokens, self.vision_feature_select_strategy, self.vision_aspect_ratio = 16, "full", aspect
        self.image_token, self.image_token_id, self.video_token, self.video_token_id = "<image>", 3, "<video>", None
        transformers.ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def onevision_processor(aspect: str) -> OnevisionProcessor:
    pictures = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 36, "width": 36}, image_grid_pinpoints=RESOLUTIONS
    )
    named = tokenizer(image_token="<image>")
    return OnevisionProcessor(pictures, named, chat_template=named.chat_template, aspect=aspect)


def together(processor: Any, document: list) -> dict:
    """All pictures are of one conversation."""
    pictures = [part.pixels for part in document if isinstance(part, Image)]
    return dict(processor(text=[asked(processor, document)], images=[pictures], return_tensors="pt"))


def onevision_case(name: str, aspect: str, **fields: Any) -> Case:
    return Case(name, partial(onevision, aspect), partial(onevision_processor, aspect), given=together, **fields)


def qwen2_5_vl() -> transformers.Qwen2_5_VLForConditionalGeneration:
    vision = dict(
        depth=3,
        hidden_size=32,
        intermediate_size=48,
        num_heads=4,
        patch_size=4,
        window_size=16,  # two squares of patches; some windows of these pictures are cut by their borders
        out_hidden_size=32,
        fullatt_block_indexes=[1],
    )
    rope = dict(rope_type="default", rope_theta=3e4, mrope_section=[2, 1, 1])
    config = transformers.Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=text_fields(rope_parameters=rope),
        image_token_id=3,
        vision_start_token_id=4,
        vision_end_token_id=5,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


class QwenProcessor(transformers.Qwen2_5_VLProcessor):
    """Without its videos, whose own processor needs more packages."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None):
        self.image_token, self.image_token_id, self.video_token, self.video_token_id = "<image>", 3, "<video>", None
        transformers.ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def qwen_processor() -> QwenProcessor:
    size = {"shortest_edge": 2400, "longest_edge": 4096}  # one of the pictures is made larger
    pictures = transformers.Qwen2VLImageProcessorPil(size=size, patch_size=4)
    named = tokenizer(image_token="<image>")
    return QwenProcessor(pictures, named, named.chat_template.replace("<image>", "<boi><image><eoi>"))


CASES = [
    Case("blip2-opt", blip2_opt, blip2_processor, ask=prompt, order=(None, 530)),
    Case("minigpt4", minigpt4, blip2_processor, given=in_their_places),
    # It reads one picture, before the text; this one is larger than its processor lets through.
    Case("fuyu", fuyu, fuyu_processor, given=fuyu_inputs, shapes=((75, 53),), order=(None, 530)),
    # Alone it is seen in four tiles, made smaller to two tiles' patches.
    onevision_case("llava-onevision", "anyres_max_2", shapes=((75, 53),), order=(250, None, 260)),
    onevision_case("llava-onevision-several", "anyres_max_9"),
    Case("qwen2.5-vl", qwen2_5_vl, qwen_processor, given=together),
]
