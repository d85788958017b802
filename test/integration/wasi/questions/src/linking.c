// Hard and symbolic links.
#include "say.h"

int main(void) {
  char buffer[32] = {0};
  make("/tmp/f", "content");
  say("link", link("/tmp/f", "/tmp/hard"));
  say_kind("linked", "/tmp/f");
  say("link again", link("/tmp/f", "/tmp/hard"));
  say("link missing", link("/tmp/none", "/tmp/x"));
  make("/tmp/hard", "changed");
  say_content("through the first name", "/tmp/f");
  unlink("/tmp/f");
  say_kind("after unlinking the first", "/tmp/hard");
  say("symlink", symlink("hard", "/tmp/soft"));
  say("symlink again", symlink("x", "/tmp/soft"));
  say_kind("symlinked", "/tmp/soft");
  say("readlink", readlink("/tmp/soft", buffer, sizeof buffer));
  printf("target: %s\n", buffer);
  say("readlink of a file", readlink("/tmp/hard", buffer, sizeof buffer));
  say_content("through the link", "/tmp/soft");
  mkdir("/d", 0755);
  symlink("../tmp", "/d/up");
  say_content("through a link to a directory", "/d/up/soft");
  symlink("two", "/d/one");
  symlink("one", "/d/two");
  say_open("loop", "/d/one", O_RDONLY);
  symlink("nothing", "/d/dangling");
  say_open("dangling", "/d/dangling", O_RDONLY);
  say_open("create through dangling", "/d/dangling", O_WRONLY | O_CREAT);
  say_kind("created", "/d/nothing");
  say("unlink a link", unlink("/tmp/soft"));
  say_content("what it led to", "/tmp/hard");
  return 0;
}
