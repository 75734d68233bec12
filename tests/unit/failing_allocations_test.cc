// Every allocation of every public function fails once: there must be a status, nothing may be
// lost, and the same object must then give the same answer as ever. The linker passes what the
// library and this program ask of malloc, calloc, posix_memalign, mmap and their counterparts
// through here
// (--wrap), and operator new is the one of watched_allocations.h.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/include/octet/octet_c.h"
#include "engine/src/model_impl.h"
#include "tests/small_network.h"
#include "tests/watched_allocations.h"

namespace {

std::atomic<int64_t> allocations_left{-1};  // Until the one that fails; below 0 none does.
std::atomic<int64_t> live{0};               // Allocations that were not given back.

bool Denied() { return allocations_left >= 0 && allocations_left-- == 0; }

}  // namespace

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
int __real_posix_memalign(void** out, size_t alignment, size_t size);
void __real_free(void* p);
void* __real_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* at, size_t size);

void* __wrap_malloc(size_t size) {
  if (Denied()) return nullptr;
  void* p = __real_malloc(size);
  live += p != nullptr;
  return p;
}
void* __wrap_calloc(size_t count, size_t size) {
  if (Denied()) return nullptr;
  void* p = __real_calloc(count, size);
  live += p != nullptr;
  return p;
}
int __wrap_posix_memalign(void** out, size_t alignment, size_t size) {
  if (Denied()) return ENOMEM;
  const int error = __real_posix_memalign(out, alignment, size);
  live += error == 0;
  return error;
}
void __wrap_free(void* p) {
  live -= p != nullptr;
  __real_free(p);
}
void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (Denied()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void* p = __real_mmap(at, size, protection, flags, fd, offset);
  live += p != MAP_FAILED;
  return p;
}
int __wrap_munmap(void* at, size_t size) {
  --live;
  return __real_munmap(at, size);
}
}

namespace octet {
namespace {

using Answer = std::array<float, 16>;  // Of no allocation.

constexpr int kWidth = 33, kHeight = 27;

class FailingAllocationsTest : public ::testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    if (!testing::kWatchesAllocations)
      GTEST_SKIP() << "this build's operator new cannot be replaced";
    bytes_ = testing::FileOf(testing::SmallNetwork(GetParam()));
    ASSERT_FALSE(bytes_.empty());
    path_ = ::testing::TempDir() + "failing_allocations." + std::to_string(::getpid()) + ".octet";
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes_.data()),
               static_cast<std::streamsize>(bytes_.size()));
    ASSERT_TRUE(file.flush());
    for (size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<uint8_t>(i * 31 + i / 7);
    for (int i = 0; i < 3; ++i) images_[i] = {pixels_.data() + i * 300, kWidth, kHeight - i};
    images_[1].format = PixelFormat::kNv12;  // And of the same size upright as the first.
    images_[1].width = kHeight;
    images_[1].height = kWidth;
    images_[1].rotation = 1;
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  struct Subject {
    std::shared_ptr<const Model> model;
    std::unique_ptr<Session> session;
  };
  Subject MakeSubject() const {
    Subject s;
    s.model = Model::Load(path_).value();
    SessionOptions options;
    options.max_batch = 2;
    options.check_finite = true;
    s.session = Session::Create(s.model, options).value();
    return s;
  }

  /// `call(Subject*, Answer*)` returns a Status and keeps nothing. It fails but for `done_without`.
  template <typename Call>
  void FailEach(const char* what, int fewest, Call call, int done_without = 1) {
    SCOPED_TRACE(what);
    Answer expected{};
    {
      Subject s = MakeSubject();
      ASSERT_TRUE(call(&s, &expected).ok());
    }
    int reported = 0;
    for (int n = 0;; ++n) {
      ASSERT_LT(n, 100000);
      SCOPED_TRACE(n);
      const int64_t before = live;
      bool failed = false;
      {
        Subject s = MakeSubject();
        Answer answer{};
        allocations_left = n;
        Status status = call(&s, &answer);
        failed = allocations_left < 0;
        allocations_left = -1;
        if (failed) {
          // std::stable_sort does without its buffer, a session without a thread.
          if (!status.ok()) {
            EXPECT_EQ(StatusCode::kOutOfMemory, status.code()) << status.message();
          }
          reported += !status.ok();
          answer = {};
          status = call(&s, &answer);
        }
        EXPECT_TRUE(status.ok()) << status.message();
        EXPECT_EQ(0, std::memcmp(expected.data(), answer.data(), sizeof(answer)));
      }
      EXPECT_EQ(before, live) << "allocations lost";
      if (!failed) {
        EXPECT_GE(n, fewest) << "allocations that were made to fail";
        EXPECT_GE(reported, n - done_without);
        break;
      }
    }
  }

  std::vector<std::byte> bytes_;
  std::string path_;
  std::vector<uint8_t> pixels_ = std::vector<uint8_t>(kWidth * kHeight * 3 + 600);
  Image images_[3];
};

