#include "kernels/dispatch.h"

#include <cstdlib>

#include "kernels/cpu_features.h"
#include "kernels/tables.h"

namespace octet::kernels {
std::vector<TableInfo> AllTables() {
  const CpuFeatures& cpu = GetCpuFeatures();
  const KernelTable *emulated512 = nullptr, *sse2 = nullptr, *avx2 = nullptr, *avxvnni = nullptr;
  const KernelTable *avx512vnni = nullptr, *neon = nullptr, *neondot = nullptr, *neoni8mm = nullptr;
#ifdef OCTET_EMULATED512
  emulated512 = &kEmulated512Table;
#endif
#if defined(__x86_64__)
  sse2 = &kSse2Table;
  avx2 = &kAvx2Table;
  avxvnni = &kAvxVnniTable;
  avx512vnni = &kAvx512VnniTable;
#elif defined(__aarch64__)
  neon = &kNeonTable;
  neondot = &kNeonDotTable;
  neoni8mm = &kNeonI8mmTable;
#endif
  const auto native = [](const KernelTable* table, const char* name, bool available) {
    const bool usable = table != nullptr && available;
    return TableInfo{table, name, usable ? Availability::kNative : Availability::kUnavailable};
  };
  return {
      native(&kReferenceTable, "reference", true),
      {emulated512, "emulated512",
       emulated512 != nullptr ? Availability::kEmulated : Availability::kUnavailable},
      native(sse2, "sse2", true),
      native(avx2, "avx2", cpu.avx2),
      native(avxvnni, "avxvnni", cpu.avxvnni),
      native(avx512vnni, "avx512vnni", cpu.avx512vnni),
      native(neon, "neon", true),
      native(neondot, "neondot", cpu.neondot),
      native(neoni8mm, "neoni8mm", cpu.neondot && cpu.i8mm),
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
