// queens [SIZE=9] [ROUNDS=1]
//
// Counts, by recursion, the ways to place SIZE queens on a SIZE x SIZE board so that none attacks another, ROUNDS times
// over, and prints the count.
#include "input.h"

// Each mask has a bit for every column that is attacked in this row: straight down, and along both diagonals.
static long place(unsigned all, unsigned columns, unsigned left, unsigned right) {
  if (columns == all) return 1;
  long found = 0;
  for (unsigned open = all & ~(columns | left | right); open != 0; open &= open - 1) {
    unsigned queen = open & -open;
    found += place(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
  }
  return found;
}

int main(int argc, char **argv) {
  long size = number_argument(argc, argv, 1, 1, 18, 9);
  long rounds = number_argument(argc, argv, 2, 1, 1000000, 1);
  // Read anew in each round, so that the compiler cannot count once for all of them.
  volatile unsigned all = (1u << size) - 1;
  long found = 0;
  for (long round = 0; round < rounds; round++) found = place(all, 0, 0, 0);
  printf("%ld queens: %ld ways\n", size, found);
  return 0;
}
