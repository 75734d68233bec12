// AllTables makes of OCTET_INSTRUCTION_SETS (instruction_sets.h), where better ones stand behind,
// the tables of this build and processor; SelectTable takes the last one that runs here.
#include "kernels/dispatch.h"

#include <cstdlib>

#include "formats/base/closest.h"
#include "kernels/cpu_features.h"
#include "kernels/tables.h"

// A TableInfo by what OCTET_INSTRUCTION_SETS says a table is built for.
#define OCTET_PRESENT(name, symbol)  \
  {Whole<&k##symbol##Table>(), name, \
   Has##symbol() ? Availability::kNative : Availability::kUnavailable},
#define OCTET_ABSENT(name, symbol) {nullptr, name, Availability::kUnavailable},
#define OCTET_ALWAYS OCTET_PRESENT
#if defined(__x86_64__)
#define OCTET_X86 OCTET_PRESENT
#else
#define OCTET_X86 OCTET_ABSENT
#endif
#if defined(__aarch64__)
#define OCTET_ARM OCTET_PRESENT
#else
#define OCTET_ARM OCTET_ABSENT
#endif
#define OCTET_EMULATED(name, symbol) \
  {emulated_tables.symbol, name,     \
   emulated_tables.symbol != nullptr ? Availability::kEmulated : Availability::kUnavailable},
// For what OCTET_ISAS leaves out kernels/CMakeLists.txt defines OCTET_LEFT_OUT_name as
// 0,OCTET_ABSENT: then that comes second.
#define OCTET_SECOND(first, second, ...) second
#define OCTET_PICK(...) OCTET_SECOND(__VA_ARGS__)

namespace octet::kernels {

constinit EmulatedTables emulated_tables;

namespace {

template <const KernelTable* kTable>
const KernelTable* Whole() {
  if (kTable->base == nullptr) return kTable;
  static const KernelTable whole = WithBase(*kTable);
  return &whole;
}

}  // namespace

std::vector<TableInfo> AllTables() {
#define OCTET_INFO(name, symbol, built, flags) \
  OCTET_PICK(OCTET_LEFT_OUT_##name, OCTET_##built, )(#name, symbol)
  return {OCTET_INSTRUCTION_SETS(OCTET_INFO)};
#undef OCTET_INFO
}

Result<const KernelTable*> SelectTable(const std::string& isa) {
  std::string wanted = isa;
  if (wanted.empty()) {
    const char* forced = std::getenv("OCTET_ISA");
    if (forced != nullptr) wanted = forced;
  }
  const KernelTable* best = nullptr;
  std::string known;
  std::vector<std::string> names;
  for (const TableInfo& info : AllTables()) {
    if (wanted.empty()) {
      if (info.availability == Availability::kNative) best = info.table;
      continue;
    }
    if (info.availability != Availability::kUnavailable) {
      names.emplace_back(info.name);
      known += (known.empty() ? "" : ", ") + names.back();
    }
    if (wanted != info.name) continue;
    if (info.table == nullptr) {
      return Unsupported("instruction set \"" + wanted + "\": not part of this build");
    }
    if (info.availability == Availability::kUnavailable) {
      return Unsupported("instruction set \"" + wanted + "\": this processor (" + CpuModelName() +
                         ") does not have it");
    }
    return info.table;
  }
  if (!wanted.empty()) {
    return InvalidArgument("instruction set \"" + wanted + "\": unknown, expected one of " + known +
                           DidYouMean(wanted, names));
  }
  return best;
}

}  // namespace octet::kernels
