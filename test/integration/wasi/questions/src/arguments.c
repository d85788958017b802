// Arguments, environment, streams and exit.
#include "say.h"

int main(int argc, char **argv) {
  say("arguments", argc);
  for (int i = 0; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
  printf("SET: %s\n", getenv("SET"));
  printf("EMPTY: %s\n", getenv("EMPTY"));
  printf("UNSET: %s\n", getenv("UNSET") == NULL ? "none" : "some");
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) printf("line: %s", line);
  say("end of input", feof(stdin) != 0);
  fprintf(stderr, "to stderr\n");
  exit(43);
}
