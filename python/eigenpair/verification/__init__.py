"""Comparison of the gradients of a user's loss with finite differences."""

from .check_grads import GradientCheck, InputCheck, check_grads

__all__ = ["GradientCheck", "InputCheck", "check_grads"]
