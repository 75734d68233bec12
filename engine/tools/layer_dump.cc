#include "engine/tools/layer_dump.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

constexpr int64_t kMostBytes = int64_t{2} << 30;

/// A tensor's name as a part of a file's.
std::string FilePart(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '.' || c == '-';
    if (!plain) c = '_';
  }
  return name.substr(0, 100);
}

}  // namespace

LayerDump::LayerDump(Session* session, bool raw)
    : graph_(GraphOf(session->GetModel())),
      raw_(raw),
      values_(graph_.tensors.size()),
      codes_(graph_.tensors.size()) {
  Internals::Of(*session).observer = [this](TensorId id, const kernels::ActivationView& view) {
    Add(id, view);
  };
}

Status LayerDump::CheckSize(int64_t samples) const {
  int64_t elements = 0;
  for (const Node& n : graph_.nodes) elements += graph_.tensor(n.output).shape.num_elements();
  const int64_t bytes = elements * static_cast<int64_t>(sizeof(float));
  if (bytes == 0 || samples <= kMostBytes / bytes) return OkStatus();
  return InvalidArgument(StrCat("--dump-layers: the layers of ", samples, " samples are ",
                                samples * bytes, " bytes, at most ", kMostBytes / bytes,
                                " samples are written"));
}

void LayerDump::Add(TensorId id, const kernels::ActivationView& view) {
  const Tensor& t = graph_.tensor(id);
  if (!IsCodes(t.dtype) || !raw_) return AppendNumbers(t, view, &values_[id]);
  std::vector<uint8_t> pixel(static_cast<size_t>(view.c) * DTypeSize(t.dtype));
  for (int y = 0; y < view.h; ++y) {
    for (int x = 0; x < view.w; ++x) {
      ReadPixel(t, view, y, x, pixel.data());
      codes_[id].insert(codes_[id].end(), pixel.begin(), pixel.end());
    }
  }
}

Status LayerDump::Write(const std::string& folder) const {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (!std::filesystem::is_directory(folder, error))
    return IoError(StrCat(folder, ": cannot make a folder of this name"));
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const TensorId id = graph_.nodes[i].output;
    const Tensor& t = graph_.tensor(id);
    const auto found =
        static_cast<int64_t>(values_[id].size() + codes_[id].size() / DTypeSize(t.dtype));
    if (found == 0) continue;
    std::vector<int64_t> shape{found / t.shape.num_elements()};
    for (int d = 1; d < t.shape.rank(); ++d) shape.push_back(t.shape[d]);
    char index[16];
    std::snprintf(index, sizeof(index), "%03d_", static_cast<int>(i));
    const std::string path =
        (std::filesystem::path(folder) / StrCat(index, FilePart(t.name), ".npy")).string();
    const std::vector<uint8_t>& codes = codes_[id];
    OCTET_RETURN_IF_ERROR(codes.empty() ? WriteNpy(path, shape, std::span<const float>(values_[id]))
                          : t.dtype == DType::kU8
                              ? WriteNpy(path, shape, std::span<const uint8_t>(codes))
                              : WriteNpy(path, shape,
                                         std::span(reinterpret_cast<const int16_t*>(codes.data()),
                                                   codes.size() / 2)));
  }
  return OkStatus();
}

}  // namespace octet
