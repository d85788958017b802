// Sizes: truncating, growing, allocating.
#include "say.h"

int main(void) {
  make("/tmp/a", "0123456789");
  int fd = open("/tmp/a", O_RDWR);
  say("ftruncate", ftruncate(fd, 4));
  say_content("after ftruncate", "/tmp/a");
  say("ftruncate to more", ftruncate(fd, 7));
  say_content("after ftruncate to more", "/tmp/a");
  say("position", lseek(fd, 0, SEEK_CUR));
  say("ftruncate to less than nothing", ftruncate(fd, -1));
  say("allocate", posix_fallocate(fd, 0, 9) == 0);
  say_kind("after allocating", "/tmp/a");
  say("allocate what is there", posix_fallocate(fd, 2, 3) == 0);
  say_kind("after allocating less", "/tmp/a");
  close(fd);
  say("truncate", truncate("/tmp/a", 2));
  say_content("after truncate", "/tmp/a");
  say_open("open truncating", "/tmp/a", O_WRONLY | O_TRUNC);
  say_kind("after open truncating", "/tmp/a");
  say("truncate a directory", truncate("/tmp", 0));
  say("sync", fsync(open("/tmp/a", O_RDWR)));
  return 0;
}
