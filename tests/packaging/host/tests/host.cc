// host MODEL: prints the best class of a gray square.
#include <cstdio>

#include "formats/base/status.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::printf("%s\n", host::Classify(argv[1]).c_str());
  return 0;
}
