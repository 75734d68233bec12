/* octet for C and for anything that calls C: all that octet.h has, in its words. What octet.h says
 * of a class, an option or a number, and of what a host may rely on, holds here too.
 *
 * Handles (pointers to structs that this header does not define) are opaque. Who creates one, or is
 * given one through a pointer to a pointer, destroys it by the function of its kind; null is fine.
 * They may be destroyed in any order: a session keeps what it was made of. Options, pools and
 * arenas can be destroyed as soon as the function that took them has returned.
 *
 * Errors: a function that can fail returns an octet_status. When its `error` is not null, *error
 * becomes null on success and otherwise a message of one sentence, which the caller frees with
 * octet_free; it is null too when there is no memory for it. A handle that was to be made is null
 * then. Options are judged by the function that takes them, whose message names what was found and
 * what is expected.
 *
 * Null: a null pointer is never followed. What returns an octet_status says
 * OCTET_INVALID_ARGUMENT; numbers are 0, strings null; where null has a meaning, it says so.
 *
 * Strings are UTF-8, end with a null, and belong to the handle that they were asked of, as long as
 * it lives and nothing else is said. Strings that are given are copied.
 *
 * Threads: models and pools are shared freely. A session is used by one thread at a time, save for
 * octet_session_cancel; so are options.
 *
 * What can grow: later versions of this major number add functions, values of enumerations, and
 * fields at the end of the structs that begin with their size; all else stays as it is. Of those
 * structs the caller says the size that it knows (x.size = sizeof(x)), and the library fills as
 * much, with 0 in what it does not know itself. */
#ifndef OCTET_OCTET_C_H_
#define OCTET_OCTET_C_H_

#include <stddef.h>
#include <stdint.h>

#include "octet/version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct octet_model octet_model;
typedef struct octet_session octet_session;
typedef struct octet_model_options octet_model_options;
typedef struct octet_session_options octet_session_options;
typedef struct octet_run_options octet_run_options;
typedef struct octet_thread_pool octet_thread_pool;
typedef struct octet_arena octet_arena;

typedef enum {
  OCTET_OK = 0,
  OCTET_INVALID_ARGUMENT = 1,
  OCTET_NOT_FOUND = 2,
  OCTET_CORRUPT = 3,
  OCTET_UNSUPPORTED = 4,
  OCTET_IO = 5,
  OCTET_INTERNAL = 6,
  OCTET_OUT_OF_MEMORY = 7,
  OCTET_CANCELLED = 8
} octet_status;

typedef enum { OCTET_FLOAT32 = 0, OCTET_UINT8 = 2, OCTET_INT16 = 5 } octet_dtype;

typedef enum { OCTET_MAP = 0, OCTET_COPY = 1, OCTET_COPY_AND_LOCK = 2 } octet_residency;

/* ModelOptions, with their defaults until they are set. Null when there is no memory. Setters fail
 * for null options alone. */
OCTET_API octet_model_options* octet_model_options_create(void);
OCTET_API void octet_model_options_destroy(octet_model_options* options);
/* 0: the checksum is not verified. */
OCTET_API octet_status octet_model_options_set_verify_checksum(octet_model_options* options,
                                                               int verify);
OCTET_API octet_status octet_model_options_set_residency(octet_model_options* options,
                                                         octet_residency residency);
OCTET_API octet_status octet_model_options_set_max_memory(octet_model_options* options,
                                                          int64_t bytes);
OCTET_API octet_status octet_model_options_set_max_nodes(octet_model_options* options,
                                                         int64_t nodes);

/* Maps and validates an .octet file, by default options. */
OCTET_API octet_status octet_model_load(const char* path, octet_model** model, char** error);
/* Null options stand for the defaults. */
OCTET_API octet_status octet_model_load_with_options(const char* path,
                                                     const octet_model_options* options,
                                                     octet_model** model, char** error);
/* The same for bytes in memory; see Model::FromMemory about their lifetime. */
OCTET_API octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                               char** error);
OCTET_API octet_status octet_model_from_memory_with_options(const void* data, size_t size,
                                                            const octet_model_options* options,
                                                            octet_model** model, char** error);
