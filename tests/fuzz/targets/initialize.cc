// With OCTET_WRITE_CORPUS=FOLDER a fuzzer writes its seeds there and ends.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/targets/fuzz_target.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* folder = std::getenv("OCTET_WRITE_CORPUS");
  if (folder == nullptr) return 0;
  std::filesystem::create_directories(folder);
  int count = 0;
  for (const std::vector<uint8_t>& seed : octet::testing::SeedCorpus()) {
    std::ofstream file(std::string(folder) + "/seed_" + std::to_string(count++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
    if (!file.good()) std::exit(1);
  }
  std::printf("%d seeds in %s\n", count, folder);
  std::exit(0);
}
