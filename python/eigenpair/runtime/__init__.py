"""What every room uses: the native library, arguments and their errors, engines, and primitives with derivatives."""
