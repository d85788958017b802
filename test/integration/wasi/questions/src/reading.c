// Opening and reading an input of 300,000 bytes.
#include "say.h"

int main(void) {
  static char buffer[400000];
  int fd = say_open("open", "/in/long", O_RDONLY);
  say("read", read(fd, buffer, 10));
  say("read on", read(fd, buffer + 10, sizeof buffer - 10));
  say("read at the end", read(fd, buffer, 10));
  unsigned sum = 0;
  for (int i = 0; i < 300000; i++) sum = sum * 31 + (unsigned char)buffer[i];
  say("sum", sum % 1000003);
  say("read nothing", read(fd, buffer, 0));
  struct iovec parts[] = {{buffer, 3}, {buffer + 100, 0}, {buffer + 200, 4}};
  say("back", lseek(fd, 5, SEEK_SET));
  say("readv", readv(fd, parts, 3));
  say("position", lseek(fd, 0, SEEK_CUR));
  say("close", close(fd));
  say("read closed", read(fd, buffer, 1));
  FILE *file = fopen("/in/long", "rb");
  long total = 0;
  for (size_t got; (got = fread(buffer, 1, 1000, file)) > 0;) total += (long)got;
  say("fread", total);
  say("fseek", fseek(file, -5, SEEK_END));
  say("fread the end", (long)fread(buffer, 1, 100, file));
  fclose(file);
  say_open("open missing", "/in/missing", O_RDONLY);
  say_open("open below a file", "/in/long/x", O_RDONLY);
  say_open("open through dots", "/in/./../in//long", O_RDONLY);
  return 0;
}
