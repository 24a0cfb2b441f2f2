// Defines EIGENPAIR_ISA, the namespace for the instruction set that a file is compiled for.
//
// Of an inline function that is compiled several times, the linker keeps one copy. That must not be the copy for
// AVX-512. So all code of headers named -inl.h is in this namespace and an unnamed one, and it uses only types of the
// standard library.
#pragma once

#ifndef EIGENPAIR_ISA
#define EIGENPAIR_ISA baseline
#endif

#if defined(__AVX__)
#include <immintrin.h>
#endif
