// Removing files and directories.
#include "say.h"

int main(void) {
  char buffer[16] = {0};
  mkdir("/a", 0755);
  make("/a/f", "content");
  say("rmdir full", rmdir("/a"));
  say("rmdir file", rmdir("/a/f"));
  say("unlink directory", unlink("/a"));
  say("unlink", unlink("/a/f"));
  say("unlink again", unlink("/a/f"));
  say_kind("after unlink", "/a/f");
  say("rmdir", rmdir("/a"));
  say("rmdir again", rmdir("/a"));
  say_kind("after rmdir", "/a");
  make("/tmp/open", "still here");
  int fd = open("/tmp/open", O_RDWR);
  say("unlink open", unlink("/tmp/open"));
  say_kind("after unlink open", "/tmp/open");
  make("/tmp/open", "another");
  say("read unlinked", read(fd, buffer, 5));
  printf("unlinked holds: %.5s\n", buffer);
  say("write unlinked", write(fd, "more", 4));
  say("size of unlinked", lseek(fd, 0, SEEK_END));
  close(fd);
  say_content("the other of that name", "/tmp/open");
  return 0;
}
