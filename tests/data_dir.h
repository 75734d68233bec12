// Where tests find data that is not part of the project.
#ifndef OCTET_TESTS_DATA_DIR_H_
#define OCTET_TESTS_DATA_DIR_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace octet::testing {

/// OCTET_DATA_DIR, or ../shared/data beside the project. May not exist: skip visibly then.
inline std::string DataDir() {
  const char* dir = std::getenv("OCTET_DATA_DIR");
  return dir != nullptr && *dir != '\0' ? dir : OCTET_SOURCE_DIR "/../shared/data";
}

/// The trained models beside the data.
inline std::string ModelsDir() { return DataDir() + "/../models"; }

/// Of the folders of DataDir()/cifar10.
inline std::vector<std::string> CifarLabels() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

inline bool HaveData() { return std::filesystem::exists(DataDir() + "/flowers"); }
inline bool HaveModels() { return std::filesystem::exists(ModelsDir() + "/flowers"); }

}  // namespace octet::testing

/// First line of a test that needs outside data.
#define OCTET_REQUIRE_DATA()         \
  if (!::octet::testing::HaveData()) \
  GTEST_SKIP() << "no data at " << ::octet::testing::DataDir() << "; set OCTET_DATA_DIR"
#define OCTET_REQUIRE_MODELS()         \
  if (!::octet::testing::HaveModels()) \
  GTEST_SKIP() << "no models at " << ::octet::testing::ModelsDir() << "; set OCTET_DATA_DIR"

#endif  // OCTET_TESTS_DATA_DIR_H_
