// Folders of images and single images as parts of a data set: names are listed when the part is
// opened, files are read one at a time.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "formats/base/file.h"
#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset_part.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

/// Image files known beforehand: those of a folder, and single ones. A million of them is a list of
/// some 50 MB.
class ImagePart : public NumberedPart {
 public:
  struct Entry {
    std::string name;  ///< Inside the folder.
    int label = -1;
  };

  /// `root` is the folder; empty for single images.
  static std::unique_ptr<DatasetPart> Make(const std::string& root, std::vector<Entry> entries,
                                           std::string description, std::string kind) {
    auto part = std::make_unique<ImagePart>();
    part->SetCount(static_cast<int64_t>(entries.size()));
    part->root_ = root;
    part->entries_ = std::move(entries);
    part->description = std::move(description);
    part->kind = std::move(kind);
    return part;
  }

  Result<bool> Read(Sample* sample) override {
    OCTET_ASSIGN_OR_RETURN(const bool more, Skip());
    if (!more) return false;
    const Entry& entry = entries_[static_cast<size_t>(index)];
    sample->name = entry.name;
    sample->label = entry.label;
    sample->origin = (root_ / entry.name).string();
    OCTET_ASSIGN_OR_RETURN(sample->encoded, ReadFileBytes(sample->origin, kMaxImageFileBytes));
    return true;
  }

 private:
  fs::path root_;
  std::vector<Entry> entries_;
};

struct Listing {
  std::vector<std::string> folders, images;  ///< Names, sorted by bytes.
};

Result<Listing> List(const std::string& folder) {
  Listing listing;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(".")) continue;
    std::error_code type_error;
    if (it->is_directory(type_error)) {
      listing.folders.push_back(name);
    } else if (it->is_regular_file(type_error) && IsNamedAsImage(name)) {
      listing.images.push_back(name);
    }
  }
  if (error) return IoError(StrCat(folder, ": cannot list: ", error.message()));
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.images.begin(), listing.images.end());
  return listing;
}

}  // namespace

bool IsNamedAsImage(const std::string& path) {
  const std::string extension = LowerCase(fs::path(path).extension().string());
  for (const char* known : {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".ppm", ".pgm", ".pnm"}) {
    if (extension == known) return true;
  }
  return false;
}

std::unique_ptr<DatasetPart> MakeImages(std::vector<std::string> paths) {
  std::vector<ImagePart::Entry> entries;
  for (std::string& path : paths) entries.push_back({std::move(path)});
  std::string description = entries.size() == 1 ? "one image" : StrCat(entries.size(), " images");
  return ImagePart::Make("", std::move(entries), std::move(description), "images");
}

Result<std::unique_ptr<DatasetPart>> OpenFolder(const std::string& path, LabelMatcher* labels) {
  OCTET_ASSIGN_OR_RETURN(Listing top, List(path));
  const fs::path root(path);
  std::vector<ImagePart::Entry> entries;
  std::vector<std::string> classes;
  std::string without_images;
  for (const std::string& folder : top.folders) {
    OCTET_ASSIGN_OR_RETURN(const Listing inner, List((root / folder).string()));
    if (inner.images.empty()) {
      without_images = folder;
      continue;
    }
    for (const std::string& image : inner.images) {
      entries.push_back({folder + "/" + image, static_cast<int>(classes.size())});
    }
    classes.push_back(folder);
  }
  if (classes.empty()) {
    for (const std::string& image : top.images) entries.push_back({image});
    if (entries.empty()) {
      return InvalidArgument(
          StrCat(path, ": no images (JPEG, PNG, BMP, PNM) and no TFRecord files in this folder"));
    }
    std::string description = StrCat("folder of ", entries.size(), " images without labels");
    return ImagePart::Make(path, std::move(entries), std::move(description), "folders of images");
  }
  if (!without_images.empty())
    return InvalidArgument(StrCat(path, ": folder '", without_images, "' holds no images"));
  if (!top.images.empty()) {
    return InvalidArgument(StrCat(path, ": holds both class folders and images (", top.images[0],
                                  "), expected one or the other"));
  }
  std::vector<int> label_of(classes.size(), -1);
  if (labels != nullptr) {
    Result<std::vector<int>> found = labels->OfFolders(classes);
    if (!found.ok()) return Status(found.status()).WithContext(path);
    label_of = std::move(found).value();
  }
  for (ImagePart::Entry& entry : entries) entry.label = label_of[static_cast<size_t>(entry.label)];
  std::string description =
      StrCat("folder of ", entries.size(), " images in ", classes.size(), " classes");
  return ImagePart::Make(path, std::move(entries), std::move(description), "folders of classes");
}

}  // namespace octet
