// Making and listing directories.
#include "say.h"

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  char *names[512];
  int count = 0;
  DIR *dir = opendir(path);
  if (dir == NULL) {
    say(path, -1);
    return;
  }
  // Not every WASI lists `.` and `..`.
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    names[count] = malloc(strlen(entry->d_name) + 2);
    sprintf(names[count++], "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : entry->d_type == DT_REG ? "" : "?");
  }
  closedir(dir);
  qsort(names, count, sizeof *names, by_name);
  printf("%s:", path);
  for (int i = 0; i < count && i < 6; i++) printf(" %s", names[i]);
  printf(" (%d)\n", count);
}

int main(void) {
  char path[64];
  say("mkdir", mkdir("/a", 0755));
  say("mkdir again", mkdir("/a", 0755));
  say("mkdir below nothing", mkdir("/none/a", 0755));
  say("mkdir with a slash", mkdir("/a/b/", 0755));
  make("/a/f", "");
  list("/a");
  list("/a/b");
  list("/a/f");
  list("/none");
  for (int i = 0; i < 400; i++) {
    sprintf(path, "/a/b/a-rather-long-name-%03d", i);
    close(open(path, O_WRONLY | O_CREAT, 0644));
  }
  list("/a/b");
  DIR *dir = opendir("/a/b");
  int counts[2] = {0, 0};
  for (int turn = 0; turn < 2; turn++, rewinddir(dir))
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) counts[turn] += entry->d_name[0] != '.';
  closedir(dir);
  say("listed", counts[0]);
  say("listed again", counts[1]);
  return 0;
}
