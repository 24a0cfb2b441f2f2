"""Eigensolver for small Hermitian matrices by element-wise operations, compiled by XLA for every platform."""
