// Clocks, sleeping, timestamps, polling.
#include "say.h"

int main(void) {
  struct timespec a, b, nap = {0, 3000000};
  say("monotonic", clock_gettime(CLOCK_MONOTONIC, &a));
  say("sleep", nanosleep(&nap, NULL));
  clock_gettime(CLOCK_MONOTONIC, &b);
  say("slept", (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 3000000);
  say("realtime", clock_gettime(CLOCK_REALTIME, &a));
  say("this century", a.tv_sec > 1600000000 && a.tv_sec < 4102444800);
  say("resolution", clock_getres(CLOCK_MONOTONIC, &a) == 0 && a.tv_sec == 0 && a.tv_nsec > 0);
  make("/tmp/f", "x");
  struct timespec times[2] = {{1000, 1001}, {2000, 2002}};
  struct stat s = {0};
  say("utimensat", utimensat(AT_FDCWD, "/tmp/f", times, 0));
  say("stat", stat("/tmp/f", &s));
  printf("access: %lld.%ld\n", (long long)s.st_atim.tv_sec, s.st_atim.tv_nsec);
  printf("modification: %lld.%ld\n", (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  int fd = open("/tmp/f", O_RDWR);
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = 3000;
  say("futimens", futimens(fd, times));
  fstat(fd, &s);
  printf("access left alone: %lld\n", (long long)s.st_atim.tv_sec);
  printf("modification changed: %lld\n", (long long)s.st_mtim.tv_sec);
  struct pollfd polled[2] = {{0, POLLIN, 0}, {1, POLLOUT, 0}};
  say("poll", poll(polled + 1, 1, 1000));
  say("stdout is writable", (polled[1].revents & POLLOUT) != 0);
  say("poll stdin", poll(polled, 1, 1000));
  say("stdin is readable", (polled[0].revents & POLLIN) != 0);
  unsigned char random[64] = {0}, none[64] = {0};
  say("random", getentropy(random, sizeof random) == 0 && memcmp(random, none, sizeof none) != 0);
  return 0;
}
