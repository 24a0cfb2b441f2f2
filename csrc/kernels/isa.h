// EIGENPAIR_ISA, the namespace of the instruction set that a file is compiled for.
//
// Code compiled for AVX-512 must never be the copy of a function that the linker keeps for everybody. So every header
// named -inl.h is in this namespace and an unnamed one, and uses nothing of the standard library but types.
#pragma once

#ifndef EIGENPAIR_ISA
#define EIGENPAIR_ISA baseline
#endif

#if defined(__AVX__)
#include <immintrin.h>
#endif
