"""Code that all subpackages use: the native library, argument checks, engines, and primitives with derivatives."""
