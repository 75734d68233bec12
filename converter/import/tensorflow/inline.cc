// Inliner flattens what the outputs need, depth first with a stack of its own and a Scope for each
// call; identities and calls become the values behind them. AssignmentFinder follows control edges
// and whole functions as well, to find variables that a run may assign. RestoredKeys reads off the
// assignments behind RestoreV2 what each variable is called in the checkpoint. Work is counted, as
// calls can multiply.
#include "converter/import/tensorflow/inline.h"

#include <charconv>
#include <cstdint>
#include <protozero/exception.hpp>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet::tf {
namespace {

constexpr int kMaxDepth = 64;  // Of nested calls.
// Nodes plus their inputs, after inlining: calls can multiply exponentially.
constexpr int64_t kMaxWork = 1 << 18;

bool IsCall(std::string_view op) {
  return op == "StatefulPartitionedCall" || op == "PartitionedCall";
}

/// Operators that only hand their first input on.
bool IsIdentity(std::string_view op) {
  return op == "Identity" || op == "IdentityN" || op == "StopGradient" || op == "PreventGradient" ||
         op == "CheckNumerics" || op == "Snapshot" || op == "EnsureShape" ||
         op == "PlaceholderWithDefault";
}

struct Reference {
  std::string_view node;
  int output = 0;
  bool control = false;
};

/// "node", "node:k" or "^node" in the main graph; "argument", "node:name:k" or "^node" in a
/// function.
Result<Reference> ParseReference(std::string_view text) {
  Reference reference;
  if (text.starts_with('^')) {
    reference.node = text.substr(1);
    reference.control = true;
    return reference;
  }
  const size_t first = text.find(':');
  reference.node = text.substr(0, first);
  if (first == std::string_view::npos) return reference;
  const size_t last = text.rfind(':');
  const std::string_view digits = text.substr(last + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), reference.output);
  if (error != std::errc() || end != digits.data() + digits.size() || reference.output < 0) {
    return Corrupt(StrCat("'", text, "' is no reference to a node's output"));
  }
  // In a function the index counts within the named output. Batch norm is the one multi-output
  // operator here: y, then statistics.
  if (last != first) {
    const std::string_view name = text.substr(first + 1, last - first - 1);
    if (name == "batch_mean" || name == "batch_variance" || name.starts_with("reserve_space"))
      reference.output = 1;
  }
  return reference;
}

/// Which variables a run may assign. TensorFlow runs what the outputs need by data or by control
/// edges, and of a function whatever has an effect.
class AssignmentFinder {
 public:
  explicit AssignmentFinder(const MetaGraph& meta) : meta_(meta) {}

  Result<std::set<std::string_view>> Run(const std::vector<std::string_view>& outputs) {
    const GraphDef& graph = meta_.graph;
    std::vector<std::string_view> stack(outputs.begin(), outputs.end());
    std::vector<bool> seen(graph.nodes.size(), false);
    while (!stack.empty()) {
      OCTET_ASSIGN_OR_RETURN(const Reference reference, ParseReference(stack.back()));
      stack.pop_back();
      const auto it = graph.index.find(reference.node);
      if (it == graph.index.end() || seen[static_cast<size_t>(it->second)]) continue;
      seen[static_cast<size_t>(it->second)] = true;
      const NodeDef& node = graph.nodes[static_cast<size_t>(it->second)];
      stack.insert(stack.end(), node.inputs.begin(), node.inputs.end());
      OCTET_RETURN_IF_ERROR(Visit(graph, node, {}, 0));
    }
    return std::move(assigned_);
  }

 private:
  using Arguments = std::unordered_map<std::string_view, std::string_view>;

  static bool Assigns(std::string_view op) {
    return op.starts_with("Assign") || op.starts_with("Scatter") ||
           op.starts_with("ResourceScatter") || op.starts_with("ResourceApply") ||
           op.starts_with("ResourceStridedSliceAssign");
  }

  /// The main graph's variable behind a reference, or "".
  static std::string_view Variable(const GraphDef& graph, const Arguments& arguments,
                                   std::string_view text) {
    for (int i = 0; i < 16; ++i) {
      const Result<Reference> reference = ParseReference(text);
      if (!reference.ok() || reference->control) return "";
      if (const auto it = arguments.find(reference->node); it != arguments.end()) return it->second;
      const auto it = graph.index.find(reference->node);
      if (it == graph.index.end()) return "";
      const NodeDef& node = graph.nodes[static_cast<size_t>(it->second)];
      if (node.op == "VarHandleOp" || node.op == "VariableV2" || node.op == "Variable")
        return node.name;
      if (!IsIdentity(node.op) || node.inputs.empty()) return "";
      text = node.inputs[0];
    }
    return "";
  }

