// Function inlining: from a SavedModel's graph and functions to one flat list of nodes.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_INLINE_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_INLINE_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/tensorflow/proto.h"
#include "formats/base/status.h"

namespace octet::tf {

/// An output of a flat node.
struct ValueRef {
  int node = -1;
  int output = 0;
  bool operator==(const ValueRef&) const = default;
};

/// A node of the main graph or of an inlined function. Calls and identities are resolved and do not
/// appear.
struct FlatNode {
  const NodeDef* def = nullptr;
  std::vector<ValueRef> inputs;
};

/// What the wanted outputs need, inputs before users.
struct FlatGraph {
  std::vector<FlatNode> nodes;
  std::vector<ValueRef> outputs;
  /// Variables of the main graph, by their nodes' names, that running it may assign: control edges
  /// and whole function bodies count too.
  std::set<std::string_view> assigned;
};

/// Inlines everything that `outputs` ("node:k" of the main graph) depend on. Errors: kCorrupt
/// (unknown nodes or functions, cycles), kUnsupported (recursion, more than a quarter million
/// nodes). The result points into `meta`.
Result<FlatGraph> Inline(const MetaGraph& meta, const std::vector<std::string_view>& outputs);

/// From the name of a variable's node in the main graph to its key in the tensor bundle, by what
/// the graph's own restore operation assigns. Variables that it does not mention are missing.
/// Errors: kCorrupt.
Result<std::map<std::string, std::string, std::less<>>> RestoredKeys(const MetaGraph& meta);

}  // namespace octet::tf

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_INLINE_H_
