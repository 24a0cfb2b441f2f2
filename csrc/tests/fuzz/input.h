/* The fuzzer's bytes, read as choices and numbers. Bytes beyond the end read as zero. */
#ifndef EIGENPAIR_TESTS_FUZZ_INPUT_H
#define EIGENPAIR_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  const uint8_t* data;
  size_t size;
} input;

/* 0 to count - 1. */
int choose(input* in, int count);

/* One of the codes 0 to count - 1, or, rarely, another number: then `*valid` becomes 0. */
int32_t code(input* in, int count, int* valid);

/* A number for fuzzing: small integers, powers of two, extremes, sometimes random bits. */
double number(input* in);

/* Bytes of one number, and whether it is complex or single. */
size_t bytes_of(int32_t dtype);
size_t real_bytes_of(int32_t dtype);

/* `count` numbers of a dtype, in memory that is exactly as large; NULL for 0. The caller frees it. */
void* numbers(input* in, int32_t dtype, int64_t count);

/* Memory for as many, exactly, filled with a pattern. */
void* room(size_t bytes);

#endif
