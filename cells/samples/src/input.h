// What every sample needs of the outside: its arguments and the whole of a file. Failing ends the program with
// code 2 (wrong use) or 1 (wrong input), and one line on stderr that says why.
#ifndef SAMPLES_INPUT_H
#define SAMPLES_INPUT_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, format(printf, 2, 3))) static inline void fail(int code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  exit(code);
}

// Memory that is there, or the end of the program.
static inline void *allocate(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (memory == NULL) fail(1, "out of memory: %zu bytes wanted", bytes);
  return memory;
}

// The whole number in argument `index`, or `otherwise` when there is no such argument.
static inline long number_argument(int argc, char **argv, int index, long least, long most, long otherwise) {
  if (index >= argc) return otherwise;
  char *end;
  errno = 0;
  long value = strtol(argv[index], &end, 10);
  if (errno != 0 || *end != '\0' || end == argv[index] || value < least || value > most)
    fail(2, "%s: '%s' is not a whole number from %ld to %ld", argv[0], argv[index], least, most);
  return value;
}

// The bytes of the file at `path`, followed by one NUL that `*size` does not count.
static inline unsigned char *read_whole(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(1, "cannot read %s: %s", path, strerror(errno));
  size_t capacity = 65536, used = 0;
  unsigned char *bytes = allocate(capacity + 1);
  for (;;) {
    size_t got = fread(bytes + used, 1, capacity - used, file);
    used += got;
    if (got == 0) break;
    if (used == capacity) {
      capacity *= 2;
      bytes = realloc(bytes, capacity + 1);
      if (bytes == NULL) fail(1, "out of memory: %s is too big", path);
    }
  }
  if (ferror(file)) fail(1, "cannot read %s: %s", path, strerror(errno));
  fclose(file);
  bytes[used] = '\0';
  *size = used;
  return bytes;
}

static inline FILE *create(const char *path) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) fail(1, "cannot write %s: %s", path, strerror(errno));
  return file;
}

static inline void finish(FILE *file, const char *path) {
  int failed = ferror(file);
  if (fclose(file) != 0 || failed) fail(1, "cannot write %s: %s", path, strerror(errno));
}

#endif
