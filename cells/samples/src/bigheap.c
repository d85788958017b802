// Fills a large heap with noise, then writes to a small part of it over and over: what a live move has to cope with.
// usage: bigheap HEAP_MIB HOT_KIB SECONDS [ROUNDS [BITS]]
// BITS of each 64-bit word are noise at first (default: all), so that the heap compresses or does not.
// Ends after SECONDS or ROUNDS; prints the number of rounds and a checksum of the heap, which depends on that alone.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t noise(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: bigheap HEAP_MIB HOT_KIB SECONDS [ROUNDS [BITS]]\n");
    return 2;
  }
  const size_t words = (size_t)strtoul(argv[1], NULL, 10) << 17;
  const size_t hot = (size_t)strtoul(argv[2], NULL, 10) << 7;
  const double until = seconds() + strtod(argv[3], NULL);
  const unsigned long most = argc > 4 ? strtoul(argv[4], NULL, 10) : (unsigned long)-1;
  const unsigned long bits = argc > 5 ? strtoul(argv[5], NULL, 10) : 64;
  const uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : (uint64_t)-1;
  uint64_t *heap = malloc(words * sizeof *heap);
  if (heap == NULL || hot == 0 || hot > words) {
    fprintf(stderr, "bigheap: no memory for %s MiB, or the hot part does not fit into it\n", argv[1]);
    return 1;
  }
  uint64_t state = 88172645463325252u;
  for (size_t i = 0; i < words; i++) heap[i] = noise(&state) & mask;
  printf("filled\n");
  fflush(stdout);
  unsigned long rounds = 0;
  uint64_t *const part = heap + (words - hot) / 2;
  do {
    for (size_t i = 0; i < hot; i++) part[i] += noise(&state) ^ part[(i * 31) % hot];
    rounds++;
  } while (rounds < most && seconds() < until);
  uint64_t sum = 0;
  for (size_t i = 0; i < words; i++) sum = (sum ^ heap[i]) * 1099511628211u;
  printf("%lu %016llx\n", rounds, (unsigned long long)sum);
  return 0;
}
