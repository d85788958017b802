// Creating, writing, appending, overwriting.
#include "say.h"

int main(void) {
  int fd = say_open("create", "/tmp/a", O_RDWR | O_CREAT | O_EXCL);
  say("write", write(fd, "hello world", 11));
  say("close", close(fd));
  say_open("create again", "/tmp/a", O_RDWR | O_CREAT | O_EXCL);
  say_content("after writing", "/tmp/a");
  fd = open("/tmp/a", O_WRONLY);
  say("overwrite", write(fd, "J", 1));
  say("read what is open for writing", read(fd, &fd, 1));
  close(fd);
  say_content("after overwriting", "/tmp/a");
  fd = open("/tmp/a", O_WRONLY | O_APPEND);
  say("append", write(fd, "!", 1));
  say("append on", write(fd, "?", 1));
  close(fd);
  say_content("after appending", "/tmp/a");
  fd = open("/tmp/a", O_RDONLY);
  say("write what is open for reading", write(fd, "x", 1));
  close(fd);
  struct iovec parts[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
  fd = open("/tmp/b", O_WRONLY | O_CREAT, 0644);
  say("writev", writev(fd, parts, 3));
  close(fd);
  say_content("after writev", "/tmp/b");
  FILE *file = fopen("/out/c", "w");
  for (int i = 0; i < 20000; i++) fprintf(file, "line %d\n", i);
  say("fclose", fclose(file));
  say_kind("after fprintf", "/out/c");
  file = fopen("/out/c", "a");
  fprintf(file, "the end\n");
  say("fclose again", fclose(file));
  say_kind("after appending lines", "/out/c");
  return 0;
}
