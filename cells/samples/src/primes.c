// primes [LIMIT=1000000] [ROUNDS=1]
//
// Sieve of Eratosthenes over the odd numbers up to LIMIT, ROUNDS times over. Prints how many primes there are and the
// greatest of them.
#include "input.h"

int main(int argc, char **argv) {
  long limit = number_argument(argc, argv, 1, 3, 1000000000, 1000000);
  long rounds = number_argument(argc, argv, 2, 1, 1000000, 1);
  size_t odds = (size_t)(limit - 1) / 2;
  // composite[i] is about 2i + 3.
  unsigned char *composite = allocate(odds);
  long count = 0, greatest = 2;
  for (long round = 0; round < rounds; round++) {
    memset(composite, 0, odds);
    count = 1;
    for (size_t i = 0; i < odds; i++) {
      if (composite[i]) continue;
      unsigned long long prime = 2 * (unsigned long long)i + 3;
      count++;
      greatest = (long)prime;
      for (unsigned long long k = (prime * prime - 3) / 2; k < odds; k += prime) composite[k] = 1;
    }
  }
  printf("%ld primes up to %ld, the greatest is %ld\n", count, limit, greatest);
  return 0;
}
