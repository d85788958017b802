// extsort IN OUT [MEMORY_MIB=4]
// extsort make MIB OUT [SEED=1]
//
// Sorts a file of records of 16 bytes by their bytes, however large it is, with MEMORY_MIB of memory: sorted runs in
// /tmp, which are then merged. `make` writes a file of MIB MiB of records in no order. Prints how many records and runs
// there were, and a checksum of the records that does not depend on their order.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD = 16, BLOCK = 4096, MAX_RUNS = 1024 };

typedef struct {
  unsigned char bytes[RECORD];
} record;

struct run {
  FILE *file;
  record head;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static FILE *opened(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  if (file == NULL) fail(path);
  setvbuf(file, NULL, _IOFBF, BLOCK * RECORD);
  return file;
}

static void closed(FILE *file, const char *path) {
  if (fclose(file) != 0) fail(path);
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, RECORD); }

// A sum of hashes: the same for the same records in any order.
static uint64_t hash(const record *one) {
  uint64_t words[2];
  memcpy(words, one, RECORD);
  uint64_t x = words[0] * 0x9e3779b97f4a7c15u ^ words[1];
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static int make(long mib, const char *path, uint64_t seed) {
  FILE *out = opened(path, "wb");
  uint64_t sum = 0;
  long count = mib * (1024 * 1024 / RECORD);
  for (long i = 0; i < count; i++) {
    uint64_t words[2];
    for (int k = 0; k < 2; k++) {
      seed ^= seed << 13;
      seed ^= seed >> 7;
      seed ^= seed << 17;
      words[k] = seed;
    }
    record one;
    memcpy(&one, words, RECORD);
    sum += hash(&one);
    if (fwrite(&one, RECORD, 1, out) != 1) fail(path);
  }
  closed(out, path);
  printf("%ld records made, checksum %016llx\n", count, (unsigned long long)sum);
  return 0;
}

static void name_of(char *name, size_t size, int run) { snprintf(name, size, "/tmp/run-%d", run); }

static int next(struct run *run) { return fread(&run->head, RECORD, 1, run->file) == 1; }

// The run with the least head goes to the top of the heap.
static void sift(struct run **heap, int count, int at) {
  for (int child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && by_bytes(&heap[child + 1]->head, &heap[child]->head) < 0) child++;
    if (by_bytes(&heap[at]->head, &heap[child]->head) <= 0) return;
    struct run *moved = heap[at];
    heap[at] = heap[child];
    heap[child] = moved;
  }
}

static void merge(int runs, const char *path, long *count, uint64_t *sum) {
  struct run *all = calloc((size_t)runs + 1, sizeof *all);
  struct run **heap = calloc((size_t)runs + 1, sizeof *heap);
  if (all == NULL || heap == NULL) fail("memory");
  char name[32];
  int left = 0;
  for (int i = 0; i < runs; i++) {
    name_of(name, sizeof name, i);
    all[i].file = opened(name, "rb");
    if (next(&all[i])) heap[left++] = &all[i];
  }
  for (int i = left / 2 - 1; i >= 0; i--) sift(heap, left, i);
  FILE *out = opened(path, "wb");
  while (left > 0) {
    if (fwrite(&heap[0]->head, RECORD, 1, out) != 1) fail(path);
    *sum += hash(&heap[0]->head);
    ++*count;
    if (!next(heap[0])) heap[0] = heap[--left];
    sift(heap, left, 0);
  }
  closed(out, path);
  for (int i = 0; i < runs; i++) {
    name_of(name, sizeof name, i);
    closed(all[i].file, name);
    if (unlink(name) != 0) fail(name);
  }
}

static int sort(const char *in, const char *out, size_t memory) {
  FILE *file = opened(in, "rb");
  record *records = malloc(memory);
  if (records == NULL) fail("memory");
  int runs = 0;
  char name[32];
  for (;; runs++) {
    size_t count = fread(records, RECORD, memory / RECORD, file);
    if (count == 0) break;
    if (runs == MAX_RUNS) {
      fprintf(stderr, "%s makes more than %d runs: give it more memory\n", in, MAX_RUNS);
      return 1;
    }
    qsort(records, count, RECORD, by_bytes);
    name_of(name, sizeof name, runs);
    FILE *run = opened(name, "wb");
    if (fwrite(records, RECORD, count, run) != count) fail(name);
    closed(run, name);
  }
  if (ferror(file)) fail(in);
  closed(file, in);
  free(records);
  long count = 0;
  uint64_t sum = 0;
  merge(runs, out, &count, &sum);
  printf("%ld records sorted in %d runs, checksum %016llx\n", count, runs, (unsigned long long)sum);
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 4 && strcmp(argv[1], "make") == 0)
    return make(atol(argv[2]), argv[3], argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: extsort IN OUT [MEMORY_MIB=4]\n       extsort make MIB OUT [SEED=1]\n");
    return 2;
  }
  long mib = argc > 3 ? atol(argv[3]) : 4;
  if (mib < 1 || mib > 1024) {
    fprintf(stderr, "MEMORY_MIB is 1 to 1024\n");
    return 2;
  }
  return sort(argv[1], argv[2], (size_t)mib << 20);
}
