// kernels NAME [SIZE=64] [ROUNDS=1]
//
// Loop nests of linear algebra, stencils, graphs and statistics over doubles, in the manner of PolyBench: each is a
// function of its own that runs ROUNDS times over the same matrices. Prints a weighted sum of everything it changed.
#include <math.h>

#include "input.h"

// Three matrices and three vectors; what a kernel does not need it leaves alone.
typedef struct {
  long n;
  double *a, *b, *c, *x, *y, *z;
} Data;

#define AT(m, i, j) d->m[(i) * n + (j)]

static void gemm(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++) {
    for (long j = 0; j < n; j++) AT(c, i, j) *= 0.5;
    for (long k = 0; k < n; k++)
      for (long j = 0; j < n; j++) AT(c, i, j) += 0.25 * AT(a, i, k) * AT(b, k, j);
  }
}

// The dot-product order: strided reads of the second matrix.
static void two_products(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++)
    for (long j = 0; j < n; j++) {
      double sum = 0;
      for (long k = 0; k < n; k++) sum += AT(a, i, k) * AT(b, k, j);
      AT(c, i, j) = sum / (double)n;
    }
  for (long i = 0; i < n; i++)
    for (long j = 0; j < n; j++) {
      double sum = 0.5 * AT(b, i, j);
      for (long k = 0; k < n; k++) sum += 0.1 * AT(c, i, k) * AT(a, k, j);
      AT(b, i, j) = sum / (1 + fabs(sum));
    }
}

static void atax(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++) d->y[i] = 0;
  for (long i = 0; i < n; i++) {
    double sum = 0;
    for (long j = 0; j < n; j++) sum += AT(a, i, j) * d->x[j];
    for (long j = 0; j < n; j++) d->y[j] += AT(a, i, j) * sum;
  }
}

static void bicg(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++) d->y[i] = 0;
  for (long i = 0; i < n; i++) {
    d->z[i] = 0;
    for (long j = 0; j < n; j++) {
      d->y[j] += d->x[i] * AT(a, i, j);
      d->z[i] += AT(a, i, j) * d->x[j];
    }
  }
}

static void jacobi(Data *d) {
  long n = d->n;
  for (int half = 0; half < 2; half++) {
    const double *from = half ? d->b : d->a;
    double *to = half ? d->a : d->b;
    for (long i = 1; i < n - 1; i++)
      for (long j = 1; j < n - 1; j++)
        to[i * n + j] = 0.2 * (from[i * n + j] + from[i * n + j - 1] + from[i * n + j + 1] + from[(i + 1) * n + j] +
                               from[(i - 1) * n + j]);
  }
}

static void seidel(Data *d) {
  long n = d->n;
  for (long i = 1; i < n - 1; i++)
    for (long j = 1; j < n - 1; j++)
      AT(a, i, j) = (AT(a, i - 1, j - 1) + AT(a, i - 1, j) + AT(a, i - 1, j + 1) + AT(a, i, j - 1) + AT(a, i, j) +
                     AT(a, i, j + 1) + AT(a, i + 1, j - 1) + AT(a, i + 1, j) + AT(a, i + 1, j + 1)) /
                    9.0;
}

// Of a copy that its diagonal dominates, so that no pivot is small.
static void lu(Data *d) {
  long n = d->n;
  memcpy(d->c, d->a, (size_t)(n * n) * sizeof(double));
  for (long i = 0; i < n; i++) AT(c, i, i) += (double)n;
  for (long i = 0; i < n; i++) {
    for (long j = 0; j < i; j++) {
      for (long k = 0; k < j; k++) AT(c, i, j) -= AT(c, i, k) * AT(c, k, j);
      AT(c, i, j) /= AT(c, j, j);
    }
    for (long j = i; j < n; j++)
      for (long k = 0; k < i; k++) AT(c, i, j) -= AT(c, i, k) * AT(c, k, j);
  }
}

static void cholesky(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++)
    for (long j = 0; j < n; j++) AT(c, i, j) = i == j ? (double)n : 0.5 * (AT(a, i, j) + AT(a, j, i));
  for (long i = 0; i < n; i++) {
    for (long j = 0; j < i; j++) {
      for (long k = 0; k < j; k++) AT(c, i, j) -= AT(c, i, k) * AT(c, j, k);
      AT(c, i, j) /= AT(c, j, j);
    }
    for (long k = 0; k < i; k++) AT(c, i, i) -= AT(c, i, k) * AT(c, i, k);
    AT(c, i, i) = sqrt(AT(c, i, i));
  }
}