Status Describe(const Result<std::shared_ptr<const Model>>& model, Answer* answer) {
  if (model.ok()) (*answer)[0] = static_cast<float>((*model)->Describe().macs);
  return model.status();
}

TEST_P(FailingAllocationsTest, Load) {
  for (Residency residency : {Residency::kMap, Residency::kCopy}) {
    ModelOptions options;
    options.residency = residency;
    FailEach("Load", 50, [&](Subject*, Answer* answer) {
      return Describe(Model::Load(path_, options), answer);
    });
    FailEach("FromMemory", 50, [&](Subject*, Answer* answer) {
      return Describe(Model::FromMemory(bytes_.data(), bytes_.size(), options), answer);
    });
    FailEach("FromReader", 50, [&](Subject*, Answer* answer) {
      const auto read = [](void* bytes, int64_t offset, void* buffer, size_t count) {
        std::memcpy(buffer, static_cast<const std::byte*>(bytes) + offset, count);
        return true;
      };
      return Describe(
          Model::FromReader({static_cast<int64_t>(bytes_.size()), read, bytes_.data()}, options),
          answer);
    });
    const int fd = ::open(path_.c_str(), O_RDONLY);
    ASSERT_GE(fd, 0);
    FailEach("FromDescriptor", 50, [&](Subject*, Answer* answer) {
      return Describe(Model::FromDescriptor(fd, 0, -1, options), answer);
    });
    ::close(fd);
  }
}

// What is said of a file that is refused needs memory, too.
TEST_P(FailingAllocationsTest, LoadOfADamagedFile) {
  std::vector<std::byte> bad = bytes_;
  bad[300] ^= std::byte{1};
  const int64_t before = live;
  for (int n = 0;; ++n) {
    allocations_left = n;
    const StatusCode code = Model::FromMemory(bad.data(), bad.size()).status().code();
    const bool failed = allocations_left < 0;
    allocations_left = -1;
    EXPECT_EQ(failed ? StatusCode::kOutOfMemory : StatusCode::kCorrupt, code);
    if (failed) continue;
    EXPECT_GE(n, 2);
    break;
  }
  EXPECT_EQ(before, live);
}

// Two helpers, their vector, and the pool's list of work when it goes.
constexpr int kOfThreads = 6;

TEST_P(FailingAllocationsTest, CreateAndVerify) {
  FailEach(
      "Create", 50,
      [](Subject* s, Answer* answer) {
        SessionOptions options;
        options.num_threads = 3;
        const auto session = Session::Create(s->model, options);
        if (session.ok()) (*answer)[0] = static_cast<float>((*session)->Memory().arena_bytes);
        return session.status();
      },
      kOfThreads);
  FailEach("Create in an arena", 50, [](Subject* s, Answer* answer) {
    auto arena = Arena::Create();
    if (!arena.ok()) return arena.status();
    SessionOptions options;
    options.arena = *arena;
    const auto session = Session::Create(s->model, options);
    if (session.ok()) (*answer)[0] = static_cast<float>((*arena)->bytes());
    return session.status();
  });
  FailEach("Verify", 50, [](Subject* s, Answer*) { return s->model->Verify(); });
}

TEST_P(FailingAllocationsTest, SessionFunctions) {
  FailEach("Classify", 10, [&](Subject* s, Answer* answer) {
    const auto top = s->session->Classify(images_[0], 3);
    for (size_t i = 0; top.ok() && i < top->size(); ++i) {
      (*answer)[2 * i] = (*top)[i].probability;
      (*answer)[2 * i + 1] = static_cast<float>((*top)[i].index);
    }
    return top.status();
  });
  FailEach("ClassifyBatch", 10, [&](Subject* s, Answer* answer) {
    const auto rows = s->session->ClassifyBatch(images_, 3);
    if (rows.ok()) std::copy(rows->begin(), rows->end(), answer->begin());
    return rows.status();
  });
  FailEach("Preprocess", 5, [&](Subject* s, Answer* answer) {
    float input[20 * 20 * 3];
    // Twice: the second finds the taps of the first, of an image of another height.
    Status status = s->session->Preprocess(images_[0], input);
    if (status.ok()) status = s->session->Preprocess(images_[1], input);
    if (status.ok()) std::memcpy(answer->data(), input, sizeof(*answer));
    return status;
  });
  FailEach("Profile", 5, [](Subject* s, Answer* answer) {
    const auto layers = s->session->Profile();
    if (layers.ok()) (*answer)[0] = static_cast<float>(layers->size());
    return layers.status();
  });
  FailEach("Run", 0, [&](Subject* s, Answer* answer) {
    alignas(64) static float input[20 * 20 * 3];
    const void* in = input;
    void* out = answer->data();
    return s->session->Run(&in, &out, 1);
  });
  // A run itself allocates nothing, but its messages do.
  const Subject s = MakeSubject();
  allocations_left = 0;
  const Status status = s.session->Run(nullptr, nullptr, 1);
  allocations_left = -1;
  EXPECT_EQ(StatusCode::kOutOfMemory, status.code());
}

