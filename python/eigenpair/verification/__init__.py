"""Gradients of a user's own loss, compared with finite differences."""

from .check_grads import GradientCheck, InputCheck, check_grads

__all__ = ["GradientCheck", "InputCheck", "check_grads"]