  Status Visit(const GraphDef& graph, const NodeDef& node, const Arguments& arguments, int depth) {
    work_left_ -= 1 + static_cast<int64_t>(node.inputs.size());
    if (work_left_ < 0 || depth > kMaxDepth)
      return Unsupported(
          "graph has more than a quarter million nodes and inputs after inlining "
          "its functions");
    const bool call = IsCall(node.op);
    const auto function = call ? meta_.functions.find(node.Function("f")) : meta_.functions.end();
    // Branches and loops are not followed: they may assign whatever they are given.
    const bool branches = node.op == "If" || node.op == "While" || node.op == "Case";
    if (function == meta_.functions.end()) {
      for (size_t i = 0; i < node.inputs.size() && (branches || (i == 0 && Assigns(node.op)));
           ++i) {
        const std::string_view name = Variable(graph, arguments, node.inputs[i]);
        if (!name.empty()) assigned_.insert(name);
      }
      return OkStatus();
    }
    Arguments inner;
    bool any = false;
    const std::vector<std::string_view>& names = function->second.inputs;
    for (size_t i = 0; i < names.size() && i < node.inputs.size(); ++i) {
      const std::string_view name = Variable(graph, arguments, node.inputs[i]);
      any = any || !name.empty();
      inner.emplace(names[i], name);
    }
    if (!any) return OkStatus();  // Without variables nothing can be assigned.
    const GraphDef& body = function->second.body;
    for (const NodeDef& next : body.nodes)
      OCTET_RETURN_IF_ERROR(Visit(body, next, inner, depth + 1));
    return OkStatus();
  }

  const MetaGraph& meta_;
  std::set<std::string_view> assigned_;
  int64_t work_left_ = kMaxWork;
};

class Inliner {
 public:
  explicit Inliner(const MetaGraph& meta) : meta_(meta) {}

  Result<FlatGraph> Run(const std::vector<std::string_view>& outputs) {
    Scope scope(&meta_.graph);
    OCTET_ASSIGN_OR_RETURN(flat_.outputs, Expand(&scope, outputs, 0));
    OCTET_ASSIGN_OR_RETURN(flat_.assigned, AssignmentFinder(meta_).Run(outputs));
    return std::move(flat_);
  }

 private:
  struct Scope {
    explicit Scope(const GraphDef* g)
        : graph(g), state(g->nodes.size(), kUnseen), values(g->nodes.size()) {}
    enum State : uint8_t { kUnseen, kOpen, kDone };
    const GraphDef* graph;
    std::unordered_map<std::string_view, ValueRef> arguments;
    std::vector<State> state;
    // Of calls and identities: what their outputs are. Empty for flat nodes, which are in `flat`.
    std::vector<std::vector<ValueRef>> values;
    std::unordered_map<int, int> flat;
  };

  Status Spend(int64_t work) {
    work_left_ -= work;
    if (work_left_ >= 0) return OkStatus();
    return Unsupported(
        "graph has more than a quarter million nodes and inputs after inlining its functions");
  }

  Result<int> Index(const Scope& scope, std::string_view name) const {
    const auto it = scope.graph->index.find(name);
    if (it == scope.graph->index.end())
      return Corrupt(StrCat("node '", name, "' is referred to but does not exist"));
    return it->second;
  }

  Result<ValueRef> Value(const Scope& scope, const Reference& reference) const {
    const auto argument = scope.arguments.find(reference.node);
    if (argument != scope.arguments.end()) return argument->second;
    OCTET_ASSIGN_OR_RETURN(const int index, Index(scope, reference.node));
    const auto flat = scope.flat.find(index);
    if (flat != scope.flat.end()) return ValueRef{flat->second, reference.output};
    const std::vector<ValueRef>& values = scope.values[index];
    if (static_cast<size_t>(reference.output) >= values.size()) {
      return Corrupt(StrCat("node '", reference.node, "' has ", values.size(), " outputs, number ",
                            reference.output, " is used"));
    }
    return values[reference.output];
  }

