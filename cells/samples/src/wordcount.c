// wordcount FILE [TOP=10] [ROUNDS=1]
//
// Statistics of a text: lines, words, bytes, mean word length, how many different words there are, and the TOP most
// frequent ones with their counts, most frequent first, then by alphabet. Counted ROUNDS times over. Words are runs of
// ASCII letters and of bytes above 127; capitals count as small letters.
#include <ctype.h>

#include "input.h"

struct word {
  const char *text;
  size_t length;
  long count;
};

static int is_letter(unsigned char c) { return isalpha(c) || c > 127; }

static int by_text(const void *a, const void *b) {
  const struct word *x = a, *y = b;
  size_t shorter = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->text, y->text, shorter);
  if (order != 0) return order;
  return x->length < y->length ? -1 : x->length > y->length;
}

static int by_count(const void *a, const void *b) {
  const struct word *x = a, *y = b;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return by_text(a, b);
}

// The words of `text` in the order of their places; `*words` has room for `size / 2 + 1`.
static size_t split(const char *text, size_t size, struct word *words) {
  size_t count = 0;
  for (size_t at = 0; at < size;) {
    if (!is_letter((unsigned char)text[at])) {
      at++;
      continue;
    }
    size_t start = at;
    while (at < size && is_letter((unsigned char)text[at])) at++;
    words[count++] = (struct word){text + start, at - start, 1};
  }
  return count;
}

// Joins equal neighbours; returns how many are left.
static size_t join(struct word *words, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept > 0 && by_text(&words[kept - 1], &words[i]) == 0) words[kept - 1].count++;
    else words[kept++] = words[i];
  }
  return kept;
}

int main(int argc, char **argv) {
  if (argc < 2) fail(2, "usage: wordcount FILE [TOP=10] [ROUNDS=1]");
  size_t top = (size_t)number_argument(argc, argv, 2, 0, 1000000, 10);
  long rounds = number_argument(argc, argv, 3, 1, 1000000, 1);
  size_t size, lines = 0, letters = 0, count = 0, different = 0;
  char *text = (char *)read_whole(argv[1], &size);
  for (size_t i = 0; i < size; i++) {
    lines += text[i] == '\n';
    text[i] = (char)((unsigned char)text[i] < 128 ? tolower((unsigned char)text[i]) : text[i]);
  }
  struct word *words = allocate((size / 2 + 1) * sizeof(struct word));
  for (long round = 0; round < rounds; round++) {
    count = split(text, size, words);
    letters = 0;
    for (size_t i = 0; i < count; i++) letters += words[i].length;
    qsort(words, count, sizeof(struct word), by_text);
    different = join(words, count);
    qsort(words, different, sizeof(struct word), by_count);
  }
  printf("%zu lines, %zu words, %zu bytes\n", lines, count, size);
  printf("%zu different words, %.2f bytes each\n", different, count == 0 ? 0.0 : (double)letters / (double)count);
  for (size_t i = 0; i < different && i < top; i++)
    printf("%7ld %.*s\n", words[i].count, (int)words[i].length, words[i].text);
  return 0;
}
