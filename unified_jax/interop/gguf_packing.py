"""How GGUF stores numbers: blocks of small codes with scales, unpacked by whole arrays.

    Q4_0, Q5_0, Q8_0     scale * (code - middle)                               32 numbers a block
    Q4_1, Q5_1           scale * code + least                                  32
    Q3_K, Q6_K           scale * scale_g * (code - middle)                     256 in groups g of 16
    Q2_K, Q4_K, Q5_K     scale * scale_g * code - least * least_g              256 in groups of 16; 32; 32

Block formats: ggml-common.h of github.com/ggml-org/ggml.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Float, Shaped


@dataclass(frozen=True)
class Packing:
    """Blocks of ``size`` numbers, each a record of dtype ``block``, unpacked to [blocks size]."""

    name: str
    size: int
    block: np.dtype
    unpack: Callable[[np.ndarray], Float[np.ndarray, "blocks size"]]


def planes(codes: Shaped[np.ndarray, "blocks *n m"], bits: int) -> Shaped[np.ndarray, "blocks *n planes m"]:
    """Codes of so few bits: the lowest of every byte first, then the next of every byte, and so on."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return codes[..., None, :] >> shifts[:, None] & np.uint8(2**bits - 1)


def _number(blocks: np.ndarray, field: str) -> np.ndarray:
    return blocks[field].astype(np.float32)[:, None]


def _codes(blocks: np.ndarray) -> np.ndarray:
    """Four bits of each code [n 32], and a fifth where the block has one."""
    codes = planes(blocks["codes"], 4).reshape(len(blocks), -1)
    if "fifth" not in blocks.dtype.names:
        return codes
    return codes | np.unpackbits(blocks["fifth"], axis=-1, bitorder="little") << 4


def _centred(middle: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda blocks: _number(blocks, "scale") * (_codes(blocks).astype(np.float32) - middle)


def _from_least(blocks: np.ndarray) -> np.ndarray:
    return _number(blocks, "scale") * _codes(blocks) + _number(blocks, "least")


def _bytes(blocks: np.ndarray) -> np.ndarray:
    return _number(blocks, "scale") * blocks["codes"].astype(np.float32)


def _grouped(scale: np.ndarray, codes: np.ndarray, least: np.ndarray | float = 0.0) -> np.ndarray:
    """scale, least [n groups], codes [n ...] -> [n 256]."""
    groups = codes.reshape(*scale.shape, -1).astype(np.float32)
    least = np.broadcast_to(np.float32(least), scale.shape)
    return (scale[..., None] * groups - least[..., None]).reshape(len(scale), -1)


def _two_bits(codes: np.ndarray) -> np.ndarray:
    """uint8 [n 64] -> [n 256]: each half of the bytes has a half of the codes."""
    return planes(codes.reshape(len(codes), 2, 32), 2).reshape(len(codes), -1)


def _q2_k(blocks: np.ndarray) -> np.ndarray:
    scales, leasts = np.moveaxis(planes(blocks["scales"], 4), 1, 0)
    scales, leasts = _number(blocks, "scale") * scales, _number(blocks, "least") * leasts
    return _grouped(scales, _two_bits(blocks["codes"]), leasts)


def _q3_k(blocks: np.ndarray) -> np.ndarray:
    n = len(blocks)
    low, high = planes(blocks["scales"][:, :8], 4), planes(blocks["scales"][:, 8:], 2)
    scales = (low.reshape(n, 16) | high.reshape(n, 16) << 4).astype(np.float32) - 32
    third = planes(blocks["third"], 1).reshape(n, -1)
    codes = (_two_bits(blocks["codes"]) | third << 2).astype(np.float32) - 4
    return _grouped(_number(blocks, "scale") * scales, codes)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    return _with_leasts(blocks, _by_nibbles(blocks["codes"], 32))


def _q5_k(blocks: np.ndarray) -> np.ndarray:
    fifth = planes(blocks["fifth"], 1).reshape(len(blocks), -1)
    return _with_leasts(blocks, _by_nibbles(blocks["codes"], 32) | fifth << 4)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    codes = _by_nibbles(blocks["codes"], 64) | _two_bits(blocks["high"]) << 4
    return _grouped(_number(blocks, "scale") * blocks["scales"].astype(np.float32), codes.astype(np.float32) - 32)


def _by_nibbles(codes: np.ndarray, run: int) -> np.ndarray:
    """uint8 [n 128] -> [n 256]: of every ``run`` bytes the low four bits, then the high ones."""
    return planes(codes.reshape(len(codes), -1, run), 4).reshape(len(codes), -1)


def _with_leasts(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Eight groups whose scales and leasts have six bits each, in twelve bytes: of the first four groups whole, and of
    the last four in nibbles, with their two highest bits above those of the first.
    """
    scales, leasts, nibbles = np.moveaxis(blocks["scales"].reshape(-1, 3, 4), 1, 0)
    low, high = np.moveaxis(planes(nibbles, 4), 1, 0)
    six = lambda whole, nibble: np.concatenate([whole & 63, nibble | whole >> 6 << 4], -1)
    scales, leasts = _number(blocks, "scale") * six(scales, low), _number(blocks, "least") * six(leasts, high)
    return _grouped(scales, codes, leasts)


def _block(**fields: tuple[str, int] | str) -> np.dtype:
    return np.dtype([(name, *(field if isinstance(field, tuple) else (field,))) for name, field in fields.items()])


def _plain(name: str, dtype: Any) -> Packing:
    return Packing(name, 1, np.dtype(dtype), lambda blocks: blocks.astype(np.float32)[:, None])


HALF, CODES = "<f2", ("u1", 16)
Q4_0, Q4_1 = _block(scale=HALF, codes=CODES), _block(scale=HALF, least=HALF, codes=CODES)
Q5_0 = _block(scale=HALF, fifth=("u1", 4), codes=CODES)
Q5_1 = _block(scale=HALF, least=HALF, fifth=("u1", 4), codes=CODES)
Q8_0 = _block(scale=HALF, codes=("i1", 32))
Q2_K = _block(scales=("u1", 16), codes=("u1", 64), scale=HALF, least=HALF)
Q3_K = _block(third=("u1", 32), codes=("u1", 64), scales=("u1", 12), scale=HALF)
Q4_K = _block(scale=HALF, least=HALF, scales=("u1", 12), codes=("u1", 128))
Q5_K = _block(scale=HALF, least=HALF, scales=("u1", 12), fifth=("u1", 32), codes=("u1", 128))
Q6_K = _block(codes=("u1", 128), high=("u1", 64), scales=("i1", 16), scale=HALF)

# By the number that a file gives the type of a tensor.
PACKINGS: Mapping[int, Packing] = {
    0: _plain("F32", "<f4"),
    1: _plain("F16", "<f2"),
    2: Packing("Q4_0", 32, Q4_0, _centred(8)),
    3: Packing("Q4_1", 32, Q4_1, _from_least),
    6: Packing("Q5_0", 32, Q5_0, _centred(16)),
    7: Packing("Q5_1", 32, Q5_1, _from_least),
    8: Packing("Q8_0", 32, Q8_0, _bytes),
    10: Packing("Q2_K", 256, Q2_K, _q2_k),
    11: Packing("Q3_K", 256, Q3_K, _q3_k),
    12: Packing("Q4_K", 256, Q4_K, _q4_k),
    13: Packing("Q5_K", 256, Q5_K, _q5_k),
    14: Packing("Q6_K", 256, Q6_K, _q6_k),
    30: _plain("BF16", jnp.bfloat16),
}
