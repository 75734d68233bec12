// What is the same on every system of files that are whole or not there.
#include <utility>

#include "formats/base/write_file_impl.h"

namespace octet {

struct OutputFile::Impl {
  std::unique_ptr<PendingFile> file;
};

OutputFile::OutputFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OutputFile::OutputFile(OutputFile&&) noexcept = default;
OutputFile& OutputFile::operator=(OutputFile&&) noexcept = default;
OutputFile::~OutputFile() = default;

Result<OutputFile> OutputFile::Create(const std::string& path) {
  auto impl = std::make_unique<Impl>(Impl{MakePendingFile(path)});
  OCTET_RETURN_IF_ERROR(impl->file->Open());
  return OutputFile(std::move(impl));
}

Status OutputFile::Append(std::span<const std::byte> bytes) { return impl_->file->Append(bytes); }

Status OutputFile::Commit() {
  OCTET_RETURN_IF_ERROR(impl_->file->Sync());
  return impl_->file->Commit();
}

Status WriteFilesAtomically(std::span<const NewFile> files) {
  std::vector<std::unique_ptr<PendingFile>> pending;
  for (const NewFile& file : files) {
    PendingFile& one = *pending.emplace_back(MakePendingFile(file.path));
    OCTET_RETURN_IF_ERROR(one.Open());
    OCTET_RETURN_IF_ERROR(one.Append(file.bytes));
    OCTET_RETURN_IF_ERROR(one.Sync());
  }
  for (const auto& one : pending) OCTET_RETURN_IF_ERROR(one->Commit());
  return OkStatus();
}

}  // namespace octet
