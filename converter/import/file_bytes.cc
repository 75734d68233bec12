#include "converter/import/file_bytes.h"

#include <filesystem>
#include <system_error>

#include "formats/base/str_cat.h"

namespace octet {

Result<FileBytes> MapCompanionFile(const std::string& model_path, const std::string& location) {
  namespace fs = std::filesystem;
  const auto refuse = [&](const char* why) {
    return Corrupt(StrCat(model_path, ": external data '", location, "' ", why));
  };
  if (location.empty()) return refuse("has no file name");
  if (location.find('\0') != std::string::npos) return refuse("has a zero byte in its name");
  const fs::path relative(location);
  if (relative.is_absolute())
    return refuse("is an absolute path; it must lie in the model's folder");
  for (const fs::path& part : relative) {
    if (part == "..") return refuse("contains '..'; it must lie in the model's folder");
  }
  fs::path folder = fs::path(model_path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  const fs::path real_folder = fs::canonical(folder, error);
  if (error) return IoError(StrCat(folder.string(), ": ", error.message()));
  const fs::path real_file = fs::canonical(folder / relative, error);
  if (error)
    return NotFound(StrCat(model_path, ": external data '", location, "': ", error.message()));
  const fs::path from_folder = real_file.lexically_relative(real_folder);
  if (from_folder.empty() || *from_folder.begin() == "..")
    return refuse("is a link that leads out of the model's folder");
  return MapFile(real_file.string());
}

}  // namespace octet
