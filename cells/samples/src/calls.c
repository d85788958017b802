// Asks for much that only the host can do: writes, reads, tells the time, and opens, closes and removes files.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long writes, reads, times, files;

static void transfer(int count) {
  char record[64];
  memset(record, 'x', sizeof record);
  int fd = open("/tmp/calls", O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; i < count; i++) writes += write(fd, record, sizeof record) == sizeof record;
  lseek(fd, 0, SEEK_SET);
  for (int i = 0; i < count; i++) reads += read(fd, record, sizeof record) == sizeof record;
  close(fd);
  unlink("/tmp/calls");
}

static void tell_time(int count) {
  struct timespec last = {0, 0}, now;
  for (int i = 0; i < count; i++) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    times += now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec);
    last = now;
  }
}

static void make_files(int count) {
  for (int i = 0; i < count; i++) {
    int fd = open("/tmp/file", O_WRONLY | O_CREAT | O_EXCL, 0644);
    files += fd >= 0 && close(fd) == 0 && unlink("/tmp/file") == 0;
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  if (rounds < 1) {
    fprintf(stderr, "usage: calls [ROUNDS=1]\n");
    return 2;
  }
  for (int i = 0; i < rounds; i++) {
    transfer(20000);
    tell_time(20000);
    make_files(500);
  }
  printf("%ld writes, %ld reads, %ld times, %ld files\n", writes, reads, times, files);
  return 0;
}
