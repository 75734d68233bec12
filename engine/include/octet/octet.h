// octet: inference of residual image classifiers. C++17 is enough to use it, with or without
// exceptions and RTTI; octet_c.h is the same for C.
//
//   auto model = octet::Model::Load("flowers.octet");
//   if (!model.ok()) throw std::runtime_error(model.status().message());
//   auto session = octet::Session::Create(*model, {});
//   auto top = (*session)->Classify({pixels, width, height}, 5);
//   for (const octet::Prediction& p : *top) printf("%s %.3f\n", p.label.c_str(), p.probability);
//
//   // Any tensors:
//   const octet::ModelDescription& d = (*model)->Describe();
//   std::vector<uint8_t> in(d.inputs[0].num_bytes()), out(d.outputs[0].num_bytes());
//   octet::Status status = (*session)->Run({{in.data(), in.size()}}, {{out.data(), out.size()}});
//
// What a host may rely on:
// - No function throws, aborts or prints. One that could not get memory says so by kOutOfMemory,
//   has given back what it had, and can be called again; no object is unusable afterwards.
// - Results do not depend on the calling thread's floating-point environment (rounding mode,
//   flushing of denormal numbers, traps), which is as it was when a function returns.
// - Files that anybody may have made can be loaded. ModelOptions bounds the memory and the size of
//   what they make of themselves; time is proportional to what a model computes.
// - A model file is deployed by rename: write a temporary file in the same folder, fsync, rename.
//   See Residency for what happens otherwise.
// - Stack: a thread of 64 KiB is enough for every function. AVX2's integer kernels need that much;
//   with those of the other x86 sets, 16 KiB do.
// - Threads: with num_threads of 1 the library never starts a thread. With more, Session::Create
//   starts them, unless it is given a ThreadPool or the host's own threads (Executor); Run never
//   does. They take no signals but of faults, sleep when there is nothing to do, and end with the
//   session. Where the system refuses some, there are fewer: Session::num_threads().
// - Fork: a child process may use models and sessions, and make new ones, with their threads. What
//   it has of its parent goes on with the calling thread alone.
#ifndef OCTET_OCTET_H_
#define OCTET_OCTET_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "octet/status.h"
#include "octet/types.h"
#include "octet/version.h"

