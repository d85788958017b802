// kvstore OPERATIONS.txt RESULTS.txt [ROUNDS=1]
//
// A key-value store over a log of operations, one a line: `set KEY VALUE`, `get KEY`, `del KEY`, `add KEY NUMBER`.
// Any other line is text, and adds 1 to every word in it. Answers to `get` are appended to RESULTS as they come, and
// all keys with their values, sorted, at the end. The log is run ROUNDS times over the same store. Prints how many
// operations there were and what is left. A hash table with chains, one allocation per entry and value.
#include <ctype.h>
#include <stdint.h>

#include "input.h"

#define FLUSH_EVERY 64

struct entry {
  struct entry *next;
  char *value;
  char key[];
};

struct store {
  struct entry **buckets;
  size_t capacity, count;
};

// FNV-1a
static uint32_t hash(const char *key) {
  uint32_t h = 2166136261u;
  for (; *key != '\0'; key++) h = (h ^ (unsigned char)*key) * 16777619u;
  return h;
}

static struct entry **slot(struct store *store, const char *key) {
  struct entry **at = &store->buckets[hash(key) & (store->capacity - 1)];
  while (*at != NULL && strcmp((*at)->key, key) != 0) at = &(*at)->next;
  return at;
}

static void grow(struct store *store) {
  struct store bigger = {NULL, store->capacity == 0 ? 64 : store->capacity * 2, store->count};
  bigger.buckets = allocate(bigger.capacity * sizeof(struct entry *));
  memset(bigger.buckets, 0, bigger.capacity * sizeof(struct entry *));
  for (size_t i = 0; i < store->capacity; i++) {
    for (struct entry *entry = store->buckets[i], *next; entry != NULL; entry = next) {
      next = entry->next;
      struct entry **head = &bigger.buckets[hash(entry->key) & (bigger.capacity - 1)];
      entry->next = *head;
      *head = entry;
    }
  }
  free(store->buckets);
  *store = bigger;
}

static void set(struct store *store, const char *key, const char *value) {
  if (store->count >= store->capacity) grow(store);
  struct entry **at = slot(store, key);
  if (*at == NULL) {
    struct entry *entry = allocate(sizeof(struct entry) + strlen(key) + 1);
    strcpy(entry->key, key);
    entry->next = NULL;
    entry->value = NULL;
    *at = entry;
    store->count++;
  }
  char *copy = allocate(strlen(value) + 1);
  strcpy(copy, value);
  free((*at)->value);
  (*at)->value = copy;
}

static const char *get(struct store *store, const char *key) {
  struct entry *entry = store->capacity == 0 ? NULL : *slot(store, key);
  return entry == NULL ? NULL : entry->value;
}

static void del(struct store *store, const char *key) {
  struct entry **at = store->capacity == 0 ? NULL : slot(store, key), *entry;
  if (at == NULL || (entry = *at) == NULL) return;
  *at = entry->next;
  free(entry->value);
  free(entry);
  store->count--;
}

static void add(struct store *store, const char *key, long long number) {
  const char *old = get(store, key);
  char value[24];
  snprintf(value, sizeof value, "%lld", (long long)((unsigned long long)(old == NULL ? 0 : atoll(old)) + number));
  set(store, key, value);
}

static long count_words(struct store *store, char *line) {
  long words = 0;
  for (char *at = line; *at != '\0';) {
    while (*at != '\0' && !isalnum((unsigned char)*at)) at++;
    char *word = at;
    for (; isalnum((unsigned char)*at); at++) *at = (char)tolower((unsigned char)*at);
    if (at == word) break;
    char after = *at;
    *at = '\0';
    add(store, word, 1);
    words++;
    *at = after;
    if (after != '\0') at++;
  }
  return words;
}

// Runs one line, which it may change; returns the number of operations that it was.
static long run(struct store *store, char *line, FILE *results, long *answers) {
  char copy[8];
  char *key = strchr(line, ' '), *value = key == NULL ? NULL : strchr(key + 1, ' ');
  size_t length = key == NULL ? 0 : (size_t)(key - line);
  if (length != 3 || key[1] == '\0' || key[1] == ' ') return count_words(store, line);
  memcpy(copy, line, 3);
  copy[3] = '\0';
  int with_value = strcmp(copy, "set") == 0 || strcmp(copy, "add") == 0;
  int without = strcmp(copy, "get") == 0 || strcmp(copy, "del") == 0;
  if ((with_value && value == NULL) || (without && value != NULL) || (!with_value && !without))
    return count_words(store, line);
  key++;
  if (value != NULL) *value++ = '\0';
  if (copy[0] == 's') set(store, key, value);
  else if (copy[0] == 'a') add(store, key, atoll(value));
  else if (copy[0] == 'd') del(store, key);
  else {
    const char *found = get(store, key);
    fprintf(results, "%s %s\n", key, found == NULL ? "(none)" : found);
    if (++*answers % FLUSH_EVERY == 0) fflush(results);
  }
  return 1;
}

static int by_key(const void *a, const void *b) {
  return strcmp((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

static void dump(const struct store *store, FILE *results) {
  struct entry **sorted = allocate(store->count * sizeof(struct entry *));
  size_t count = 0;
  for (size_t i = 0; i < store->capacity; i++)
    for (struct entry *entry = store->buckets[i]; entry != NULL; entry = entry->next) sorted[count++] = entry;
  qsort(sorted, count, sizeof(struct entry *), by_key);
  for (size_t i = 0; i < count; i++) fprintf(results, "%s=%s\n", sorted[i]->key, sorted[i]->value);
  free(sorted);
}

int main(int argc, char **argv) {
  if (argc < 3) fail(2, "usage: kvstore OPERATIONS.txt RESULTS.txt [ROUNDS=1]");
  long rounds = number_argument(argc, argv, 3, 1, 1000000, 1);
  size_t size;
  char *log = (char *)read_whole(argv[1], &size);
  char *line = allocate(size + 1);
  struct store store = {NULL, 0, 0};
  FILE *results = create(argv[2]);
  long operations = 0, answers = 0;
  for (long round = 0; round < rounds; round++) {
    for (size_t at = 0; at < size;) {
      const char *end = memchr(log + at, '\n', size - at);
      size_t length = end == NULL ? size - at : (size_t)(end - log) - at;
      memcpy(line, log + at, length);
      line[length > 0 && line[length - 1] == '\r' ? length - 1 : length] = '\0';
      operations += run(&store, line, results, &answers);
      at += length + 1;
    }
  }
  dump(&store, results);
  finish(results, argv[2]);
  printf("%ld operations, %ld answers, %zu keys left\n", operations, answers, store.count);
  return 0;
}
