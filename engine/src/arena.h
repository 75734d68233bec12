// Memory for activations, of one session or of several that run in turns.
#ifndef OCTET_ENGINE_SRC_ARENA_H_
#define OCTET_ENGINE_SRC_ARENA_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"

namespace octet {

/// Begins at a multiple of kArenaAlignment.
class ArenaMemory {
 public:
  /// Zeroed, so that nothing of the host's memory is ever in a result. Errors: kOutOfMemory.
  static Result<std::shared_ptr<const ArenaMemory>> Allocate(int64_t bytes);

  uint8_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, void (*)(void*)> allocation_{nullptr, nullptr};
  uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// Growing replaces the memory, so that it needs no session to stand still: one that runs keeps
/// what it began with to the end of its turn, and moves in its next.
struct Arena::Impl {
  /// At least `bytes` for all turns that begin from now on. Errors: kOutOfMemory, with everything
  /// as it was.
  Status Grow(int64_t bytes);

  std::mutex mutex;  ///< Of `memory`.
  std::shared_ptr<const ArenaMemory> memory;
  std::atomic<bool> in_use{false};
};

/// The time in which one session, and no other, uses an arena. Allocates nothing.
class ArenaTurn {
 public:
  ArenaTurn() = default;
  ~ArenaTurn() { End(); }
  ArenaTurn(const ArenaTurn&) = delete;
  ArenaTurn& operator=(const ArenaTurn&) = delete;

  /// Errors: kInvalidArgument when it is another's turn.
  Status Begin(Arena::Impl* arena);
  /// Of the arena, until the turn ends.
  uint8_t* memory() const { return memory_->data(); }

 private:
  void End();

  Arena::Impl* arena_ = nullptr;
  std::shared_ptr<const ArenaMemory> memory_;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_ARENA_H_
