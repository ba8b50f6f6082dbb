"""Guidance: the condition followed more closely than the network does by itself."""

from unified_jax.sampling.guidance.classifier_free import ClassifierFree, guide

__all__ = ["ClassifierFree", "guide"]