/* The same for `length` bytes from `offset` of an open file, of which -1 are all up to the end; see
 * Model::FromDescriptor. The descriptor is borrowed for the call. */
OCTET_API octet_status octet_model_from_descriptor(int descriptor, int64_t offset, int64_t length,
                                                   const octet_model_options* options,
                                                   octet_model** model, char** error);
/* Copies `bytes` bytes from `offset` on into `buffer`; 0 when it cannot. */
typedef int (*octet_read)(void* context, int64_t offset, void* buffer, size_t bytes);
/* The same for `size` bytes that a function gives; see Model::FromReader. */
OCTET_API octet_status octet_model_from_reader(int64_t size, octet_read read, void* context,
                                               const octet_model_options* options,
                                               octet_model** model, char** error);
OCTET_API void octet_model_destroy(octet_model* model);

/* ModelDescription. */
OCTET_API const char* octet_model_name(const octet_model* model);
OCTET_API const char* octet_model_source(const octet_model* model);
OCTET_API const char* octet_model_conversion_options(const octet_model* model);
/* "fp32", "fp16", "bf16", "hybrid", "int8" or "int16x8". */
OCTET_API const char* octet_model_precision(const octet_model* model);
/* Number of labels, and label `index` (null when out of range). */
OCTET_API int octet_model_num_labels(const octet_model* model);
OCTET_API const char* octet_model_label(const octet_model* model, int index);
OCTET_API int64_t octet_model_file_size(const octet_model* model);
OCTET_API int64_t octet_model_weight_bytes(const octet_model* model);
OCTET_API int64_t octet_model_parameters(const octet_model* model);
OCTET_API int64_t octet_model_macs(const octet_model* model);
OCTET_API int octet_model_operators(const octet_model* model);
OCTET_API int64_t octet_model_copied_bytes(const octet_model* model);

typedef struct {
  const char* name; /* Owned by the model. */
  octet_dtype dtype;
  int rank;
  int64_t shape[4]; /* NHWC or NC, batch written as 1. */
  float scale;      /* But for OCTET_FLOAT32: real = scale * (q - zero_point). */
  int32_t zero_point;
  /* Of an OCTET_UINT8 input whose codes are pixels, and whose scale is 0, by channel:
   * real = channel_scale[c] * (q - channel_zero_point[c]). See TensorDescription. */
  float channel_scale[4], channel_zero_point[4];
} octet_tensor;

OCTET_API int octet_model_num_inputs(const octet_model* model);
OCTET_API int octet_model_num_outputs(const octet_model* model);
/* OCTET_INVALID_ARGUMENT when `index` is out of range. */
OCTET_API octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor);
OCTET_API octet_status octet_model_output(const octet_model* model, int index,
                                          octet_tensor* tensor);
/* Bytes of one image; 0 when `index` is out of range, as below. */
OCTET_API size_t octet_model_input_bytes(const octet_model* model, int index);
OCTET_API size_t octet_model_output_bytes(const octet_model* model, int index);
/* 1 for TensorDescription::channels_first. */
OCTET_API int octet_model_input_channels_first(const octet_model* model, int index);
OCTET_API int octet_model_output_channels_first(const octet_model* model, int index);
/* The numbers that one image's bytes of a tensor stand for, and the bytes of numbers; see
 * TensorDescription. Both have as many elements as the shape says: a caller who writes a batch into
 * shape[0] converts as many images at once. OCTET_INVALID_ARGUMENT for a tensor that no model
 * has. */
OCTET_API octet_status octet_tensor_to_floats(const octet_tensor* tensor, const void* bytes,
                                              float* values);
OCTET_API octet_status octet_tensor_from_floats(const octet_tensor* tensor, const float* values,
                                                void* bytes);

