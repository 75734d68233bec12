// A turn is a flag that one session has set, and a share of the memory there was when it set it.
#include "engine/src/arena.h"

#include <cstdlib>
#include <utility>

#include "engine/src/guarded.h"
#include "engine/src/placement.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {

Result<std::shared_ptr<const ArenaMemory>> ArenaMemory::Allocate(int64_t bytes) {
  auto memory = std::make_shared<ArenaMemory>();
  memory->allocation_ = {std::calloc(static_cast<size_t>(bytes + kArenaAlignment), 1), std::free};
  if (memory->allocation_ == nullptr)
    return OutOfMemory(StrCat("cannot allocate ", bytes, " bytes for activations"));
  auto* const begin = static_cast<uint8_t*>(memory->allocation_.get());
  const auto at = static_cast<int64_t>(reinterpret_cast<uintptr_t>(begin));
  memory->data_ = begin + (RoundUp(at, kArenaAlignment) - at);
  memory->bytes_ = bytes;
  return std::shared_ptr<const ArenaMemory>(std::move(memory));
}

Status Arena::Impl::Grow(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (memory != nullptr && memory->bytes() >= bytes) return OkStatus();
  OCTET_ASSIGN_OR_RETURN(memory, ArenaMemory::Allocate(bytes));
  return OkStatus();
}

Status ArenaTurn::Begin(Arena::Impl* arena) {
  if (arena->in_use.exchange(true, std::memory_order_acquire)) {
    return InvalidArgument(
        "Session::Run: found the arena in use by another session, expected one at a time");
  }
  arena_ = arena;
  const std::lock_guard<std::mutex> lock(arena->mutex);
  memory_ = arena->memory;
  return OkStatus();
}

void ArenaTurn::End() {
  if (arena_ == nullptr) return;
  memory_ = nullptr;
  arena_->in_use.store(false, std::memory_order_release);
}

Arena::Arena(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Arena::~Arena() = default;

Result<std::shared_ptr<Arena>> Arena::Create() {
  return Guarded([]() -> Result<std::shared_ptr<Arena>> {
    return std::shared_ptr<Arena>(new Arena(std::make_unique<Impl>()));
  });
}

int64_t Arena::bytes() const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  return impl_->memory != nullptr ? impl_->memory->bytes() : 0;
}

}  // namespace octet
