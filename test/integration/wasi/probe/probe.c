// Asks a WASI about everything that a C library passes on to it, and prints each answer on a line: the tests compare
// what two implementations say. Nothing that may differ in good faith is printed (inode numbers, times, random bytes).
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int result(const char *what, long value) {
  if (value < 0) printf("%s: %s\n", what, strerror(errno));
  else printf("%s: %ld\n", what, value);
  return (int)value;
}

// The number itself would show which descriptors are free: printed where that is the point, else only whether it opened.
static int opened(const char *what, int fd) {
  if (fd < 0) printf("%s: %s\n", what, strerror(errno));
  else printf("%s: opened\n", what);
  return fd;
}

static void content(const char *path) {
  char buffer[256];
  int fd = open(path, O_RDONLY);
  long got = fd < 0 ? -1 : (long)read(fd, buffer, sizeof buffer);
  printf("%s holds %ld:", path, got);
  for (long i = 0; i < got; i++) printf(buffer[i] >= ' ' ? "%c" : "\\%d", buffer[i]);
  printf("\n");
  if (fd >= 0) close(fd);
}

static void about(const char *path) {
  struct stat s;
  if (lstat(path, &s) < 0) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  const char *kind = S_ISDIR(s.st_mode) ? "directory" : S_ISREG(s.st_mode) ? "file" : S_ISLNK(s.st_mode) ? "link" : "other";
  printf("%s is a %s", path, kind);
  if (S_ISREG(s.st_mode)) printf(" of %lld bytes, %d names", (long long)s.st_size, (int)s.st_nlink);
  printf("\n");
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  char *names[512];
  int count = 0;
  DIR *dir = opendir(path);
  if (dir == NULL) {
    printf("list %s: %s\n", path, strerror(errno));
    return;
  }
  for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < 512;) {
    // Not every WASI lists `.` and `..`.
    if (entry->d_name[0] == '.') continue;
    names[count] = malloc(strlen(entry->d_name) + 3);
    sprintf(names[count++], "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : entry->d_type == DT_LNK ? "@" : "");
  }
  closedir(dir);
  qsort(names, count, sizeof *names, by_name);
  printf("%s lists %d:", path, count);
  for (int i = 0; i < count; i++) printf(" %s", names[i]);
  printf("\n");
}

static void opening(void) {
  opened("open missing", open("/a/missing", O_RDONLY));
  opened("open below a missing directory", open("/a/none/x", O_RDWR | O_CREAT, 0644));
  result("mkdir", mkdir("/a", 0755));
  result("mkdir again", mkdir("/a", 0755));
  result("mkdir with a slash", mkdir("/a/slash/", 0755));
  int fd = opened("create", open("/a/one", O_RDWR | O_CREAT | O_EXCL, 0644));
  result("write", write(fd, "hello world", 11));
  opened("create exclusively again", open("/a/one", O_RDWR | O_CREAT | O_EXCL, 0644));
  opened("file as a directory", open("/a/one", O_RDONLY | O_DIRECTORY));
  opened("file with a slash", open("/a/one/", O_RDONLY));
  opened("below a file", open("/a/one/two", O_RDONLY));
  opened("directory for writing", open("/a", O_RDWR));
  opened("name that is too long",
         open("/a/"
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
              O_RDWR | O_CREAT, 0644));
  result("close", close(fd));
  result("close again", close(fd));
  int second = open("/a/one", O_RDONLY), first_free = open("/a/one", O_RDONLY);
  close(second);
  result("lowest number is taken again", open("/a/one", O_RDONLY) == second);
  close(second);
  close(first_free);
}

