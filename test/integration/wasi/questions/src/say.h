// What the programs here have in common: each asks a WASI a few questions and prints every answer on a line of its own,
// `question: answer`. Nothing that may differ in good faith is printed: inode numbers, times of now, random bytes.
#pragma once
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static inline long say(const char *question, long answer) {
  if (answer < 0) printf("%s: %s\n", question, strerror(errno));
  else printf("%s: %ld\n", question, answer);
  fflush(stdout);
  return answer;
}

static inline int say_open(const char *question, const char *path, int flags) {
  int fd = open(path, flags, 0644);
  say(question, fd < 0 ? fd : 0);
  return fd;
}

static inline void make(const char *path, const char *content) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, content, strlen(content)) < 0 || close(fd) < 0) printf("cannot make %s\n", path);
}

static inline void say_content(const char *question, const char *path) {
  char buffer[64];
  int fd = open(path, O_RDONLY);
  long got = fd < 0 ? -1 : (long)read(fd, buffer, sizeof buffer);
  printf("%s: ", question);
  if (got < 0) printf("%s", strerror(errno));
  for (long i = 0; i < got; i++) printf(buffer[i] >= ' ' ? "%c" : "\\%d", buffer[i]);
  printf("\n");
  fflush(stdout);
  if (fd >= 0) close(fd);
}

static inline void say_kind(const char *question, const char *path) {
  struct stat s;
  if (lstat(path, &s) < 0) printf("%s: %s\n", question, strerror(errno));
  else if (S_ISREG(s.st_mode)) printf("%s: file of %lld bytes, %d names\n", question, (long long)s.st_size, (int)s.st_nlink);
  else printf("%s: %s\n", question, S_ISDIR(s.st_mode) ? "directory" : S_ISLNK(s.st_mode) ? "link" : "other");
  fflush(stdout);
}