typedef enum { OCTET_PILLOW = 0, OCTET_TENSORFLOW = 1, OCTET_OPENCV = 2 } octet_framework;
typedef enum { OCTET_DCT_ACCURATE = 0, OCTET_DCT_FAST = 1 } octet_dct;
typedef enum { OCTET_UPSAMPLING_FANCY = 0, OCTET_UPSAMPLING_PLAIN = 1 } octet_upsampling;
typedef enum {
  OCTET_RESIZE_NONE = 0,
  OCTET_RESIZE_STRETCH = 1,
  OCTET_RESIZE_CENTER_CROP = 2,
  OCTET_RESIZE_LETTERBOX = 3,
  OCTET_RESIZE_CROP_TO_ASPECT = 4
} octet_resize_rule;
typedef enum {
  OCTET_FILTER_BILINEAR = 0,
  OCTET_FILTER_BICUBIC = 1,
  OCTET_FILTER_NEAREST = 2,
  OCTET_FILTER_AREA = 3,
  OCTET_FILTER_LANCZOS = 4,
  OCTET_FILTER_BOX = 5,
  OCTET_FILTER_HAMMING = 6,
  OCTET_FILTER_LANCZOS5 = 7
} octet_resize_filter;
typedef enum {
  OCTET_COORDINATES_HALF_PIXEL = 0,
  OCTET_COORDINATES_ASYMMETRIC = 1,
  OCTET_COORDINATES_ALIGN_CORNERS = 2
} octet_coordinates;
typedef enum { OCTET_PASSES_HORIZONTAL_FIRST = 0, OCTET_PASSES_CHEAPER_FIRST = 1 } octet_passes;
typedef enum { OCTET_ORDER_RGB = 0, OCTET_ORDER_BGR = 1 } octet_channel_order;

/* Preprocessing, and what is in it, in types.h. */
typedef struct {
  size_t size;            /* sizeof(octet_preprocessing), set by the caller. */
  int decoding_framework; /* An octet_framework. */
  int dct;                /* An octet_dct. */
  int upsampling;         /* An octet_upsampling. */
  int exif_orientation;   /* 0 or 1. */
  int resize;             /* An octet_resize_rule. */
  int framework;          /* That scales: an octet_framework. */
  int filter;             /* An octet_resize_filter. */
  int antialias;          /* 0 or 1. */
  int coordinates;        /* An octet_coordinates. */
  int passes;             /* An octet_passes. */
  float reducing_gap;
  int to_float; /* 0 or 1. */
  int order;    /* An octet_channel_order. */
  int resize_shorter;
  int pad_color[3]; /* RGB, 0 to 255. */
  float scale;
  float mean[4];
  float stddev[4];
} octet_preprocessing;

OCTET_API octet_status octet_model_preprocessing(const octet_model* model,
                                                 octet_preprocessing* preprocessing);

/* Model::Verify. */
OCTET_API octet_status octet_model_verify(const octet_model* model, char** error);

/* ThreadPool: num_threads counts the calling threads as one, 1 to 1024. */
OCTET_API octet_status octet_thread_pool_create(int num_threads, octet_thread_pool** pool,
                                                char** error);
OCTET_API void octet_thread_pool_destroy(octet_thread_pool* pool);
OCTET_API int octet_thread_pool_num_threads(const octet_thread_pool* pool);

/* Arena: memory that sessions share which run in turns. */
OCTET_API octet_status octet_arena_create(octet_arena** arena, char** error);
OCTET_API void octet_arena_destroy(octet_arena* arena);
OCTET_API int64_t octet_arena_bytes(const octet_arena* arena);

/* Executor::run: calls task(argument, i) for i from 0 to tasks - 1, each once, on any threads and
 * in any order, and returns when all have returned. No exception may leave it. */
typedef void (*octet_parallel_for)(void* context, int tasks,
                                   void (*task)(void* argument, int index), void* argument);

/* SessionOptions, with their defaults until they are set. Null when there is no memory. Setters
 * fail for null options, and set_isa when there is no memory. */
OCTET_API octet_session_options* octet_session_options_create(void);
OCTET_API void octet_session_options_destroy(octet_session_options* options);
OCTET_API octet_status octet_session_options_set_num_threads(octet_session_options* options,
                                                             int num_threads);
