// Holds every operator of a plan to what its slots say, part by part: which bytes each thread's
// part writes, that no two parts write one byte, that nothing is read but what the slots name. It
// needs no luck with the timing of threads: each part runs alone, on memory in which everything it
// may not read is poisoned.
#ifndef OCTET_TESTS_SEAMS_H_
#define OCTET_TESTS_SEAMS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/src/plan.h"
#include "formats/base/str_cat.h"
#include "formats/model/octet_file.h"

namespace octet::testing {

class SeamChecker {
 public:
  /// `plan` was built for `threads` threads and `batch` images of `graph`. All are borrowed.
  SeamChecker(const Graph& graph, int threads, int batch, Plan* plan)
      : plan_(*plan), threads_(threads), batch_(batch) {
    for (const TensorId id : graph.inputs) inputs_.push_back(RandomTensor(graph.tensor(id)));
    for (const TensorId id : graph.outputs) {
      outputs_.emplace_back(Bytes(graph.tensor(id)), uint8_t{0});
    }
    std::vector<const void*> in;
    std::vector<void*> out;
    for (std::vector<uint8_t>& b : inputs_) in.push_back(b.data());
    for (std::vector<uint8_t>& b : outputs_) out.push_back(b.data());
    plan->Bind({in.data(), out.data(), batch});
    memory_.push_back({plan_.memory, static_cast<size_t>(plan_.arena_bytes)});
    for (std::vector<uint8_t>& b : outputs_) memory_.push_back({b.data(), b.size()});
  }

  /// The first violation, or "".
  std::string Check() {
    for (size_t i = 0; i < plan_.ops.size(); ++i) {
      const std::string problem = CheckOp(*plan_.ops[i]);
      if (!problem.empty())
        return StrCat("operator ", i, " (", plan_.ops[i]->kernel, "): ", problem);
    }
    return "";
  }

  int operators() const { return static_cast<int>(plan_.ops.size()); }
  int64_t bytes_written() const { return bytes_written_; }

 private:
  struct Span {
    uint8_t* data;
    size_t size;
  };
  using Snapshot = std::vector<std::vector<uint8_t>>;
  using Mask = Snapshot;  ///< 1 or 0 for each byte.

  size_t Bytes(const Tensor& t) const {
    return static_cast<size_t>(t.shape.num_elements()) * DTypeSize(t.dtype) *
           static_cast<size_t>(batch_);
  }

  std::vector<uint8_t> RandomTensor(const Tensor& t) const {
    std::vector<uint8_t> bytes(Bytes(t));
    if (t.dtype == DType::kU8) {
      GenerateGoldenInput(5, std::span<uint8_t>(bytes));
    } else {
      std::vector<float> floats(bytes.size() / 4);
      GenerateGoldenInput(5, std::span<float>(floats));
      std::memcpy(bytes.data(), floats.data(), bytes.size());
    }
    return bytes;
  }

  Snapshot Save() const {
    Snapshot s;
    for (const Span& m : memory_) s.emplace_back(m.data, m.data + m.size);
    return s;
  }
  void Restore(const Snapshot& s) const {
    for (size_t i = 0; i < s.size(); ++i) std::memcpy(memory_[i].data, s[i].data(), s[i].size());
  }

  /// Sets [begin, end) of what a slot reaches in the arena.
  void Mark(const Slot& slot, int64_t begin, int64_t end, Mask* mask) const {
    const int64_t base = plan_.buffers[slot.buffer].offset + slot.at;
    std::fill((*mask)[0].begin() + (base + begin), (*mask)[0].begin() + (base + end), uint8_t{1});
  }

  std::string CheckOp(const Op& op) {
    const Snapshot before = Save();
    Mask none;
    for (const Span& m : memory_) none.emplace_back(m.size, uint8_t{0});
    Mask readable = none, writable = none, working = none;
    for (const Slot& slot : op.slots) {
      const std::string name = slot.argument;
      Mark(slot, slot.reach.begin(), slot.reach.end(), slot.written ? &writable : &readable);
      if (name == "scratch") Mark(slot, slot.reach.begin(), slot.reach.end(), &working);
    }
    for (const ExternalSlot& slot : op.external_slots) {
      if (slot.output)
        writable[static_cast<size_t>(1 + slot.index)].assign(outputs_[slot.index].size(),
                                                             uint8_t{1});
    }
    Mask taken = none;
    Snapshot result = before;
    for (int part = 0; part < threads_; ++part) {
      const Snapshot first = RunPoisoned(op, part, before, readable, 0x55);
      const Snapshot second = RunPoisoned(op, part, before, readable, 0xAA);
      for (size_t m = 0; m < memory_.size(); ++m) {
        for (size_t i = 0; i < memory_[m].size; ++i) {
          const uint8_t a = first[m][i], b = second[m][i];
          if (readable[m][i] != 0 ? a == before[m][i] && b == before[m][i] : a == 0x55 && b == 0xAA)
            continue;
          ++bytes_written_;
          const auto at = [&] {
            return StrCat("part ", part, " of ", threads_, ": byte ", i,
                          m == 0 ? " of the arena " : " of an output ");
          };
          if (readable[m][i] && !writable[m][i]) return StrCat(at(), "is an input and was written");
          if (!writable[m][i]) return StrCat(at(), "is nothing of this operator's and was written");
          if (taken[m][i]) return StrCat(at(), "was written by an earlier part, too");
          if (a != b && !working[m][i])
            return StrCat(at(), "depends on what the operator does not name as an input");
          taken[m][i] = 1;
          result[m][i] = a;
        }
      }
    }
    Restore(result);
    return "";
  }

  Snapshot RunPoisoned(const Op& op, int part, const Snapshot& before, const Mask& readable,
                       uint8_t poison) const {
    for (size_t m = 0; m < memory_.size(); ++m) {
      for (size_t i = 0; i < memory_[m].size; ++i)
        memory_[m].data[i] = readable[m][i] ? before[m][i] : poison;
    }
    // Parts need not be equal.
    StepPart what = StepPart::Of(part, threads_);
    const auto cut = [&](uint32_t i) {
      return StepPart::kWhole * i * i / static_cast<uint32_t>(threads_ * threads_);
    };
    if (batch_ % 2 == 0) {
      what.begin = cut(static_cast<uint32_t>(part));
      what.end = cut(static_cast<uint32_t>(part) + 1);
    }
    op.RunWithHalo(what);
    return Save();
  }

  const Plan& plan_;
  const int threads_, batch_;
  std::vector<std::vector<uint8_t>> inputs_, outputs_;
  std::vector<Span> memory_;  ///< The arena, then the outputs.
  int64_t bytes_written_ = 0;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_SEAMS_H_
