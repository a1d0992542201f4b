"""Experiments: who sees which variant, and what that comes to."""
