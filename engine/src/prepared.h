// What is made of weights at load or found out about them, shared by all sessions of a model.
#ifndef OCTET_ENGINE_SRC_PREPARED_H_
#define OCTET_ENGINE_SRC_PREPARED_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "formats/model/graph.h"

namespace octet {

/// Thread-safe. A buffer is made by the first session that wants it and lives as long as the model.
class PreparedWeights {
 public:
  /// The buffer for node `index`, `bytes` long; filled by `fill` when it does not exist yet.
  std::shared_ptr<const void> Get(int index, size_t bytes,
                                  const std::function<void(std::byte*)>& fill) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<const void>& entry = buffers_[index];
    if (entry == nullptr) {
      std::byte* data = nullptr;
      std::shared_ptr<const void> buffer = MakeAlignedBuffer(bytes, &data);
      fill(data);
      entry = std::move(buffer);  // Only now: an exception must leave nothing half-filled.
    }
    return entry;
  }

  /// What `ask` says of the weights of node `index`; it reads them all, so only the first session
  /// asks.
  bool Ask(int index, const std::function<bool()>& ask) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = answers_.find(index);
    if (known != answers_.end()) return known->second;
    return answers_.emplace(index, ask()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<int, bool> answers_;
  std::map<int, std::shared_ptr<const void>> buffers_;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PREPARED_H_