namespace octet {
inline namespace OCTET_ABI_NAMESPACE {

struct Internals;  // Octet's own.

/// An input or output of a model.
struct TensorDescription {
  std::string name;
  DType dtype = DType::kF32;   ///< kF32, kU8 or kI16.
  std::vector<int64_t> shape;  ///< NHWC or NC; the batch is written as 1 and may be anything up to
                               ///< SessionOptions::max_batch.
  float scale = 0.0f;          ///< kU8, kI16: real = scale * (q - zero_point).
  int32_t zero_point = 0;
  /// Not empty for a kU8 input whose codes are pixels: what ModelDescription::preprocessing makes
  /// of pixel q in channel c is scales[c] * (q - zero_points[c]), and `scale` and `zero_point` are
  /// 0, as no one is right for all channels. Pixels are given as they are.
  ChannelQuantization by_channel;
  /// The source's arrays of it were [n,channels,height,width]: for programs that read them. Run
  /// takes and gives NHWC whatever it says.
  bool channels_first = false;

  size_t num_elements() const {  ///< Of one image.
    size_t n = 1;
    for (int64_t d : shape) n *= static_cast<size_t>(d);
    return n;
  }
  size_t num_bytes() const { return num_elements() * DTypeSize(dtype); }  ///< Of one image.
  /// The numbers that the `num_bytes()` of one image stand for; `values` has room for
  /// num_elements().
  OCTET_API void ToFloats(const uint8_t* bytes, float* values) const;
  /// The inverse: the num_bytes() of one image from num_elements() numbers. kU8: x / scale rounded
  /// to the nearest, halves to even, plus zero_point, clamped to 0 to 255; a NaN becomes 0. With
  /// by_channel: x / scales[c] + zero_points[c] rounded and clamped so. kI16: as kU8, clamped to
  /// -32768 to 32767; a NaN becomes -32768.
  OCTET_API void FromFloats(const float* values, uint8_t* bytes) const;
};

/// Everything about a loaded model that a caller may want to print.
struct ModelDescription {
  std::string name, source, options;
  Precision precision = Precision::kFp32;
  std::vector<TensorDescription> inputs, outputs;
  std::vector<std::string> labels;
  Preprocessing preprocessing;
  int64_t file_size = 0;  ///< Bytes.
  /// Of these, what is in memory of the model's own: all of a copy (Residency), only constants that
  /// cannot be read where they are of a model that is mapped or used in place (Model::FromMemory).
  int64_t copied_bytes = 0;
  int64_t weight_bytes = 0;  ///< Bytes of constants.
  int64_t parameters = 0;    ///< Weights and biases; scales do not count.
  int64_t macs = 0;          ///< Multiply-accumulates per image.
  int operators = 0;
};

/// Where the bytes of a model file are while the model lives.
enum class Residency {
  /// In the mapped file: one physical copy for all processes, read when needed, and the system may
  /// drop and read it again. A file that is replaced by rename or removed stays what it was. One
  /// that is changed in place (cp onto it, rsync --inplace) changes the weights under a running
  /// model, and one that is truncated ends the process by SIGBUS: not for files that others write.
  kMap = 0,
  /// In memory of the process. Whatever becomes of the file later does not matter, and a change
  /// while it is read is noticed by the checksum.
  kCopy = 1,
  /// As kCopy, and never paged out (mlock). Costs page faults at load instead of at the first run.
  kCopyAndLock = 2,
};

struct ModelOptions {
  /// Verify the checksum over every byte. Structure is always validated.
  bool verify_checksum = true;
  Residency residency = Residency::kMap;
  /// Bytes that the model, and each of its sessions, may take beside a mapped file: a copy of it,
  /// its decoded tables, activations, constants of the plan, buffers of Verify and Classify.
  /// Checked before they are allocated. A host that loads strangers' files sets it lower: ResNet-50
  /// in float with a batch of 8 takes 30 MB.
  int64_t max_memory = int64_t{4} << 30;
  /// Operators. ResNet-152 has 200; the work of planning is proportional to them and to constants.
  int64_t max_nodes = 16384;
};

/// Reads the bytes of a model wherever they are kept: an encrypted or packed asset, a stream.
struct ModelReader {
  int64_t size = 0;  ///< Bytes of the model.
  /// Copies `bytes` bytes from `offset` on into `buffer`; false when it cannot. Must not throw.
  bool (*read)(void* context, int64_t offset, void* buffer, size_t bytes) = nullptr;
  void* context = nullptr;
};

/// A network, immutable and shared. Thread-safe.
class Model {
 public:
  /// Maps or copies an .octet file and validates it. Errors name the field, what was found and what
  /// was expected: kNotFound, kIo, kCorrupt, kUnsupported (a newer file, more than max_nodes),
  /// kOutOfMemory (more than max_memory; memory that cannot be had or locked).
  OCTET_API static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                             const ModelOptions& options = {});

  /// The same for bytes in memory (an embedded resource). With kMap `data` must outlive the model
  /// and all its sessions: at an address that is a multiple of 4 the bytes are used where they are,
  /// but for 64-bit numbers (biases of int16 layers), which are copied unless it is one of 8; at
  /// any other they are copied. ModelDescription::copied_bytes says how many were. Kernels are
  /// fastest on weights that begin at multiples of 64, which kCopy gives. Errors: also
  /// kInvalidArgument for null.
  OCTET_API static Result<std::shared_ptr<const Model>> FromMemory(
      const void* data, size_t size, const ModelOptions& options = {});

  /// The same for `length` bytes from `offset` of an open file: Android's
  /// AAsset_openFileDescriptor, an entry that is stored uncompressed in an archive. A length of -1
  /// is all up to the end. The descriptor is borrowed for the call. kMap maps them, with offsets in
  /// place of FromMemory's addresses. Errors: also kInvalidArgument for a descriptor that is not
  /// open and for bytes that are not in the file, kIo for a descriptor of anything else (a pipe, a
  /// socket), which FromReader can read. On Windows it is one of the C runtime that octet is linked
  /// with.
  OCTET_API static Result<std::shared_ptr<const Model>> FromDescriptor(
      int descriptor, int64_t offset, int64_t length, const ModelOptions& options = {});

  /// The same for bytes that a function gives, into memory of the model's own (kMap is as kCopy).
  /// It is called before this returns, for each byte once, from the first on, at most 1 MiB at a
  /// time. Errors: also kInvalidArgument without a function and for a negative size, kIo with
  /// offset and bytes when it returns false.
  OCTET_API static Result<std::shared_ptr<const Model>> FromReader(
      const ModelReader& reader, const ModelOptions& options = {});

  OCTET_API const ModelDescription& Describe() const;

  /// Runs the golden input that the converter stored and compares with what the reference kernels
  /// gave: exactly when the output is computed in integers, else within a tolerance for the order
  /// of float sums. Errors: kCorrupt with both values when they differ, kNotFound when the file
  /// carries none, kOutOfMemory when inputs and outputs take more than max_memory, those of
  /// Session::Create.
  OCTET_API Status Verify() const;

  OCTET_API ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

 private:
  friend Internals;
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

/// Threads that sessions share, for hosts that have many sessions. Sessions that run at different
/// times have all helpers, those that run at the same time their share. Thread-safe; lives as long
/// as the last session that has it.
class ThreadPool {
 public:
  /// Starts num_threads - 1 helpers, 1 to 1024 with the calling threads, which count as one. When
  /// the system refuses some, there are fewer. Errors: kInvalidArgument, kOutOfMemory.
  OCTET_API static Result<std::shared_ptr<ThreadPool>> Create(int num_threads);
  /// With the calling one; 1 in a child process of the one that created it.
  OCTET_API int num_threads() const;

  OCTET_API ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  class Impl;
  friend struct Internals;
  explicit ThreadPool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The host's own parallel loop, on whose threads a session then runs.
struct Executor {
  /// Calls task(argument, i) for i from 0 to tasks - 1, each once, on any threads and in any order,
  /// and returns when all have returned. Called once a Run. Tasks never wait for others that have
  /// not begun: they may begin late, run one after the other, or all on the calling thread. They do
  /// not throw.
  void (*run)(void* context, int tasks, void (*task)(void* argument, int index),
              void* argument) = nullptr;
  void* context = nullptr;  ///< The host's.
};

/// Memory for the activations of sessions that run in turns: it is as large as the one of them that
/// needs most, not as all of them together. Thread-safe. In a child process it can be used unless a
/// session of it ran in another thread during the fork.
class Arena {
 public:
  /// It takes its memory when sessions are made with it, and keeps it until the last of them and
  /// the last pointer to it are gone. Errors: kOutOfMemory.
  OCTET_API static Result<std::shared_ptr<Arena>> Create();

  OCTET_API int64_t bytes() const;

  OCTET_API ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  struct Impl;

 private:
  friend struct Internals;
  explicit Arena(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct SessionOptions {
  /// Threads of one Run, the calling one included, 1 to 1024. Results do not depend on it.
  int num_threads = 1;
  /// Instead of helpers of the session's own. It uses num_threads at most.
  std::shared_ptr<ThreadPool> pool = nullptr;
  /// Instead of octet's threads: num_threads is the number of tasks. Not with a pool. What it
  /// refers to must outlive the session.
  Executor executor = {};
  /// Largest batch that Run accepts, 1 to 65536. It computes as many images at once as their
  /// activations stay in the caches (8 MiB), the rest after them, so that a large batch costs no
  /// more memory or time an image than a small one.
  int max_batch = 1;
  /// Force an instruction set by name; empty = the environment variable OCTET_ISA, then the best
  /// one.
  std::string isa;
  bool profile = false;  ///< Time every layer for Session::Profile (about 50 ns each).
  /// 3x3 convolutions of stride 1 by Winograd's F(4x4,3x3) where it is faster. Float results differ
  /// from those without in the last bits; integer ones never do. With AVX-512 BF16 bfloat16 layers
  /// of 128 input channels and more go by F(2x2,3x3), which rounds twice more on the way.
  bool winograd = true;
  /// Refuse float inputs that hold a NaN or an infinity. Without it such an input gives answers
  /// that may look like any other: ReLU and max pools drop a NaN, and quantizing one gives the
  /// lowest value
  /// (-infinity's). Off, as it takes 1 to 2 % of the flower model's time in int8 and hybrid (20 us
  /// for an image of 160x160 that has left the caches, 6 us for one that has not; a Xeon of 2.8
  /// GHz); less than 0.5 % in fp32 and of ResNet-50.
  bool check_finite = false;
  /// Where activations are, together with those of other sessions of any models; null: in memory of
  /// the session's own. While one of them runs, Run of the others is refused. More of them can be
  /// made at any time, also while one runs; until that has run, the memory before may be there too.
  std::shared_ptr<Arena> arena = nullptr;
};

/// What stands where in memory, 8 bits a value.
enum class PixelFormat {
  kRgb = 0,   ///< R G B, 3 bytes a pixel, as the next ones interleaved.
  kBgr = 1,   ///< OpenCV's, and what V4L2 calls BGR24.
  kRgba = 2,  ///< Alpha is ignored, as in kBgra.
  kBgra = 3,  ///< What libyuv calls ARGB.
  kGray = 4,  ///< 1 byte a pixel.
  kNv12 = 5,  ///< Y plane, then a plane of U V pairs, one for 2x2 pixels.
  kNv21 = 6,  ///< The same with V U pairs (Android's cameras).
  kI420 = 7,  ///< Y plane, U plane, V plane, the latter of one value for 2x2 pixels.
  kYuyv = 8,  ///< Y U Y V for two pixels side by side; also called YUY2. The width is even.
};

/// Whose red, green and blue luma and chroma were made of, and in which range.
enum class YuvMatrix { kBt601 = 0, kBt709 = 1 };
enum class YuvRange {
  kVideo = 0,  ///< Y 16 to 235, U and V 16 to 240: cameras' and films'.
  kFull = 1,   ///< 0 to 255: JPEG's.
};

/// Part of an image, in pixels from its upper left corner.
struct Rectangle {
  int x = 0, y = 0, width = 0, height = 0;
};

/// A photo as its owner has it. The pixels are borrowed for the call, and never written.
///
/// What the model sees is the region of interest, turned, then mirrored. YUV becomes RGB as libyuv
/// does it (kYuvI601Constants, kYuvJPEGConstants, kYuvH709Constants, kYuvF709Constants), or, for a
/// model whose photos OpenCV scales and for BT.601 in video range, as cv2.cvtColor does it (such as
/// COLOR_YUV2RGB_NV12), bit for bit; each chroma value is used for all of its pixels. A network of
/// one channel gets gray of that RGB as the framework that scales makes it: Pillow's convert("L"),
/// tf.image.rgb_to_grayscale, or cv2.cvtColor.
struct Image {
  const uint8_t* pixels = nullptr;  ///< The first row; of kNv12, kNv21 and kI420, of the Y plane.
  int width = 0, height = 0;        ///< As stored, 1 to 32768.
  PixelFormat format = PixelFormat::kRgb;
  /// Bytes from row to row; 0 = they are directly behind each other. What is between them may be
  /// read, but does not matter; what is behind the last one is not.
  int64_t row_stride = 0;

  /// Planes of kNv12 and kNv21 (the first of the two) and of kI420 (U, V), each of (width + 1) / 2
  /// values or pairs by (height + 1) / 2 rows. Null = directly behind the plane before, which is
  /// row_stride * height bytes or, of kI420's U, chroma_stride * ((height + 1) / 2).
  const uint8_t* chroma[2] = {nullptr, nullptr};
  /// Bytes from row to row of those planes. 0 = kNv12, kNv21: that of the Y plane, made even;
  /// kI420: half of it, rounded up.
  int64_t chroma_stride = 0;

  Rectangle roi = {};   ///< The part to look at, of the image as stored; all zero = all.
  int rotation = 0;     ///< Quarter turns clockwise, 0 to 3, that make it upright.
  bool mirror = false;  ///< Left and right are swapped, after turning.
  YuvMatrix matrix = YuvMatrix::kBt601;  ///< Of YUV formats, as the range.
  YuvRange range = YuvRange::kVideo;
};

struct Prediction {
  int index = 0;
  std::string label;  ///< Empty when the model has no labels.
  float probability = 0.0f;
};

/// Where a layer's time went.
struct LayerProfile {
  /// E.g. "layer1.0.conv1", "conv2d", "conv_u8_u8", "[1,56,56,64] -> [1,56,56,64] 3x3/1".
  std::string name, type, kernel, shape;
  int64_t macs = 0;           ///< Per image.
  double milliseconds = 0.0;  ///< Mean over the runs since the last reset; 0 without `profile`.
};

struct MemoryReport {
  int64_t mapped_bytes = 0;  ///< The model file; see ModelDescription::copied_bytes.
  /// Activations, shared by lifetime. With SessionOptions::arena what this session uses of it.
  int64_t arena_bytes = 0;
  /// Multipliers and offsets of this session, and what the model keeps beside its file.
  int64_t prepared_bytes = 0;
};

/// Where a tensor is that is read, and how many bytes are there; contiguous.
struct ConstTensorView {
  const void* data = nullptr;
  size_t bytes = 0;
};

/// The same for one that is written.
struct TensorView {
  void* data = nullptr;
  size_t bytes = 0;
};

/// How one Run goes.
struct RunOptions {
  int batch = 1;
  /// When it is given up; the default is never.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

/// Runs a model. Owns all working memory; Run allocates nothing. One thread at a time, const
/// functions included, save for Cancel; make a session per thread.
class Session {
 public:
  /// The session keeps the model alive. Errors: kInvalidArgument for a null model, an option out of
  /// its range, and an unknown instruction set; kUnsupported for an instruction set that this
  /// processor or build lacks and for a graph without kernels; kOutOfMemory for more than the
  /// model's max_memory and for memory that cannot be had.
  OCTET_API static Result<std::unique_ptr<Session>> Create(std::shared_ptr<const Model> model,
                                                           const SessionOptions& options = {});

  /// The way to run: `options.batch` images, with one view for each of the model's inputs and
  /// outputs, which have the described types and shapes with the given batch. Views may be larger
  /// than that; what is behind is neither read nor written. Errors: kInvalidArgument when there are
  /// too few or too many views, one is too short or null, batch is not in [1, max_batch],
  /// check_finite finds something, or another session of its arena runs; kCancelled after Cancel
  /// and past the deadline, when what is in the outputs means nothing.
  OCTET_API Status Run(Span<const ConstTensorView> inputs, Span<const TensorView> outputs,
                       const RunOptions& options = {});

  /// The same for callers who vouch for number and sizes, which nobody checks: `inputs[i]` and
  /// `outputs[i]` are the tensors.
  OCTET_API Status Run(const void* const* inputs, void* const* outputs, int batch = 1);
  OCTET_API Status Run(const void* const* inputs, void* const* outputs, const RunOptions& options);

  /// From any thread, while the session lives: a Run, Classify or ClassifyBatch that has begun
  /// returns kCancelled after the layer that it is at, if that is not the last one; none that
  /// begins later does. The session is as good as before.
  OCTET_API void Cancel();

  /// Prepares the image as the model says, runs it, and returns the `top_k` classes with the
  /// highest probability, best first (softmax is applied when the model ends in logits). Errors:
  /// kInvalidArgument for an image that Preprocess refuses, and for a model that has several inputs
  /// or whose first output is not one row of classes.
  OCTET_API Result<std::vector<Prediction>> Classify(const Image& image, int top_k = 1);

  /// Probabilities of all classes for `count` images, row after row. `count` may exceed max_batch.
  OCTET_API Result<std::vector<float>> ClassifyBatch(const Image* images, int count);

  /// Resize, crop, normalization (and quantization for uint8 inputs): fills one image of the first
  /// input, num_bytes() at `input`. Errors: kInvalidArgument for an image without pixels, of more
  /// than 32768 on a side, with a stride less than a row, a region that reaches outside, planes or
  /// an odd width that its format does not have, or a field out of its range; for one of another
  /// size when the model does not resize, for a model whose first input is not an image, and for
  /// null; kOutOfMemory when it takes more than the model's max_memory.
  OCTET_API Status Preprocess(const Image& image, void* input) const;

  /// Errors: kOutOfMemory.
  OCTET_API Result<std::vector<LayerProfile>> Profile() const;
  OCTET_API void ResetProfile();
  OCTET_API MemoryReport Memory() const;
  OCTET_API const char* Isa() const;  ///< Name of the instruction set in use, e.g. "avx512vnni".
  /// Threads of a Run: fewer than SessionOptions::num_threads where the system refused some, and in
  /// a small pool.
  OCTET_API int num_threads() const;
  OCTET_API const Model& GetModel() const;

  OCTET_API ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  friend Internals;
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace OCTET_ABI_NAMESPACE
}  // namespace octet

#endif  // OCTET_OCTET_H_