OCTET_API octet_status octet_session_options_set_max_batch(octet_session_options* options,
                                                           int max_batch);
/* Null, as the empty string: OCTET_ISA, then the best one. */
OCTET_API octet_status octet_session_options_set_isa(octet_session_options* options,
                                                     const char* isa);
/* 0: without Winograd. */
OCTET_API octet_status octet_session_options_set_winograd(octet_session_options* options,
                                                          int winograd);
/* 1: time every layer. */
OCTET_API octet_status octet_session_options_set_profile(octet_session_options* options,
                                                         int profile);
/* 1: refuse float inputs with NaN or infinities. */
OCTET_API octet_status octet_session_options_set_check_finite(octet_session_options* options,
                                                              int check_finite);
/* Null: helpers of the session's own. */
OCTET_API octet_status octet_session_options_set_pool(octet_session_options* options,
                                                      octet_thread_pool* pool);
/* Null: memory of the session's own. */
OCTET_API octet_status octet_session_options_set_arena(octet_session_options* options,
                                                       octet_arena* arena);
/* Null: octet's threads. The session calls it with `context`, which must outlive it. */
OCTET_API octet_status octet_session_options_set_executor(octet_session_options* options,
                                                          octet_parallel_for parallel_for,
                                                          void* context);

/* A session for `model`. num_threads is 1 to 1024, max_batch 1 to 65536; see SessionOptions for
 * both and for what the others' defaults are. */
OCTET_API octet_status octet_session_create(const octet_model* model, int num_threads,
                                            int max_batch, octet_session** session, char** error);
/* Null options stand for the defaults. */
OCTET_API octet_status octet_session_create_with_options(const octet_model* model,
                                                         const octet_session_options* options,
                                                         octet_session** session, char** error);
OCTET_API void octet_session_destroy(octet_session* session);

/* Name of the instruction set in use, e.g. "avx512vnni". */
OCTET_API const char* octet_session_isa(const octet_session* session);
/* Threads of a run: fewer than asked for where the system refused some, and in a small pool. */
OCTET_API int octet_session_num_threads(const octet_session* session);
/* A further handle of the session's model. */
OCTET_API octet_status octet_session_model(const octet_session* session, octet_model** model,
                                           char** error);

/* How one run goes: a batch of 1 without a time limit, until they are set. Null when there is no
 * memory. Setters fail for null options alone. */
OCTET_API octet_run_options* octet_run_options_create(void);
OCTET_API void octet_run_options_destroy(octet_run_options* options);
OCTET_API octet_status octet_run_options_set_batch(octet_run_options* options, int batch);
/* From the beginning of each run with these options; at least 0, infinite for none. What has not
 * ended then is given up with OCTET_CANCELLED after the layer that it is at. */
OCTET_API octet_status octet_run_options_set_timeout_ms(octet_run_options* options,
                                                        double milliseconds);

/* Where a tensor is, and how many bytes are there. */
typedef struct {
  const void* data;
  size_t bytes;
} octet_const_buffer;
typedef struct {
  void* data;
  size_t bytes;
} octet_buffer;

/* The way to run: a buffer for each of the model's inputs and outputs, in order, each contiguous
 * and at least batch times octet_model_input_bytes or octet_model_output_bytes long. Too few, too
 * many and short ones are OCTET_INVALID_ARGUMENT. Null options stand for the defaults. */
OCTET_API octet_status octet_session_run_tensors(octet_session* session,
                                                 const octet_const_buffer* inputs,
                                                 size_t num_inputs, const octet_buffer* outputs,
                                                 size_t num_outputs,
                                                 const octet_run_options* options, char** error);

/* The same for callers who vouch for number and sizes, which nobody checks: arrays of pointers, one
 * for each of the model's. `batch` is 1 to max_batch. */
OCTET_API octet_status octet_session_run(octet_session* session, const void* const* inputs,
                                         void* const* outputs, int batch, char** error);

