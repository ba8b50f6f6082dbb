"""Shapes: procedural pictures of coloured shapes on a grid, with captions, questions and edits; exact and endless."""

from unified_jax.data.sources.shapes.edits import Edit as Edit
from unified_jax.data.sources.shapes.edits import edit as edit
from unified_jax.data.sources.shapes.language import caption as caption
from unified_jax.data.sources.shapes.language import parse_caption as parse_caption
from unified_jax.data.sources.shapes.language import place_name as place_name
from unified_jax.data.sources.shapes.questions import Question as Question
from unified_jax.data.sources.shapes.questions import question as question
from unified_jax.data.sources.shapes.rendering import render as render
from unified_jax.data.sources.shapes.scene import COLOURS as COLOURS
from unified_jax.data.sources.shapes.scene import SHAPES as SHAPES
from unified_jax.data.sources.shapes.scene import SIZES as SIZES
from unified_jax.data.sources.shapes.scene import Scene as Scene
from unified_jax.data.sources.shapes.scene import Thing as Thing
from unified_jax.data.sources.shapes.scene import World as World
from unified_jax.data.sources.shapes.source import Shapes as Shapes
from unified_jax.data.sources.shapes.split import Combinations as Combinations
from unified_jax.data.sources.shapes.split import combinations as combinations
