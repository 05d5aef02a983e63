#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/warp_internal.hpp"

/// Branches, calls, barriers (PTX ISA, "Control Flow" and "Parallel Synchronization and Communication Instructions").
namespace vgpu::softgpu::ptx {
namespace {

void trap(Warp& w, const Insn&, u32 mask) {
  w.raise(Fault::trap, static_cast<u32>(std::countr_zero(mask)), 0, "a trap instruction");
}
void breakpoint(Warp& w, const Insn&, u32 mask) {
  w.raise(Fault::trap, static_cast<u32>(std::countr_zero(mask)), 0, "a breakpoint without a debugger");
}
void nothing(Warp&, const Insn&, u32) {}

std::vector<Stretch> frame_variables(Builder& b, const ast::Operand& list) {
  std::vector<Stretch> out;
  for (const ast::Operand& one : list.items) out.push_back(b.frame_variable(one));
  return out;
}

void check_signature(Builder& b, const CallSite& site, const std::vector<Stretch>& returns,
                     const std::vector<Stretch>& parameters) {
  b.need(site.results.size() == returns.size(), "the call takes another number of results");
  b.need(site.arguments.size() == parameters.size(), "the call passes another number of arguments");
  for (std::size_t i = 0; i < returns.size(); ++i) {
    b.need(site.results[i].bytes == returns[i].bytes, "a result has another size");
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    b.need(site.arguments[i].bytes == parameters[i].bytes, "an argument has another size");
  }
}

/// malloc, free and what nvcc calls for a new with an alignment.
bool decode_heap_call(Builder& b, std::string_view name, CallSite& site) {
  const bool aligned = name == "__cuda_syscall_aligned_malloc";
  const bool releases = name == "free";
  if (!aligned && !releases && name != "malloc") return false;
  b.need(site.results.size() == (releases ? 0u : 1u) && (releases || site.results[0].bytes == 8), "unexpected results");
  b.need(site.arguments.size() == (aligned ? 2u : 1u), "unexpected arguments");
  for (const Stretch& one : site.arguments) b.need(one.bytes == 8, "unexpected arguments");
  site.builtin = releases ? Builtin::heap_release : Builtin::heap_allocate;
  return true;
}

/// cudaGraphSetConditional(handle, value).
bool decode_condition_call(Builder& b, std::string_view name, CallSite& site) {
  if (name != "cudaGraphSetConditional") return false;
  b.need(site.results.empty(), "unexpected results");
  b.need(site.arguments.size() == 2 && site.arguments[0].bytes == 8 && site.arguments[1].bytes == 4,
         "unexpected arguments");
  site.builtin = Builtin::set_condition;
  return true;
}

void decode_call(Builder& b, Words& w) {
  const auto& in = w.instruction();
  w.take("uni");
  CallSite site;
  std::size_t at = 0;
  using Kind = ast::Operand::Kind;
  if (at < in.operands.size() && in.operands[at].kind == Kind::list)
    site.results = frame_variables(b, in.operands[at++]);
  b.need(at < in.operands.size() && in.operands[at].kind == Kind::name, "expected a function");
  const ast::Operand& target = in.operands[at++];
  if (at < in.operands.size() && in.operands[at].kind == Kind::list)
    site.arguments = frame_variables(b, in.operands[at++]);
  if (b.register_type(target) != Type::none) {
    b.need(at < in.operands.size() && in.operands[at].kind == Kind::name, "an indirect call needs a prototype");
    const ast::Signature* signature = b.prototype(in.operands[at].name);
    b.need(signature != nullptr, "the prototype is not known");
    std::vector<Stretch> returns;
    std::vector<Stretch> parameters;
    layout(*signature, returns, parameters);
    check_signature(b, site, returns, parameters);
    site.target = b.read(target, Type::u64);
    b.out().calls_indirectly = true;
  } else {
    const auto found = b.names().names.find(target.name);
    b.need(found != b.names().names.end() && found->second.kind == ModuleNames::Entry::Kind::function,
           "a call of what is not a function");
    if (target.name == "vprintf" || target.name == "__assertfail") {
      const bool prints = target.name == "vprintf";
      site.builtin = prints ? Builtin::vprintf : Builtin::assertfail;
      const std::vector<Stretch> one_result(prints ? 1 : 0, Stretch{0, 4});
      b.need(site.results.size() == one_result.size() && (!prints || site.results[0].bytes == 4), "unexpected results");
      b.need(site.arguments.size() == (prints ? 2u : 5u), "unexpected arguments");
      for (std::size_t i = 0; i < site.arguments.size(); ++i) {
        b.need(site.arguments[i].bytes == (!prints && i == 2 ? 4u : 8u), "unexpected arguments");
      }
    } else if (!b.has_body(found->second.index) && decode_heap_call(b, target.name, site)) {
      b.out().uses_heap = true;
    } else if (b.has_body(found->second.index) || !decode_condition_call(b, target.name, site)) {
      site.function = found->second.index;
      b.out().callees.push_back(found->second.index);
    }
  }
  Insn& insn = b.emit(Flow::call);
  insn.target = static_cast<u32>(b.out().calls.size());
  b.out().calls.push_back(std::move(site));
}

void decode_barrier(Builder& b, Words& w) {
  const auto& in = w.instruction();
  w.take("cta");
  w.take("aligned");
  if (w.take("warp")) {
    if (!w.take("sync")) b.refuse("expected .sync");
    b.need_operands(1);
    const Ref members = b.read(in.operands[0], Type::b32);
    Insn& insn = b.emit(Flow::warp_sync);
    insn.e = members;
    insn.flags = kAnyPlace;
    return;
  }
  BarrierKind kind = BarrierKind::sync;
  const bool reduces = w.take("red");
  std::size_t at = 0;
  Ref d = kNoRef;
  if (reduces) {
    if (w.take("popc")) {
      kind = BarrierKind::count_true;
      b.need(w.take("u32"), "expected .u32");
    } else {
      kind = w.take("and") ? BarrierKind::all_true : BarrierKind::any_true;
      b.need(kind == BarrierKind::all_true || w.take("or"), "expected .popc, .and or .or");
      b.need(w.take("pred"), "expected .pred");
    }
    b.need(in.operands.size() >= 3, "wrong number of operands");
    d = kind == BarrierKind::count_true ? b.write(in.operands[0], Type::u32) : b.write_predicate(in.operands[0].name);
    at = 1;
  } else if (w.take("arrive")) {
    kind = BarrierKind::arrive;
  } else if (!w.take("sync")) {
    b.refuse("expected .sync, .arrive or .red");
  }
  b.need(at < in.operands.size(), "wrong number of operands");
  const auto& which = in.operands[at];
  b.need(which.kind != ast::Operand::Kind::integer || which.value < kBarriers, "there are 16 barriers, 0 to 15");
  const Ref number = b.read(in.operands[at++], Type::u32);
  Ref count = kNoRef;
  Ref truth = kNoRef;
  std::uint8_t flags = 0;
  if (in.operands.size() - at == (reduces ? 2u : 1u)) count = b.read(in.operands[at++], Type::u32);
  if (reduces) {
    b.need(at < in.operands.size(), "wrong number of operands");
    truth = b.read_predicate(in.operands[at]);
    if (in.operands[at].inverted) flags = kPredicateInverted;
    ++at;
  }
  b.need(at == in.operands.size(), "wrong number of operands");
  b.need(kind != BarrierKind::arrive || count != kNoRef, "an arrival needs a number of threads");
  Insn& insn = b.emit(Flow::barrier);
  insn.d = d;
  insn.a = number;
  insn.b = count;
  insn.c = truth;
  insn.count = static_cast<std::uint8_t>(kind);
  insn.flags = flags;
}

}  // namespace

bool decode_control(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  if (op == "bra") {
    w.take("uni");
    b.need_operands(1);
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a label");
    b.emit(Flow::branch);
    b.branch_to(in.operands[0].name);
    return true;
  }
  if (op == "brx") {
    b.need(w.take("idx"), "expected .idx");
    w.take("uni");
    b.need_operands(2);
    const Ref index = b.read(in.operands[0], Type::u32);
    const u32 table = b.table(in.operands[1].name);
    Insn& insn = b.emit(Flow::branch_table);
    insn.a = index;
    insn.target = table;
    return true;
  }
  if (op == "call") return decode_call(b, w), true;
  if (op == "ret") {
    w.take("uni");
    b.need_operands(0);
    b.emit(Flow::ret);
    return true;
  }
  if (op == "exit") {
    b.need_operands(0);
    b.emit(Flow::exit);
    return true;
  }
  if (op == "bar") return decode_barrier(b, w), true;
  if (op == "barrier") {
    if (!w.take("cluster")) return decode_barrier(b, w), true;
    // A grid is made of clusters of one block: its barrier is the block's own, apart from the sixteen named ones only
    // in that arrival and waiting are two instructions. The arrival is left to the wait.
    for (const std::string_view word : {"acquire", "release", "relaxed", "aligned"}) w.take(word);
    b.need_operands(0);
    if (w.take("arrive")) {
      b.emit(nothing);
      return true;
    }
    b.need(w.take("wait"), "expected .arrive or .wait");
    b.emit(Flow::barrier).a = b.constant(0, false);
    return true;
  }
  if (op == "trap" || op == "brkpt") {
    b.need_operands(0);
    b.emit(op == "trap" ? trap : breakpoint);
    return true;
  }
  if (op == "nanosleep") {
    b.need_operands(1);
    w.take("u32");
    b.emit(Flow::yield);
    return true;
  }
  if (op == "setmaxnreg") {
    while (!w.left().empty()) w.take_any();
    b.emit(nothing);
    return true;
  }
  if (op == "griddepcontrol") {
    // Grids of a stream run one after another: what the instruction waits for has happened.
    w.take("launch_dependents");
    w.take("wait");
    b.emit(nothing);
    return true;
  }
  if (op == "pmevent") {
    while (!w.left().empty()) w.take_any();
    b.emit(nothing);
    return true;
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