// Resizing keeps its taps from image to image: what a failure leaves of them must not pass for
// whole.
TEST_P(FailingAllocationsTest, FailureBetweenTwoImagesOfOneSize) {
  for (int n = 0;; ++n) {
    Subject s = MakeSubject();
    float expected[20 * 20 * 3], input[20 * 20 * 3];
    ASSERT_TRUE(s.session->Preprocess(images_[0], expected).ok());
    std::vector<uint8_t> large(500 * 400 * 3, 9);
    allocations_left = n;
    const Status status = s.session->Preprocess({large.data(), 500, 400}, input);
    const bool failed = allocations_left < 0;
    allocations_left = -1;
    ASSERT_TRUE(s.session->Preprocess(images_[0], input).ok());
    ASSERT_EQ(0, std::memcmp(expected, input, s.model->Describe().inputs[0].num_bytes())) << n;
    if (!failed) {
      EXPECT_GE(n, 3);
      break;
    }
    EXPECT_EQ(StatusCode::kOutOfMemory, status.code());
  }
}

/// As a Status, so that FailEach can take it. The message is freed; a null one is none.
Status FromC(octet_status status, char* error) {
  const bool has_message = error != nullptr;
  octet_free(error);
  EXPECT_FALSE(status == OCTET_OK && has_message);
  return Status(static_cast<StatusCode>(status), "");
}

octet_image ImageOf(const uint8_t* pixels) {
  octet_image image = {};
  image.pixels = pixels;
  image.width = kWidth;
  image.height = kHeight;
  return image;
}

