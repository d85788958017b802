// sleeper [LINES=10] [MILLISECONDS=500]
//
// Prints `line 1`, `line 2`, ... and sleeps between them: a program that spends its life blocked.
#include <time.h>

#include "input.h"

int main(int argc, char **argv) {
  long lines = number_argument(argc, argv, 1, 1, 1000000, 10);
  long ms = number_argument(argc, argv, 2, 0, 3600000, 500);
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  for (long line = 1; line <= lines; line++) {
    printf("line %ld\n", line);
    fflush(stdout);
    if (line < lines) nanosleep(&pause, NULL);
  }
  return 0;
}