/* From any thread, while the session lives: a run or classification that has begun returns
 * OCTET_CANCELLED after the layer that it is at, if that is not the last one. */
OCTET_API void octet_session_cancel(octet_session* session);

typedef struct {
  size_t size; /* sizeof(octet_memory_report), set by the caller. */
  int64_t mapped_bytes;
  int64_t arena_bytes;
  int64_t prepared_bytes;
} octet_memory_report;

/* MemoryReport. */
OCTET_API octet_status octet_session_memory(const octet_session* session,
                                            octet_memory_report* report);

typedef struct {
  size_t size;      /* sizeof(octet_layer_profile), set by the caller. */
  const char* name; /* Strings are the session's, until its next octet_session_profile. */
  const char* type;
  const char* kernel;
  const char* shape;
  int64_t macs;
  double milliseconds;
} octet_layer_profile;

/* Session::Profile: takes down where the time went, and says of how many layers. */
OCTET_API octet_status octet_session_profile(octet_session* session, int* num_layers, char** error);
/* Layer `index` of what was taken down last. OCTET_INVALID_ARGUMENT when it is out of range. */
OCTET_API octet_status octet_session_profile_layer(const octet_session* session, int index,
                                                   octet_layer_profile* layer);
OCTET_API void octet_session_reset_profile(octet_session* session);

typedef enum {
  OCTET_RGB = 0,
  OCTET_BGR = 1,
  OCTET_RGBA = 2,
  OCTET_BGRA = 3,
  OCTET_GRAY = 4,
  OCTET_NV12 = 5,
  OCTET_NV21 = 6,
  OCTET_I420 = 7,
  OCTET_YUYV = 8
} octet_pixel_format;
typedef enum { OCTET_BT601 = 0, OCTET_BT709 = 1 } octet_yuv_matrix;
typedef enum { OCTET_VIDEO_RANGE = 0, OCTET_FULL_RANGE = 1 } octet_yuv_range;

typedef struct {
  int x, y, width, height;
} octet_rectangle;

/* Image for C; see there. A field that is 0 has its default, so that
 *   octet_image image = {.pixels = pixels, .width = width, .height = height};
 * stands for packed RGB. */
typedef struct {
  const uint8_t* pixels; /* Borrowed for the call. */
  int width, height;
  int format;               /* An octet_pixel_format; OCTET_RGB. */
  int64_t row_stride;       /* Bytes; packed. */
  const uint8_t* chroma[2]; /* Directly behind the Y plane. */
  int64_t chroma_stride;    /* Bytes; after that of the Y plane. */
  octet_rectangle roi;      /* All of it. */
  int rotation;             /* Quarter turns clockwise, 0 to 3; 0. */
  int mirror;               /* 1: swap left and right, after turning. */
  int matrix;               /* OCTET_BT601. */
  int range;                /* OCTET_VIDEO_RANGE. */
} octet_image;

/* Classifies one image. Writes the `count` best class indices and probabilities, best first;
 * *written is how many there were. */
OCTET_API octet_status octet_session_classify(octet_session* session, const octet_image* image,
                                              int count, int* indices, float* probabilities,
                                              int* written, char** error);

/* Writes the probabilities of all classes for `count` images, which may exceed max_batch, row after
 * row. OCTET_INVALID_ARGUMENT also when `size`, the floats that there is room for, is less than
 * count times the classes. */
OCTET_API octet_status octet_session_classify_batch(octet_session* session,
                                                    const octet_image* images, int count,
                                                    float* probabilities, size_t size,
                                                    char** error);

/* Resizes, crops and normalizes an image (and quantizes it for uint8 inputs) as the model says:
 * fills one image of the first input. */
OCTET_API octet_status octet_session_preprocess(const octet_session* session,
                                                const octet_image* image, void* input,
                                                char** error);

/* Frees a message. Null is fine. */
OCTET_API void octet_free(char* message);

#ifdef __cplusplus
}
#endif

#endif /* OCTET_OCTET_C_H_ */