TEST_P(FailingAllocationsTest, CInterface) {
  const auto load = [&](octet_model** model, char** error) {
    return octet_model_load(path_.c_str(), model, error);
  };
  FailEach("octet_model_load", 50, [&](Subject*, Answer* answer) {
    octet_model* model = nullptr;
    char* error = nullptr;
    const octet_status status = load(&model, &error);
    EXPECT_EQ(status == OCTET_OK, model != nullptr);
    (*answer)[0] = static_cast<float>(octet_model_num_labels(model));
    octet_model_destroy(model);
    return FromC(status, error);
  });
  FailEach("octet_model_from_memory_with_options", 50, [&](Subject*, Answer* answer) {
    octet_model_options* options = octet_model_options_create();
    if (options == nullptr) return Status(StatusCode::kOutOfMemory, "");
    octet_model_options_set_residency(options, OCTET_COPY);
    octet_model* model = nullptr;
    char* error = nullptr;
    const octet_status status =
        octet_model_from_memory_with_options(bytes_.data(), bytes_.size(), options, &model, &error);
    octet_model_options_destroy(options);
    (*answer)[0] = static_cast<float>(octet_model_num_labels(model));
    octet_model_destroy(model);
    return FromC(status, error);
  });
  octet_model* model = nullptr;
  ASSERT_EQ(OCTET_OK, load(&model, nullptr));
  FailEach(
      "octet_session_create", 50,
      [&](Subject*, Answer*) {
        octet_session* session = nullptr;
        char* error = nullptr;
        const octet_status status = octet_session_create(model, 2, 2, &session, &error);
        EXPECT_EQ(status == OCTET_OK, session != nullptr);
        octet_session_destroy(session);
        return FromC(status, error);
      },
      kOfThreads);
  FailEach("octet_session_create_with_options", 50, [&](Subject*, Answer*) {
    octet_session_options* options = octet_session_options_create();
    if (options == nullptr) return Status(StatusCode::kOutOfMemory, "");
    octet_session* session = nullptr;
    char* error = nullptr;
    // Too long to be kept inside a string.
    octet_status status = octet_session_options_set_isa(options, "no such instruction set");
    if (status == OCTET_OK) status = octet_session_options_set_isa(options, "reference");
    if (status == OCTET_OK)
      status = octet_session_create_with_options(model, options, &session, &error);
    octet_session_options_destroy(options);
    octet_session_destroy(session);
    return FromC(status, error);
  });
  FailEach("octet_thread_pool_create", 3, [&](Subject*, Answer*) {
    octet_thread_pool* pool = nullptr;
    char* error = nullptr;
    const octet_status status = octet_thread_pool_create(1, &pool, &error);
    EXPECT_EQ(status == OCTET_OK, pool != nullptr);
    octet_thread_pool_destroy(pool);
    return FromC(status, error);
  });
  FailEach("octet_model_verify", 50, [&](Subject*, Answer*) {
    char* error = nullptr;
    const octet_status status = octet_model_verify(model, &error);
    return FromC(status, error);
  });
  // The session may keep what a call made, so that each try needs one of its own. `call(session,
  // numbers, &error)` writes numbers only when it succeeds.
  const auto fail_each = [&](const char* what, int fewest, auto call) {
    SCOPED_TRACE(what);
    Answer expected{};
    for (int n = -1;; ++n) {  // First none fails.
      const int64_t before = live;
      octet_session* session = nullptr;
      ASSERT_EQ(OCTET_OK, octet_session_create(model, 1, 1, &session, nullptr));
      Answer numbers{};
      char* error = nullptr;
      allocations_left = n;
      const octet_status status = call(session, numbers.data(), &error);
      const bool failed = n >= 0 && allocations_left < 0;
      allocations_left = -1;
      EXPECT_EQ(failed ? StatusCode::kOutOfMemory : StatusCode::kOk, FromC(status, error).code());
      if (failed) {
        EXPECT_EQ(Answer{}, numbers);
        EXPECT_EQ(OCTET_OK, call(session, numbers.data(), nullptr));
      }
      if (n < 0) expected = numbers;
      EXPECT_EQ(0, std::memcmp(expected.data(), numbers.data(), sizeof(numbers)));
      octet_session_destroy(session);
      EXPECT_EQ(before, live);
      if (failed || n < 0) continue;
      EXPECT_GE(n, fewest);
      break;
    }
  };
  fail_each("octet_session_classify", 10, [&](octet_session* s, float* numbers, char** error) {
    int index[3], written = 9;
    const octet_image image = ImageOf(pixels_.data());
    const octet_status status =
        octet_session_classify(s, &image, 3, index, numbers, &written, error);
    EXPECT_EQ(status == OCTET_OK ? 3 : 0, written);
    return status;
  });
  fail_each("octet_session_classify_batch", 10,
            [&](octet_session* s, float* numbers, char** error) {
              octet_image images[2] = {ImageOf(pixels_.data()), ImageOf(pixels_.data() + 300)};
              return octet_session_classify_batch(s, images, 2, numbers, 16, error);
            });
  fail_each("octet_session_preprocess", 3, [&](octet_session* s, float* numbers, char** error) {
    static float input[20 * 20 * 3];
    const octet_image image = ImageOf(pixels_.data());
    const octet_status status = octet_session_preprocess(s, &image, input, error);
    if (status == OCTET_OK) std::memcpy(numbers, input, 16 * sizeof(float));
    return status;
  });
  fail_each("octet_session_profile", 10, [&](octet_session* s, float* numbers, char** error) {
    int layers = 0;
    const octet_status status = octet_session_profile(s, &layers, error);
    numbers[0] = static_cast<float>(layers);
    return status;
  });
  // Conversions and names need no memory.
  octet_tensor tensor;
  ASSERT_EQ(OCTET_OK, octet_model_output(model, 0, &tensor));
  float values[5] = {1, 2, 3, 4, 5};
  uint8_t bytes[20];
  allocations_left = 0;
  EXPECT_EQ(OCTET_OK, octet_tensor_from_floats(&tensor, values, bytes));
  EXPECT_EQ(OCTET_OK, octet_tensor_to_floats(&tensor, bytes, values));
  EXPECT_STREQ(PrecisionName(GetParam()), octet_model_precision(model));
  EXPECT_EQ(0, allocations_left);
  allocations_left = -1;
  // Only the message fails.
  char message = 0, *error = &message;
  allocations_left = 0;
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(nullptr, nullptr, nullptr, 1, &error));
  allocations_left = -1;
  EXPECT_EQ(nullptr, error);
  octet_model_destroy(model);
}

INSTANTIATE_TEST_SUITE_P(All, FailingAllocationsTest,
                         ::testing::Values(Precision::kFp32, Precision::kHybrid, Precision::kInt8),
                         [](const auto& p) { return PrecisionName(p.param); });

}  // namespace
}  // namespace octet