  /// Flattens what the references need and resolves them. Depth-first with a stack of our own:
  /// graphs may be deep.
  Result<std::vector<ValueRef>> Expand(Scope* scope, const std::vector<std::string_view>& wanted,
                                       int depth) {
    std::vector<int> stack;
    std::vector<ValueRef> result;
    for (const std::string_view text : wanted) {
      OCTET_ASSIGN_OR_RETURN(const Reference root, ParseReference(text));
      if (!scope->arguments.count(root.node)) {
        OCTET_ASSIGN_OR_RETURN(const int index, Index(*scope, root.node));
        if (scope->state[index] == Scope::kUnseen) stack.push_back(index);
      }
      while (!stack.empty()) {
        const int index = stack.back();
        if (scope->state[index] == Scope::kDone) {
          stack.pop_back();
        } else if (scope->state[index] == Scope::kUnseen) {
          scope->state[index] = Scope::kOpen;
          OCTET_RETURN_IF_ERROR(
              Spend(1 + static_cast<int64_t>(scope->graph->nodes[index].inputs.size())));
          OCTET_RETURN_IF_ERROR(PushInputs(*scope, index, &stack));
        } else {
          scope->state[index] = Scope::kDone;
          stack.pop_back();
          OCTET_RETURN_IF_ERROR(Finish(scope, index, depth));
        }
      }
      OCTET_ASSIGN_OR_RETURN(const ValueRef value, Value(*scope, root));
      result.push_back(value);
    }
    return result;
  }

  Status PushInputs(const Scope& scope, int index, std::vector<int>* stack) const {
    const NodeDef& node = scope.graph->nodes[index];
    for (const std::string_view input : node.inputs) {
      OCTET_ASSIGN_OR_RETURN(const Reference reference, ParseReference(input));
      if (reference.control || scope.arguments.count(reference.node)) continue;
      OCTET_ASSIGN_OR_RETURN(const int next, Index(scope, reference.node));
      if (scope.state[next] == Scope::kOpen) {
        return Unsupported(
            StrCat("node '", node.name, "' is part of a loop; octet has no control flow"));
      }
      if (scope.state[next] == Scope::kUnseen) stack->push_back(next);
    }
    return OkStatus();
  }

  Status Finish(Scope* scope, int index, int depth) {
    const NodeDef& node = scope->graph->nodes[index];
    std::vector<ValueRef> inputs;
    for (const std::string_view text : node.inputs) {
      OCTET_ASSIGN_OR_RETURN(const Reference reference, ParseReference(text));
      if (reference.control) continue;
      OCTET_ASSIGN_OR_RETURN(const ValueRef value, Value(*scope, reference));
      inputs.push_back(value);
    }
    if (IsCall(node.op)) {
      OCTET_ASSIGN_OR_RETURN(scope->values[index], Call(node, inputs, depth + 1));
    } else if (IsIdentity(node.op) && !inputs.empty() &&
               !(node.op == "PlaceholderWithDefault" && depth == 0)) {
      scope->values[index] = std::move(inputs);
    } else {
      scope->flat.emplace(index, static_cast<int>(flat_.nodes.size()));
      flat_.nodes.push_back({&node, std::move(inputs)});
    }
    return OkStatus();
  }

  Result<std::vector<ValueRef>> Call(const NodeDef& node, const std::vector<ValueRef>& inputs,
                                     int depth) {
    const std::string_view name = node.Function("f");
    const auto it = meta_.functions.find(name);
    if (it == meta_.functions.end()) {
      return Corrupt(
          StrCat("node '", node.name, "' calls function '", name, "', which does not exist"));
    }
    if (depth > kMaxDepth)
      return Unsupported(
          StrCat("function '", name, "' is called more than ", kMaxDepth, " levels deep"));
    const FunctionDef& function = it->second;
    if (function.inputs.size() != inputs.size()) {
      return Corrupt(StrCat("node '", node.name, "' calls function '", name, "' with ",
                            inputs.size(), " inputs, expected ", function.inputs.size()));
    }
    // A scope costs as much as the function has nodes, used or not.
    OCTET_RETURN_IF_ERROR(
        Spend(static_cast<int64_t>(function.body.nodes.size() + function.outputs.size()) / 4));
    Scope scope(&function.body);
    for (size_t i = 0; i < inputs.size(); ++i)
      scope.arguments.emplace(function.inputs[i], inputs[i]);
    std::vector<std::string_view> outputs;
    for (const std::string_view output : function.outputs) {
      const auto found = function.returns.find(output);
      if (found == function.returns.end())
        return Corrupt(StrCat("function '", name, "' does not return its output '", output, "'"));
      outputs.push_back(found->second);
    }
    return Expand(&scope, outputs, depth);
  }

