/* octet for C and for anything that calls C. Conventions: handles are opaque and owned by the
 * caller, who destroys them; every function that can fail returns an octet_status and, when `error`
 * is not null, sets *error to a message that the caller frees with octet_free (null on success, and
 * when there is no memory for it); strings returned as const char* belong to the handle. A null
 * pointer is never followed: what returns an octet_status says OCTET_INVALID_ARGUMENT, numbers are
 * 0, strings null. Thread safety is that of octet.h: models are shared freely, a session is used by
 * one thread at a time. What octet.h says a host may rely on holds here too. */
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

typedef enum {
  OCTET_OK = 0,
  OCTET_INVALID_ARGUMENT = 1,
  OCTET_NOT_FOUND = 2,
  OCTET_CORRUPT = 3,
  OCTET_UNSUPPORTED = 4,
  OCTET_IO = 5,
  OCTET_INTERNAL = 6,
  OCTET_OUT_OF_MEMORY = 7
} octet_status;

typedef enum { OCTET_FLOAT32 = 0, OCTET_UINT8 = 2, OCTET_INT16 = 5 } octet_dtype;

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

/* Maps and validates an .octet file. */
OCTET_API octet_status octet_model_load(const char* path, octet_model** model, char** error);
/* The same for bytes in memory; see Model::FromMemory about their lifetime. */
OCTET_API octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                               char** error);

typedef enum { OCTET_MAP = 0, OCTET_COPY = 1, OCTET_COPY_AND_LOCK = 2 } octet_residency;

/* ModelOptions for C; see there. A field that is 0 has its default, so that
 *   octet_model_options options = {0};
 *   options.size = sizeof(options);
 * stands for all of them. */
typedef struct {
  size_t size;               /* sizeof(octet_model_options): later versions may add fields. */
  int skip_checksum;         /* 1: do not verify the checksum. */
  octet_residency residency; /* OCTET_MAP. */
  int64_t max_memory;        /* Bytes; 4 GiB. */
  int64_t max_nodes;         /* 16384. */
} octet_model_options;

/* As above with options, of which null stands for the defaults. OCTET_INVALID_ARGUMENT for a value
 * out of its range, OCTET_UNSUPPORTED for a field that this version does not know. */
OCTET_API octet_status octet_model_load_with(const char* path, const octet_model_options* options,
                                             octet_model** model, char** error);
OCTET_API octet_status octet_model_from_memory_with(const void* data, size_t size,
                                                    const octet_model_options* options,
                                                    octet_model** model, char** error);
OCTET_API void octet_model_destroy(octet_model* model);

OCTET_API const char* octet_model_name(const octet_model* model);
OCTET_API int octet_model_num_inputs(const octet_model* model);
OCTET_API int octet_model_num_outputs(const octet_model* model);
/* OCTET_INVALID_ARGUMENT when `index` is out of range. */
OCTET_API octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor);
OCTET_API octet_status octet_model_output(const octet_model* model, int index,
                                          octet_tensor* tensor);
/* The numbers that one image's bytes of a tensor stand for, and the bytes of numbers; see
 * TensorDescription. Both have as many elements as the shape says: a caller who writes a batch into
 * shape[0] converts as many images at once. OCTET_INVALID_ARGUMENT for a tensor that no model
 * has. */
OCTET_API octet_status octet_tensor_to_floats(const octet_tensor* tensor, const void* bytes,
                                              float* values);
OCTET_API octet_status octet_tensor_from_floats(const octet_tensor* tensor, const float* values,
                                                void* bytes);
/* "fp32", "fp16", "hybrid" or "int8". */
OCTET_API const char* octet_model_precision(const octet_model* model);
/* Number of labels, and label `index` (null when out of range). */
OCTET_API int octet_model_num_labels(const octet_model* model);
OCTET_API const char* octet_model_label(const octet_model* model, int index);

/* A session for `model`, which it keeps alive. num_threads is 1 to 1024, max_batch 1 to 65536; see
 * SessionOptions for both and for what the others' defaults are. */
OCTET_API octet_status octet_session_create(const octet_model* model, int num_threads,
                                            int max_batch, octet_session** session, char** error);

/* SessionOptions for C; see there. As with octet_model_options, 0 stands for the default. */
typedef struct {
  size_t size;      /* sizeof(octet_session_options). */
  int num_threads;  /* 1 to 1024; 1. */
  int max_batch;    /* 1 to 65536; 1. */
  const char* isa;  /* Null: OCTET_ISA, then the best one. */
  int no_winograd;  /* 1: without Winograd. */
  int check_finite; /* 1: refuse float inputs with NaN or infinities. */
} octet_session_options;
OCTET_API octet_status octet_session_create_with(const octet_model* model,
                                                 const octet_session_options* options,
                                                 octet_session** session, char** error);
OCTET_API void octet_session_destroy(octet_session* session);

/* Name of the instruction set in use, e.g. "avx512vnni". */
OCTET_API const char* octet_session_isa(const octet_session* session);

/* Runs `batch` images, 1 to max_batch; inputs and outputs are arrays of pointers to contiguous
 * tensors, one for each of the model's. */
OCTET_API octet_status octet_session_run(octet_session* session, const void* const* inputs,
                                         void* const* outputs, int batch, char** error);

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