static void floyd_warshall(Data *d) {
  long n = d->n;
  for (long k = 0; k < n; k++)
    for (long i = 0; i < n; i++)
      for (long j = 0; j < n; j++) {
        double through = AT(b, i, k) + AT(b, k, j) + 1.0;
        if (through < AT(b, i, j)) AT(b, i, j) = through;
      }
}

static void durbin(Data *d) {
  long n = d->n;
  double alpha = -d->x[0] * 0.1, beta = 1;
  d->y[0] = alpha;
  for (long k = 1; k < n; k++) {
    beta = (1 - alpha * alpha) * beta;
    double sum = 0;
    for (long i = 0; i < k; i++) sum += 0.1 * d->x[k - i - 1] * d->y[i];
    alpha = -(0.1 * d->x[k] + sum) / beta / (double)n;
    for (long i = 0; i < k; i++) d->z[i] = d->y[i] + alpha * d->y[k - i - 1];
    for (long i = 0; i < k; i++) d->y[i] = d->z[i];
    d->y[k] = alpha;
  }
}

static void correlation(Data *d) {
  long n = d->n;
  for (long j = 0; j < n; j++) {
    double mean = 0, square = 0;
    for (long i = 0; i < n; i++) mean += AT(a, i, j);
    mean /= (double)n;
    for (long i = 0; i < n; i++) square += (AT(a, i, j) - mean) * (AT(a, i, j) - mean);
    double deviation = sqrt(square / (double)n);
    for (long i = 0; i < n; i++) AT(b, i, j) = (AT(a, i, j) - mean) / (deviation <= 0.1 ? 1 : deviation);
  }
  for (long i = 0; i < n; i++)
    for (long j = i; j < n; j++) {
      double sum = 0;
      for (long k = 0; k < n; k++) sum += AT(b, k, i) * AT(b, k, j);
      AT(c, i, j) = AT(c, j, i) = sum / (double)n;
    }
}

static void triangular_solve(Data *d) {
  long n = d->n;
  for (long i = 0; i < n; i++) {
    double sum = d->x[i];
    for (long j = 0; j < i; j++) sum -= AT(a, i, j) * d->y[j] / (double)n;
    d->y[i] = sum / (2 + fabs(AT(a, i, i)));
  }
}

static const struct {
  const char *name;
  void (*run)(Data *);
} KERNELS[] = {
    {"gemm", gemm},         {"2mm", two_products},         {"atax", atax},     {"bicg", bicg},
    {"jacobi-2d", jacobi},  {"seidel-2d", seidel},         {"lu", lu},         {"cholesky", cholesky},
    {"floyd", floyd_warshall}, {"durbin", durbin},         {"correlation", correlation},
    {"trisolv", triangular_solve},
};
#define COUNT (sizeof KERNELS / sizeof *KERNELS)

// Numbers in [-0.5, 0.5) that repeat after 1009.
static double *numbers(long count, long step) {
  double *out = allocate((size_t)count * sizeof(double));
  for (long i = 0; i < count; i++) out[i] = (double)(i * step % 1009) / 1009.0 - 0.5;
  return out;
}

static double weighted(const double *values, long count) {
  double sum = 0;
  for (long i = 0; i < count; i++) sum += values[i] * (double)(i % 17 + 1);
  return sum;
}

int main(int argc, char **argv) {
  if (argc < 2) fail(2, "usage: kernels NAME [SIZE=64] [ROUNDS=1]");
  size_t chosen = 0;
  while (chosen < COUNT && strcmp(KERNELS[chosen].name, argv[1]) != 0) chosen++;
  if (chosen == COUNT) fail(2, "no kernel is called %s", argv[1]);
  long n = number_argument(argc, argv, 2, 3, 2048, 64);
  long rounds = number_argument(argc, argv, 3, 1, 1000000, 1);
  Data d = {n,           numbers(n * n, 7919), numbers(n * n, 104729), numbers(n * n, 1299709), numbers(n, 31),
            numbers(n, 37), numbers(n, 41)};
  for (long round = 0; round < rounds; round++) KERNELS[chosen].run(&d);
  printf("%s %ld, %ld rounds: %.9g %.9g %.9g %.9g %.9g\n", argv[1], n, rounds, weighted(d.a, n * n),
         weighted(d.b, n * n), weighted(d.c, n * n), weighted(d.y, n), weighted(d.z, n));
  return 0;
}