static void data(void) {
  char buffer[32] = {0};
  int fd = open("/a/one", O_RDWR);
  result("seek", lseek(fd, 6, SEEK_SET));
  result("read", read(fd, buffer, 5));
  printf("read '%s'\n", buffer);
  result("read at the end", read(fd, buffer, 5));
  result("seek back", lseek(fd, -100, SEEK_CUR));
  result("seek beyond", lseek(fd, 4, SEEK_END));
  result("write beyond", write(fd, "!", 1));
  content("/a/one");
  result("pwrite", pwrite(fd, "HE", 2, 0));
  result("pread", pread(fd, buffer, 4, 1));
  printf("tell %ld, read '%.4s'\n", (long)lseek(fd, 0, SEEK_CUR), buffer);
  struct iovec parts[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
  result("writev", writev(fd, parts, 3));
  content("/a/one");
  result("truncate", ftruncate(fd, 4));
  result("truncate longer", ftruncate(fd, 7));
  content("/a/one");
  result("allocate", posix_fallocate(fd, 0, 9));
  result("sync", fsync(fd));
  result("datasync", fdatasync(fd));
  result("advise", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  about("/a/one");
  close(fd);
  fd = open("/a/one", O_WRONLY | O_APPEND);
  result("append", write(fd, "END", 3));
  result("flags", (fcntl(fd, F_GETFL) & O_APPEND) != 0);
  result("flags off", fcntl(fd, F_SETFL, 0));
  lseek(fd, 0, SEEK_SET);
  result("overwrite", write(fd, "X", 1));
  close(fd);
  content("/a/one");
  fd = open("/a/one", O_WRONLY | O_TRUNC);
  close(fd);
  about("/a/one");
}

static void names(void) {
  char buffer[8] = {0};
  int fd = open("/a/two", O_RDWR | O_CREAT, 0644);
  result("write to two", write(fd, "twotwo", 6));
  result("unlink while open", unlink("/a/two"));
  about("/a/two");
  result("write to unlinked", write(fd, "more", 4));
  result("read unlinked", pread(fd, buffer, 7, 3));
  printf("read '%s'\n", buffer);
  close(fd);
  result("unlink missing", unlink("/a/two"));
  result("unlink directory", unlink("/a/slash") < 0);
  result("rmdir file", rmdir("/a/one"));
  result("rmdir full", rmdir("/a"));
  result("rename", rename("/a/one", "/a/uno"));
  result("rename missing", rename("/a/one", "/a/uno"));
  close(open("/a/other", O_WRONLY | O_CREAT, 0644));
  result("rename over a file", rename("/a/uno", "/a/other"));
  result("rename file over directory", rename("/a/other", "/a/slash"));
  result("rename directory over file", rename("/a/slash", "/a/other"));
  mkdir("/b", 0755);
  result("rename directory over empty", rename("/a/slash", "/b"));
  result("rename directory over full", rename("/b", "/a"));
  result("rename into itself", rename("/a", "/a/inner"));
  result("link", link("/a/other", "/b/hard"));
  about("/a/other");
  result("link over a name", link("/a/other", "/b/hard"));
  result("link missing", link("/a/none", "/b/none"));
  about("/a/other");
  list("/");
  list("/a");
  list("/b");
  list("/a/other");
  list("/missing");
}

static void symbolic(void) {
  char buffer[64] = {0};
  result("symlink", symlink("../a/other", "/b/soft"));
  result("symlink again", symlink("x", "/b/soft"));
  result("readlink", readlink("/b/soft", buffer, sizeof buffer));
  printf("target '%s'\n", buffer);
  result("readlink of a file", readlink("/a/other", buffer, sizeof buffer));
  about("/b/soft");
  int fd = opened("open through link", open("/b/soft", O_WRONLY));
  result("write through link", write(fd, "linked", 6));
  close(fd);
  content("/a/other");
  content("/b/soft");
  symlink("loop2", "/b/loop1");
  symlink("loop1", "/b/loop2");
  opened("loop", open("/b/loop1", O_RDONLY));
  symlink("nothing", "/b/dangling");
  opened("dangling", open("/b/dangling", O_RDONLY));
  opened("create through dangling", open("/b/dangling", O_WRONLY | O_CREAT, 0644));
  about("/b/nothing");
  symlink("../a", "/b/dir");
  content("/b/dir/other");
  result("unlink link", unlink("/b/dir"));
  about("/a/other");
  list("/b");
}

static void many(void) {
  char path[64];
  mkdir("/many", 0755);
  for (int i = 0; i < 300; i++) {
    sprintf(path, "/many/entry-with-a-longer-name-%03d", i);
    close(open(path, O_WRONLY | O_CREAT, 0644));
  }
  int counts[2] = {0, 0}, removed = 0;
  DIR *dir = opendir("/many");
  for (int turn = 0; turn < 2; turn++) {
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) counts[turn] += entry->d_name[0] != '.';
    rewinddir(dir);
  }
  closedir(dir);
  for (int i = 0; i < 300; i++) {
    sprintf(path, "/many/entry-with-a-longer-name-%03d", i);
    removed += unlink(path) == 0;
  }
  printf("listed %d and %d, removed %d\n", counts[0], counts[1], removed);
  result("rmdir", rmdir("/many"));
}

static void streams(void) {
  char buffer[64] = {0};
  result("read stdin", read(0, buffer, 5));
  result("read more stdin", read(0, buffer + 5, sizeof buffer - 6));
  result("read stdin at its end", read(0, buffer + 30, 5));
  printf("stdin '%s'\n", buffer);
  result("stdout is a terminal", isatty(1));
  result("seek stdout", lseek(1, 0, SEEK_SET) < 0);
  result("write bad", write(77, "x", 1));
  fprintf(stderr, "to stderr\n");
  struct timespec a, b, nap = {0, 2000000};
  clock_gettime(CLOCK_MONOTONIC, &a);
  result("sleep", nanosleep(&nap, NULL));
  clock_gettime(CLOCK_MONOTONIC, &b);
  result("time passed", b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec);
  clock_gettime(CLOCK_REALTIME, &a);
  result("time is plausible", a.tv_sec > 1600000000);
  result("resolution", clock_getres(CLOCK_MONOTONIC, &a) == 0 && a.tv_sec == 0);
  unsigned char random[300], none[300] = {0};
  result("random", getentropy(random, 256) == 0 && memcmp(random, none, 256) != 0);
}

int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("argument '%s'\n", argv[i]);
  const char *set = getenv("SET"), *empty = getenv("EMPTY");
  printf("environment '%s' '%s' %s\n", set, empty, getenv("UNSET") == NULL ? "unset" : "set");
  opening();
  data();
  names();
  symbolic();
  many();
  streams();
  return 7;
}
