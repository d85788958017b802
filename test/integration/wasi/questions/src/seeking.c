// Positions: seeking, reading and writing at an offset, holes.
#include "say.h"

int main(void) {
  char buffer[8] = {0};
  int fd = open("/tmp/a", O_RDWR | O_CREAT, 0644);
  write(fd, "0123456789", 10);
  say("seek to", lseek(fd, 3, SEEK_SET));
  say("seek on", lseek(fd, 2, SEEK_CUR));
  say("seek back", lseek(fd, -1, SEEK_CUR));
  say("seek from the end", lseek(fd, -2, SEEK_END));
  say("seek before the start", lseek(fd, -100, SEEK_CUR));
  say("where it stayed", lseek(fd, 0, SEEK_CUR));
  say("seek by an unknown way", lseek(fd, 0, 9));
  say("pread", pread(fd, buffer, 4, 2));
  printf("pread gave: %.4s\n", buffer);
  say("pwrite", pwrite(fd, "XY", 2, 4));
  say("position after pread and pwrite", lseek(fd, 0, SEEK_CUR));
  say("pread beyond the end", pread(fd, buffer, 4, 100));
  say("seek beyond the end", lseek(fd, 5, SEEK_END));
  say("read there", read(fd, buffer, 1));
  say("write there", write(fd, "!", 1));
  close(fd);
  say_content("hole", "/tmp/a");
  say_kind("size", "/tmp/a");
  say("seek a pipe", lseek(1, 0, SEEK_SET));
  return 0;
}
