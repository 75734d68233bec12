#include "kernels/dispatch.h"

#include <cstdlib>

#include "kernels/cpu_features.h"
#include "kernels/tables.h"

namespace octet::kernels {
namespace {

Availability NativeIf(bool available) {
  return available ? Availability::kNative : Availability::kUnavailable;
}

#if defined(__x86_64__)
constexpr bool kX86 = true;
#else
constexpr bool kX86 = false;
#endif

}  // namespace

std::vector<TableInfo> AllTables() {
  const CpuFeatures& cpu = GetCpuFeatures();
  const KernelTable *avx2 = nullptr, *avxvnni = nullptr, *avx512vnni = nullptr;
  const KernelTable* emulated512 = nullptr;
#ifdef OCTET_EMULATED512
  emulated512 = &kEmulated512Table;
#endif
#if defined(__x86_64__)
  avx2 = &kAvx2Table;
  avxvnni = &kAvxVnniTable;
  avx512vnni = &kAvx512VnniTable;
#endif
  return {
      {&kReferenceTable, "reference", Availability::kNative},
      {emulated512, "emulated512",
       emulated512 != nullptr ? Availability::kEmulated : Availability::kUnavailable},
      {avx2, "avx2", NativeIf(kX86 && cpu.avx2)},
      {avxvnni, "avxvnni", NativeIf(kX86 && cpu.avxvnni)},
      {avx512vnni, "avx512vnni", NativeIf(kX86 && cpu.avx512vnni)},
  };
}

Result<const KernelTable*> SelectTable(const std::string& isa) {
  std::string wanted = isa;
  if (wanted.empty()) {
    const char* forced = std::getenv("OCTET_ISA");
    if (forced != nullptr) wanted = forced;
  }
  const KernelTable* best = nullptr;
  std::string known;
  for (const TableInfo& info : AllTables()) {
    if (wanted.empty()) {
      if (info.availability == Availability::kNative) best = info.table;
      continue;
    }
    known += (known.empty() ? "" : ", ") + std::string(info.name);
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
    return InvalidArgument("instruction set \"" + wanted + "\": unknown, expected one of " + known);
  }
  return best;
}

}  // namespace octet::kernels
