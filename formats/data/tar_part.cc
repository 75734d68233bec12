// Tar files as parts of a data set, as WebDataset has them: members whose names are the same up to
// the first dot belong together. A sample is such a group's image, its label the number in .cls.
#include <charconv>
#include <filesystem>
#include <optional>
#include <utility>

#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset_part.h"
#include "formats/data/tar.h"

namespace octet {
namespace {

/// In what of a member's name a group agrees, and the rest.
std::string_view GroupOf(std::string_view name) {
  const size_t file = name.rfind('/') == name.npos ? 0 : name.rfind('/') + 1;
  // Hidden files are groups of their own.
  return name.substr(0, name.find('.', file + 1));
}

/// Members of one group.
struct Group {
  std::string name;
  std::string image_name, second_image, label_name;
  std::vector<uint8_t> image;
  std::optional<std::string> label;
  Status status;  ///< Of an image, or what is in its place.

  bool is_sample() const { return !image_name.empty() || !status.ok() || label; }
};

class TarPart : public RecordsPart {
 public:
  TarPart(std::string path, LabelMatcher* labels) : path_(std::move(path)), labels_(labels) {}

  Result<bool> Read(Sample* sample) override {
    Group group;
    const Result<bool> more = Next(&group, true);
    sample->name = group.image_name.empty()
                       ? StrCat(std::filesystem::path(path_).filename().string(), ": ",
                                group.name.empty() ? member_.name : group.name)
                       : group.image_name;
    if (!more.ok() || !*more) return more;
    const std::string where =
        StrCat(path_, ": ", group.image_name.empty() ? group.name : group.image_name);
    OCTET_RETURN_IF_ERROR(std::move(group.status));
    if (group.image_name.empty())
      return InvalidArgument(StrCat(path_, ": ", group.label_name, ": has no image beside it"));
    if (!group.second_image.empty()) {
      return InvalidArgument(
          StrCat(where, ": and ", group.second_image, " are of one sample, expected one image"));
    }
    if (labels_ != nullptr) {
      Result<int> label = Label(group);
      if (!label.ok()) return Status(label.status()).WithContext(where);
      sample->label = *label;
    }
    sample->name = group.image_name;
    sample->origin = where;
    sample->encoded = std::move(group.image);
    return true;
  }

  Result<bool> Skip() override {
    Group group;
    return Next(&group, false);
  }

 private:
  Result<int> Label(const Group& group) {
    if (!group.label) return labels_->OfRecord(std::nullopt, std::nullopt);
    std::string_view text = *group.label;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
      text.remove_suffix(1);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
      return InvalidArgument(
          StrCat(group.label_name, " holds '", text.substr(0, 40), "', expected a class's number"));
    }
    return labels_->OfRecord(number, std::nullopt);
  }

  /// The next group with a sample that is wanted. With `read` its data.
  Result<bool> Next(Group* group, bool read) {
    while (!std::exchange(ended_, true)) {  // Also after an error here.
      if (reader_ == nullptr) {
        OCTET_ASSIGN_OR_RETURN(reader_, TarReader::Open(path_));
        if (reader_->compressed() && begin_ > 0) break;
        Advance();
      }
      const int64_t place = reader_->compressed() ? 0 : place_;
      const bool wanted = place >= begin_;
      if (place >= end_) break;
      if (!next_.ok()) {
        // Who would read the member that is damaged tells of it.
        if (wanted || next_.status().code() == StatusCode::kIo) return next_;
        break;
      }
      if (!*next_) break;
      ended_ = false;
      *group = Group();
      Status status = Collect(group, read && wanted);
      if (wanted && !status.ok()) ended_ = true;
      if (wanted && !status.ok()) return status;
      if (!wanted || !group->is_sample()) continue;
      ++index;
      return true;
    }
    reader_.reset();
    return false;
  }

  /// Reads the members that belong to the present one.
  Status Collect(Group* group, bool read) {
    group->name = GroupOf(member_.name);
    const int64_t place = place_;
    while (next_.ok() && *next_ && GroupOf(member_.name) == group->name) {
      OCTET_RETURN_IF_ERROR(Add(group, read));
      Advance();
      // What a member lacks is the fault of its group.
      if (!next_.ok() && place_ == member_.offset) place_ = place;
    }
    return OkStatus();
  }

  Status Add(Group* group, bool read) {
    const TarMember& m = member_;
    if (m.kind == TarMember::Kind::kFolder) return OkStatus();
    const std::string extension = LowerCase(m.name.substr(group->name.size()));
    if (IsNamedAsImage(m.name)) {
      const auto is_whole = [&](const std::string& name) {
        return name.find('.', group->name.size() + 1) == name.npos;
      };
      // 0001.jpg is the image, 0001.mask.png something about it.
      if (!group->image_name.empty() && is_whole(group->image_name) != is_whole(m.name)) {
        if (is_whole(group->image_name)) return OkStatus();
        group->image_name.clear();
        group->second_image.clear();
        group->status = OkStatus();
      }
      if (!group->image_name.empty()) {
        group->second_image = m.name;
        return OkStatus();
      }
      group->image_name = m.name;
      if (m.kind != TarMember::Kind::kFile) {
        group->status = Unsupported(StrCat(path_, ": ", m.name, ": is a ",
                                           m.kind == TarMember::Kind::kLink ? "link" : "device",
                                           ", expected an image's bytes"));
        return OkStatus();
      }
      return read ? Read(&group->image, &group->status) : OkStatus();
    }
    if (extension != ".cls") return OkStatus();
    group->label_name = m.name;
    group->label.emplace();
    if (!read) return OkStatus();
    std::vector<uint8_t> bytes;
    OCTET_RETURN_IF_ERROR(Read(&bytes, &group->status));
    group->label = std::string(bytes.begin(), bytes.end());
    return OkStatus();
  }

  /// What is wrong with this member alone goes to `status`.
  Status Read(std::vector<uint8_t>* data, Status* status) {
    Status read = reader_->Read(data);
    if (read.ok() || reader_->is_lost()) return read;
    *status = std::move(read);
    return OkStatus();
  }

  void Advance() {
    next_ = reader_->Next(&member_);
    place_ = reader_->offset();
  }

  std::string path_;
  LabelMatcher* labels_;
  std::unique_ptr<TarReader> reader_;
  Result<bool> next_ = false;  ///< Whether there is another member, whose data has not been read.
  int64_t place_ = 0;          ///< Of that, or of what cannot be read.
  TarMember member_;
};

}  // namespace

Result<std::unique_ptr<DatasetPart>> OpenTar(const std::string& path, LabelMatcher* labels,
                                             Counting counting) {
  auto part = std::make_unique<TarPart>(path, labels);
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<TarReader> reader, TarReader::Open(path));
  part->extent = reader->file_size() + 1;  // What lacks at the end has a place as well.
  part->description = reader->compressed() ? "compressed tar file" : "tar file";
  part->kind = "tar files";
  if (counting == Counting::kAll || (counting == Counting::kIfFast && !reader->compressed())) {
    TarPart counted(path, nullptr);
    Result<bool> more = true;
    int64_t samples = 0;
    while (more.ok() && *more) {
      more = counted.Skip();
      samples += more.ok() && *more;
    }
    if (more.ok()) part->size = samples;
    part->description = more.ok() ? StrCat("tar file of ", samples, " images") : "damaged tar file";
  }
  return std::unique_ptr<DatasetPart>(std::move(part));
}

}  // namespace octet
