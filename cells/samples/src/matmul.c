// matmul [SIZE=128] [ROUNDS=1]
//
// Multiplies a SIZE x SIZE matrix of doubles by itself, ROUNDS times over, scaled so that it stays small. Prints the
// trace and the sum of the result.
#include "input.h"

int main(int argc, char **argv) {
  long n = number_argument(argc, argv, 1, 1, 4096, 128);
  long rounds = number_argument(argc, argv, 2, 1, 1000000, 1);
  size_t bytes = (size_t)n * (size_t)n * sizeof(double);
  double *a = allocate(bytes), *b = allocate(bytes), *c = allocate(bytes);
  for (long i = 0; i < n * n; i++) a[i] = b[i] = (double)(i * 7919 % 1009) / 1009.0 - 0.5;
  for (long round = 0; round < rounds; round++) {
    memset(c, 0, bytes);
    for (long i = 0; i < n; i++)
      for (long k = 0; k < n; k++) {
        double factor = a[i * n + k];
        for (long j = 0; j < n; j++) c[i * n + j] += factor * b[k * n + j];
      }
    for (long i = 0; i < n * n; i++) a[i] = c[i] / (double)n;
  }
  double trace = 0, sum = 0;
  for (long i = 0; i < n; i++) trace += a[i * n + i];
  for (long i = 0; i < n * n; i++) sum += a[i];
  printf("%ld x %ld, %ld rounds: trace %.12g, sum %.12g\n", n, n, rounds, trace, sum);
  return 0;
}
