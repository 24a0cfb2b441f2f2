/* The highest rate of multiplications and additions of this processor: enough independent chains to fill its pipelines,
 * and no memory access. */
typedef double lanes __attribute__((vector_size(64)));
enum { CHAINS = 24 };

/* Operations done. */
double rate_run(long rounds, double* sink) {
  lanes x[CHAINS], factor, term;
  for (int k = 0; k < 8; ++k) {
    factor[k] = 0.999999;
    term[k] = 1e-6;
  }
  for (int c = 0; c < CHAINS; ++c) x[c] = term * (double)c;
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int c = 0; c < CHAINS; ++c) x[c] = x[c] * factor + term;
  }
  for (int c = 0; c < CHAINS; ++c) *sink += x[c][0] + x[c][7];
  return 2.0 * 8 * CHAINS * (double)rounds;
}
