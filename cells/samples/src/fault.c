// fault MODE [ARGUMENT]
//
// Misbehaves on request, to try the limits of whatever runs it:
//   trap            executes `unreachable`
//   divide          divides by zero
//   pointer         reads beyond the end of memory
//   oom             allocates and touches memory until malloc fails, says how much it got, and ends with code 3
//   spin            loops for ever
//   flood           writes lines to stdout for ever
//   fill [PATH]     writes to a file until that fails, says how much it wrote and why it ended, and ends with code 4
//   recurse         calls itself for ever
//   abort           calls abort()
//   exit CODE       ends with CODE
#include "input.h"

#define PIECE 65536

static volatile long depth;
// Written so that the compiler cannot leave the allocation out.
static char *volatile last;

// Not a tail call: the sum needs what the inner call returns.
__attribute__((noinline)) static long recurse(long n) {
  depth = n;
  return depth < 0 ? n : n + recurse(n + 1) % 3;
}

static int exhaust_memory(void) {
  size_t got = 0;
  for (char *piece; (piece = malloc(PIECE)) != NULL; got += PIECE) {
    memset(piece, 1, PIECE);
    last = piece;
  }
  printf("out of memory after %zu KiB\n", got / 1024);
  return 3;
}

static int fill_disk(const char *path) {
  static char piece[PIECE];
  memset(piece, 'x', PIECE);
  FILE *file = create(path);
  size_t written = 0, got;
  setvbuf(file, NULL, _IONBF, 0);
  while ((got = fwrite(piece, 1, PIECE, file)) > 0) {
    written += got;
    if (got < PIECE) break;
  }
  printf("%zu bytes written, then: %s\n", written, strerror(errno));
  return 4;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "trap") == 0) __builtin_trap();
  if (strcmp(mode, "divide") == 0) return 7 / (int)depth;
  if (strcmp(mode, "pointer") == 0) return *(volatile char *)0xfffffff0u;
  if (strcmp(mode, "oom") == 0) return exhaust_memory();
  if (strcmp(mode, "spin") == 0)
    for (;;) depth++;
  if (strcmp(mode, "flood") == 0)
    for (;;) printf("line %ld of a flood that never ends\n", ++depth);
  if (strcmp(mode, "fill") == 0) return fill_disk(argc > 2 ? argv[2] : "/tmp/fill");
  if (strcmp(mode, "recurse") == 0) return (int)recurse(1);
  if (strcmp(mode, "abort") == 0) abort();
  if (strcmp(mode, "exit") == 0) return (int)number_argument(argc, argv, 2, 0, 125, 0);
  fail(2, "usage: fault trap|divide|pointer|oom|spin|flood|fill [PATH]|recurse|abort|exit CODE");
}
