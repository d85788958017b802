// Renaming files and directories, also onto what is there.
#include "say.h"

int main(void) {
  mkdir("/a", 0755);
  make("/a/one", "one");
  make("/a/two", "two");
  say("file", rename("/a/one", "/a/uno"));
  say_content("file after", "/a/uno");
  say_kind("file before", "/a/one");
  say("missing", rename("/a/none", "/a/x"));
  say("over a file", rename("/a/uno", "/a/two"));
  say_content("over a file after", "/a/two");
  say("to itself", rename("/a/two", "/a/two"));
  mkdir("/b", 0755);
  say("to another directory", rename("/a/two", "/b/two"));
  say_content("to another directory after", "/b/two");
  say("directory", rename("/b", "/c"));
  say_content("directory after", "/c/two");
  mkdir("/empty", 0755);
  say("file over directory", rename("/c/two", "/empty"));
  say("directory over file", rename("/empty", "/c/two"));
  say("directory over full", rename("/empty", "/c"));
  say("directory over empty", rename("/c", "/empty"));
  say_content("directory over empty after", "/empty/two");
  say("into itself", rename("/empty", "/empty/deeper"));
  say("below a file", rename("/a", "/empty/two/x"));
  return 0;
}