  const MetaGraph& meta_;
  FlatGraph flat_;
  int64_t work_left_ = kMaxWork;
};

/// Follows identities and casts from `text` to another node's output.
Result<Reference> Trace(const GraphDef& graph, std::string_view text) {
  for (int i = 0; i < 16; ++i) {
    OCTET_ASSIGN_OR_RETURN(const Reference reference, ParseReference(text));
    const auto it = graph.index.find(reference.node);
    if (it == graph.index.end()) return reference;  // A function's argument.
    const NodeDef& node = graph.nodes[it->second];
    if (!IsIdentity(node.op) || node.inputs.empty()) return reference;
    text = node.inputs[0];
  }
  return Corrupt(StrCat("'", text, "' is a long chain of identities"));
}

/// Calls found(variable, key) for every restored tensor that this graph assigns.
template <typename F>
Status ForEachAssignment(const GraphDef& graph, const F& found) {
  // Of each RestoreV2's tensors.
  std::unordered_map<std::string_view, std::vector<std::string>> names;
  for (const NodeDef& node : graph.nodes) {
    if ((node.op != "AssignVariableOp" && node.op != "Assign") || node.inputs.size() < 2) continue;
    OCTET_ASSIGN_OR_RETURN(const Reference variable, Trace(graph, node.inputs[0]));
    OCTET_ASSIGN_OR_RETURN(const Reference value, Trace(graph, node.inputs[1]));
    const auto restore = graph.index.find(value.node);
    if (restore == graph.index.end() || graph.nodes[restore->second].op != "RestoreV2") continue;
    auto it = names.find(value.node);
    if (it == names.end()) {
      it = names.emplace(value.node, std::vector<std::string>()).first;
      const NodeDef& op = graph.nodes[restore->second];
      if (op.inputs.size() < 2)
        return Corrupt(StrCat("node '", op.name, "' (RestoreV2) has no tensor names"));
      OCTET_ASSIGN_OR_RETURN(const Reference list, Trace(graph, op.inputs[1]));
      const auto constant = graph.index.find(list.node);
      if (constant == graph.index.end()) continue;
      if (const auto bytes = graph.nodes[constant->second].Bytes("value", 8)) {
        int64_t no_numbers = 0;
        OCTET_ASSIGN_OR_RETURN(Constant tensor, ParseTensor(*bytes, &no_numbers));
        it->second = std::move(tensor.strings);
      }
    }
    if (static_cast<size_t>(value.output) < it->second.size())
      found(variable.node, it->second[value.output]);
  }
  return OkStatus();
}

}  // namespace

Result<FlatGraph> Inline(const MetaGraph& meta, const std::vector<std::string_view>& outputs) {
  try {
    return Inliner(meta).Run(outputs);
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("malformed attribute: ", e.what()));
  }
}

Result<std::map<std::string, std::string, std::less<>>> RestoredKeys(const MetaGraph& meta) {
  std::map<std::string, std::string, std::less<>> keys;
  try {
    // TensorFlow 1 has the assignments in the main graph...
    OCTET_RETURN_IF_ERROR(
        ForEachAssignment(meta.graph, [&](std::string_view variable, const std::string& key) {
          keys.emplace(std::string(variable), key);
        }));
    // ...TensorFlow 2 in a function that gets the variables as arguments.
    OCTET_ASSIGN_OR_RETURN(const Reference restore, ParseReference(meta.restore_op));
    const auto node = meta.graph.index.find(restore.node);
    if (node == meta.graph.index.end()) return keys;
    const NodeDef& call = meta.graph.nodes[node->second];
    if (!IsCall(call.op)) return keys;
    const auto function = meta.functions.find(call.Function("f"));
    if (function == meta.functions.end()) return keys;
    std::unordered_map<std::string_view, std::string_view> variables;  // By argument name.
    const std::vector<std::string_view>& arguments = function->second.inputs;
    for (size_t i = 0; i < arguments.size() && i < call.inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(const Reference variable, Trace(meta.graph, call.inputs[i]));
      variables.emplace(arguments[i], variable.node);
    }
    OCTET_RETURN_IF_ERROR(ForEachAssignment(function->second.body,
                                            [&](std::string_view argument, const std::string& key) {
                                              const auto it = variables.find(argument);
                                              if (it != variables.end())
                                                keys.emplace(std::string(it->second), key);
                                            }));
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("malformed attribute: ", e.what()));
  }
  return keys;
}

}  // namespace octet::tf
