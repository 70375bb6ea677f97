/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lutra: transformers whose weights are a codebook and packed indices.
 *
 *     lutra_model *model;
 *     lutra_context *context;
 *     lutra_error error;
 *     if (lutra_model_open("deit-tiny-64.safetensors", NULL, &model, &error) ||
 *         lutra_context_create(model, NULL, &context, &error))
 *         return fprintf(stderr, "%s\n", error.message), 1;
 *
 *     const lutra_model_info *info = lutra_model_get_info(model);
 *     uint8_t *pixels = malloc(info->input_bytes);            // [height][width][3]
 *     float *logits = malloc(info->n_classes * sizeof(float)); // [n_classes]
 *     if (lutra_image_read("cat.jpg", &info->preprocessing, pixels, &error) ||
 *         lutra_context_run(context, pixels, 1, logits, NULL, &error))
 *         return fprintf(stderr, "%s\n", error.message), 1;
 *
 * Every fallible function returns LUTRA_OK (0) or a status, and then fills `error` (which may be NULL)
 * completely: a one-line message that names file, tensor and byte where they are known. The library
 * never prints, exits or aborts on input. A model is read-only once open and may be shared by any number of
 * threads; a context belongs to one thread at a time.
 */
#ifndef LUTRA_LUTRA_H
#define LUTRA_LUTRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LUTRA_API __attribute__((visibility("default")))
#else
#define LUTRA_API
#endif

/* ---- status and errors ------------------------------------------------------------------------- */

typedef enum lutra_status {
    LUTRA_OK = 0,
    LUTRA_ERROR_ARGUMENT,    /* the caller asked for something that cannot be: an option out of range */
    LUTRA_ERROR_MEMORY,      /* an allocation failed */
    LUTRA_ERROR_IO,          /* the operating system refused to read or write */
    LUTRA_ERROR_FORMAT,      /* a file is not what it declares to be */
    LUTRA_ERROR_UNSUPPORTED, /* well-formed, but not something that Lutra runs */
    LUTRA_ERROR_CANCELLED,   /* the progress callback returned false */
} lutra_status;

#define LUTRA_NO_OFFSET UINT64_MAX

typedef struct lutra_error {
    lutra_status status;
    uint64_t offset;   /* byte in the file, or LUTRA_NO_OFFSET */
    char path[512];    /* the file, or ""; escaped as the message (lutra_escape) */
    char message[768]; /* the whole sentence for a person, path and offset included; no newline */
} lutra_error;

LUTRA_API const char *lutra_status_name(lutra_status status);

/* Text from a stranger's file (a label, a tensor's name) as a terminal may show it: what steers one, control
 * characters and marks that turn the direction of writing, becomes \u001b, and bytes that are no UTF-8 \xff;
 * all else stays. Writes what finds room in `out`, ended by 0, moves `*text` behind what it took, and returns
 * the length written. Messages of errors are escaped already. */
LUTRA_API size_t lutra_escape(const char **text, char *out, size_t size);

/* "MAJOR.MINOR.PATCH" of the library that is running. */
LUTRA_API const char *lutra_version(void);

/* ---- progress ---------------------------------------------------------------------------------- */

/* Called from the calling thread with `done` of `total` units (bytes, tensors or pictures). `what` names
 * the thing at hand (a tensor, a file) and lives for the call only. Returning false cancels the work: the
 * function returns LUTRA_ERROR_CANCELLED and leaves no file behind. */
typedef bool (*lutra_progress)(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- this machine ------------------------------------------------------------------------------ */

/* Threads used where an option is 0: those of the CPUs this process may run on that belong to the fastest
 * cluster (Linux's cpu_capacity), as many as the quota of its control groups pays for. */
LUTRA_API size_t lutra_default_threads(void);
#define LUTRA_MAX_THREADS 64

/* The level of kernels that contexts will use ("reference", "avx2", "avx512vnni", ...): the best that
 * CPU and operating system support, or what LUTRA_ISA in the environment names. LUTRA_ERROR_ARGUMENT if that
 * name is unknown or unsupported here; the message lists the supported ones. */
LUTRA_API lutra_status lutra_isa(const char **name, lutra_error *error);

/* ---- pictures and preprocessing ---------------------------------------------------------------- */

typedef enum lutra_resample { LUTRA_BILINEAR = 2, LUTRA_BICUBIC = 3 } lutra_resample; /* Pillow's codes */

typedef enum lutra_crop_mode {
    LUTRA_CROP_CENTER, /* resize the shorter side to round-down(size / crop_pct), then cut the centre */
    LUTRA_CROP_SQUASH, /* resize both sides to size / crop_pct, ignoring the aspect, then cut the centre */
    LUTRA_CROP_BORDER, /* resize the longer side to size / crop_pct, then pad with the mean colour or cut */
} lutra_crop_mode;

/* How a picture becomes the model's input. Rounding follows timm and torchvision; see docs/preprocessing.md.
 */
typedef struct lutra_preprocessing {
    size_t height, width;               /* of the input, pixels */
    double crop_pct;                    /* 0 < crop_pct <= 1: part of the resized picture that is kept */
    size_t resize_height, resize_width; /* 0: from crop_pct; else the exact size before the crop (squash), or
                                           resize_height alone the shorter side (center) */
    lutra_crop_mode crop_mode;
    int resample;          /* Pillow's code: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming */
    float mean[3], std[3]; /* RGB, of pixels scaled by 1/255 */
    bool ignore_exif;      /* true: do not apply the EXIF orientation (as torchvision's loader) */
} lutra_preprocessing;

typedef enum lutra_pixel_order { LUTRA_RGB, LUTRA_BGR, LUTRA_RGBA } lutra_pixel_order;

/* Decodes a JPEG, PNG or WebP file, converts it to RGB as Pillow's convert("RGB"), resizes it exactly as
 * Pillow's Image.resize and crops it: `pixels` [height][width][3], 8 bits, not yet normalised.
 * `path` "-" is standard input. Peak memory is bounded by the picture's sides, not its area, for baseline
 * JPEG and non-interlaced PNG. Errors: IO, FORMAT (not a picture, damaged, cut short), UNSUPPORTED (codecs
 * absent from this build, more than 2^28 pixels or 2^20 a side declared), ARGUMENT, MEMORY. */
LUTRA_API lutra_status lutra_image_read(const char *path, const lutra_preprocessing *preprocessing,
                                        uint8_t *pixels, lutra_error *error);

/* As lutra_image_read, from `size` bytes of an encoded picture in memory; `name` stands in messages. */
LUTRA_API lutra_status lutra_image_read_memory(const void *data, size_t size, const char *name,
                                               const lutra_preprocessing *preprocessing, uint8_t *pixels,
                                               lutra_error *error);

/* As lutra_image_read, from decoded pixels (a camera's frame): rows `stride` bytes apart, 3 bytes a pixel
 * (4 for RGBA, whose alpha is ignored). Works in builds without codecs. */
LUTRA_API lutra_status lutra_image_from_rgb8(const uint8_t *source, size_t width, size_t height,
                                             size_t stride, lutra_pixel_order order,
                                             const lutra_preprocessing *preprocessing, uint8_t *pixels,
                                             lutra_error *error);

/* ---- models ------------------------------------------------------------------------------------ */

typedef struct lutra_model lutra_model;

/* Compute modes: the type of the activations and of the decoded weights in matrix products; the rest is f32.
 * BF16 sums in f32; it is faster than F32 only at levels that multiply bf16 ("avx512bf16").
 * INT8 quantises activations row by row as they come (asymmetric 8 bits) and sums exactly in 32 bits. Weights
 * that do not lie on an int8 grid (dense ones, codebooks of floats) are brought to one when a context is
 * created: dense ones row by row, which takes a byte each, codebooks once per matrix.
 * AUTO takes what is fastest at the level of kernels that is used, but INT8 only for models all of whose
 * weights lie on int8 grids, as lutra_cluster_file leaves them for up to 128 clusters; lutra_context_mode
 * tells what it took. Answers of one mode are the same on any number of threads; those of different modes
 * differ (docs/kernels.md says by how much), so name a mode where several machines are to agree. */
typedef enum lutra_mode { LUTRA_MODE_AUTO, LUTRA_MODE_F32, LUTRA_MODE_BF16, LUTRA_MODE_INT8 } lutra_mode;

typedef struct lutra_model_options {
    const char *arch;   /* where no configuration says; NULL: the file's name, then the shapes decide */
    size_t image_size;  /* 0: the model's own; else height and width, position embedding interpolated */
    double crop_pct;    /* 0: the model's own */
    const char *labels; /* NULL: the model's own; else a file, one name a line or `index<TAB>...<TAB>name` */
    bool ignore_exif;
    bool copy; /* read the model's files into memory: what becomes of them then does not matter */
} lutra_model_options;

typedef struct lutra_model_info {
    const char *path;
    const char *arch;        /* "deit_tiny_patch16_224", or "vit" for a configuration without a name */
    const char *arch_source; /* "option", "config", "file name" or "shapes": who named it */
    const char *family;      /* "vit" */
    size_t n_classes;        /* 0: no head, features only */
    size_t n_features;
    size_t input_bytes; /* height * width * 3 of lutra_context_run's pixels */
    size_t dim, depth, n_heads, mlp_dim, patch_size;
    size_t n_tokens,
        n_prefix_tokens; /* all, and those that are no patches (class, distillation, registers) */
    uint64_t n_parameters;
    uint64_t n_clustered;    /* parameters that are held as indices */
    uint64_t file_bytes;     /* all files of the model */
    uint64_t macs;           /* multiply-adds per picture */
    size_t n_clusters;       /* entries of the largest codebook; 0: dense */
    size_t n_copied_tensors; /* tensors that lie unaligned in the file and were copied */
    lutra_preprocessing preprocessing;
} lutra_model_info;

/* Opens a dense or clustered model: a .safetensors file, or a folder with model.safetensors (or the shards
 * of model.safetensors.index.json), config.json and preprocessor_config.json beside it. `options` may be
 * NULL; close the model with lutra_model_close. The file is mapped, not read: a program that replaces it by
 * another (as Lutra does) does not matter, but one that writes into it changes the weights, and one that cuts
 * it short ends this program (SIGBUS) where it needs what is gone. Where others may do so, set `copy`. */
LUTRA_API lutra_status lutra_model_open(const char *path, const lutra_model_options *options,
                                        lutra_model **model, lutra_error *error);

/* As lutra_model_open, from a safetensors file in memory, which must stay until the model is closed. */
LUTRA_API lutra_status lutra_model_open_memory(const void *data, size_t size,
                                               const lutra_model_options *options, lutra_model **model,
                                               lutra_error *error);
LUTRA_API void lutra_model_close(lutra_model *model); /* NULL is fine */

/* Lives as long as the model. */
LUTRA_API const lutra_model_info *lutra_model_get_info(const lutra_model *model);

/* The name of class `index`, or NULL where the model has none. */
LUTRA_API const char *lutra_model_label(const lutra_model *model, size_t index);

/* The architectures known by name, in the order of the table; NULL from `index` = their number on. */
LUTRA_API const char *lutra_arch_name(size_t index);

/* ---- the plan ---------------------------------------------------------------------------------- */

#define LUTRA_NO_BLOCK SIZE_MAX

typedef struct lutra_step_info {
    const char *op;   /* "gemm", "layer_norm", "attention", ... */
    const char *name; /* "blocks.3.mlp.fc1" */
    size_t block;     /* 3; LUTRA_NO_BLOCK before and behind the blocks */
    size_t m, n, k; /* gemm: rows, outputs, inputs; attention: queries, tokens, dim; else rows, columns, 0 */
    uint64_t macs;
    uint64_t weight_bytes;              /* read from the file */
    uint64_t read_bytes, written_bytes; /* activations */
} lutra_step_info;

/* The steps of one run on one picture. Names live as long as the model; LUTRA_ERROR_ARGUMENT when `index` is
 * beyond the plan. */
LUTRA_API size_t lutra_model_n_steps(const lutra_model *model);
LUTRA_API lutra_status lutra_model_step(const lutra_model *model, size_t index, lutra_step_info *info,
                                        lutra_error *error);
/* In what contexts that run in `mode` multiply in such a step: products in the mode's type; attention in f32,
 * or with int8, whose activations are rounded anyway, in bf16. */
LUTRA_API lutra_mode lutra_step_mode(const lutra_step_info *step, lutra_mode mode);

/* What a run of `batch` pictures in `mode` on one thread brings from beyond a cache of `cache_bytes`, step by
 * step, once it has run before: a model, which follows the order in which the kernels of this machine's level
 * touch their operands and lets the cache forget what was used longest ago (docs/profiling.md). What is
 * written back is not in it. `bytes` [lutra_model_n_steps]. */
LUTRA_API lutra_status lutra_model_traffic(const lutra_model *model, lutra_mode mode, size_t batch,
                                           uint64_t cache_bytes, uint64_t *bytes, lutra_error *error);

/* ---- running ----------------------------------------------------------------------------------- */

typedef struct lutra_context lutra_context;

typedef struct lutra_context_options {
    size_t n_threads;   /* 0: n_cpus, or lutra_default_threads() where that is 0 too */
    size_t max_batch;   /* 0: 1 */
    lutra_mode mode;    /* 0: LUTRA_MODE_AUTO */
    const size_t *cpus; /* [n_cpus]: thread i is kept on CPU cpus[i % n_cpus]; the caller's, thread 0, for the
                         * time of a run. NULL: the operating system places them. */
    size_t n_cpus;      /* up to LUTRA_MAX_THREADS */
} lutra_context_options;

/* Allocates everything that runs will need; `options` may be NULL. The model must outlive the context. Its
 * threads are of this process: a child that fork() made may only free it. */
LUTRA_API lutra_status lutra_context_create(const lutra_model *model, const lutra_context_options *options,
                                            lutra_context **context, lutra_error *error);
LUTRA_API void lutra_context_free(lutra_context *context); /* NULL is fine */

LUTRA_API size_t lutra_context_threads(const lutra_context *context);
LUTRA_API const char *lutra_context_isa(const lutra_context *context);
LUTRA_API lutra_mode lutra_context_mode(const lutra_context *context); /* never AUTO */

/* Bytes of weights that one run reads: those in the file, or the int8 ones that dense weights were brought
 * to. */
LUTRA_API uint64_t lutra_context_weight_bytes(const lutra_context *context);

/* The step as this context runs it: as lutra_model_step, but with the bytes of weights that are read in its
 * mode. LUTRA_ERROR_ARGUMENT when `index` is beyond the plan. */
LUTRA_API lutra_status lutra_context_step_info(const lutra_context *context, size_t index,
                                               lutra_step_info *info, lutra_error *error);

/* Runs `batch` pictures (1..max_batch): `pixels` [batch][height][width][3], 8-bit RGB as lutra_image_read
 * leaves them. Either output may be NULL: `logits` [batch][n_classes] before softmax; `features`
 * [batch][n_features], what the head sees. The calling thread rounds to the nearest, as is C's default.
 * Allocates nothing. Errors: ARGUMENT. */
LUTRA_API lutra_status lutra_context_run(lutra_context *context, const uint8_t *pixels, size_t batch,
                                         float *logits, float *features, lutra_error *error);

/* What a step of a run has done. Row i of picture p is the `columns` floats from `data + p * stride + i * ld`
 * on; they may be read until the observer returns. */
typedef struct lutra_step_result {
    size_t index;                /* of the step in the plan */
    double seconds;              /* that it took */
    size_t batch, rows, columns; /* pictures; rows of a picture */
    size_t stride, ld;           /* floats from picture to picture, from row to row */
    const float *data;
} lutra_step_result;

/* Called from the thread that runs, between two steps; its own time is in no step's. */
typedef void (*lutra_step_observer)(void *user, const lutra_step_result *result);

/* From now on each step of a run is timed and shown to `observer`; NULL: no more. Not to be called from an
 * observer. */
LUTRA_API void lutra_context_observe(lutra_context *context, lutra_step_observer observer, void *user);

/* Measures how many multiply-adds (in 1e9 a second) `n_threads` threads of this machine do at once with the
 * instruction that products of `mode` are made of, at the level that lutra_isa names, from registers alone.
 * Takes about a millisecond. 0 where no such loop is known, and for AUTO. Errors: those of lutra_isa,
 * ARGUMENT, MEMORY. */
LUTRA_API lutra_status lutra_measure_peak(lutra_mode mode, size_t n_threads, double *gmacs,
                                          lutra_error *error);

/* ---- devices ------------------------------------------------------------------------------------ */

#define LUTRA_MAX_CACHES 4

typedef struct lutra_cache {
    uint64_t bytes;
    size_t shared_by;        /* cores */
    double bytes_per_second; /* that one core reads from it; 0: unknown */
} lutra_cache;

/* How well Lutra's kernels use a processor. Shares of the peak that products reach; all else in multiply-adds
 * of f32 at the peak, for one weight (index, dense), activation (quantise, norm, move), output (output, gelu)
 * or score of attention. */
typedef struct lutra_efficiency {
    double share_f32, share_i8, share_dense_i8, share_attention, share_attention_bf16;
    double index_f32, index_i8, dense_f32, dense_i8, quantise, output, output_i8, gelu, gelu_i8, score,
        score_bf16, norm, move;
} lutra_efficiency;

/* What is known of a processor, from its description (docs/devices.md). Clocks in Hz, rates in bytes per
 * second, energies in picojoules. */
typedef struct lutra_device {
    char name[64], title[128], core[64], isa[32];
    size_t n_cores;
    double clock, clock_all; /* while one core works, while all do */
    double macs_per_cycle_f32, macs_per_cycle_bf16, macs_per_cycle_i8; /* of a core */
    lutra_cache caches[LUTRA_MAX_CACHES];                              /* [n_caches], level 1 first */
    size_t n_caches; /* 0: not known; predictions then bring all from main memory */
    double dram_one_core, dram_all_cores;
    double pj_dram_byte, pj_mac_f32, pj_mac_bf16, pj_mac_i8;
    lutra_efficiency efficiency;
    bool efficiency_is_own; /* calibrated there, not on the device that the library's were calibrated on */
} lutra_device;

/* Reads the description at `path`. Errors: IO, FORMAT (no JSON: with the byte; a number that is missing, not
 * above 0 or without a source: with its name), MEMORY. */
LUTRA_API lutra_status lutra_device_read(const char *path, lutra_device *device, lutra_error *error);

/* Measures how well the kernels of the level that lutra_isa names use this machine, on one thread in about
 * two seconds: kernels alone, in shapes that no known model has. Of `device`, only macs_per_cycle_f32, _bf16
 * and _i8 are used. Errors: those of lutra_isa, ARGUMENT (one of these is not above 0), UNSUPPORTED (the
 * level's peak is not known), MEMORY. */
LUTRA_API lutra_status lutra_calibrate(const lutra_device *device, lutra_efficiency *efficiency,
                                       lutra_error *error);

/* What LUTRA_MODE_AUTO comes to for the model on the device. */
LUTRA_API lutra_mode lutra_device_mode(const lutra_device *device, const lutra_model *model);

/* What a device has while `n_threads` of its cores work; more threads than cores count as many as these.
 * Cycles a second of them together; bytes a second that they read from cache `level` (0: the first; n_caches:
 * main memory); of a cache, the bytes that are theirs: those of other cores lie idle. 0: not known. */
LUTRA_API double lutra_device_cycles(const lutra_device *device, size_t n_threads);
LUTRA_API double lutra_device_bandwidth(const lutra_device *device, size_t level, size_t n_threads);
LUTRA_API uint64_t lutra_device_cache_bytes(const lutra_device *device, size_t level, size_t n_threads);

/* Picojoules of a bare multiply-add of such a step when contexts run in `mode`: a lower bound. */
LUTRA_API double lutra_device_mac_energy(const lutra_device *device, const lutra_step_info *step,
                                         lutra_mode mode);

typedef struct lutra_prediction_options {
    lutra_mode mode;  /* AUTO: what contexts would take there */
    size_t n_threads; /* 0: as many as the device has cores; not more than those */
    size_t batch;     /* 0: 1 */
} lutra_prediction_options;

/* What a step of a run on a batch is predicted to take. */
typedef struct lutra_step_prediction {
    double seconds;                         /* the longer of the two: */
    double compute_seconds, memory_seconds; /* arithmetic; bytes at the level that they come from */
    const char *bound;                      /* "compute", "L1" to "L4" or "DRAM": what takes the longest */
    uint64_t macs, weight_bytes, activation_bytes;
    uint64_t dram_bytes; /* that cross from or to main memory when one run follows another */
    double millijoules;  /* of the bare operations and of these bytes: a lower bound */
} lutra_step_prediction;

/* Predicts each step of a run of `model` on `device` by its roofline and the kernels' efficiency -> `steps`
 * [lutra_model_n_steps(model)]. Nothing is run or measured. Errors: ARGUMENT (more threads than cores; a
 * device that lacks a clock, a peak, a rate of main memory or a share of a peak, as one that was only looked
 * at), MEMORY. */
LUTRA_API lutra_status lutra_predict(const lutra_model *model, const lutra_device *device,
                                     const lutra_prediction_options *options, lutra_step_prediction *steps,
                                     lutra_error *error);

/* What the system tells of this machine: title, cores, level of kernels, the caches of one of its fastest
 * cores; the energies of bare operations, which are those of any; and the library's own efficiency. All else
 * 0. */
LUTRA_API void lutra_device_look(lutra_device *device);

/* Measures it too: clock, peaks, rates of reading and the kernels' efficiency, in some seconds; the library's
 * own stays where the machine is too busy for that. `progress` may be NULL. Errors: those of lutra_isa,
 * UNSUPPORTED (no loop for the level's peak), MEMORY, CANCELLED. */
LUTRA_API lutra_status lutra_device_measure(lutra_device *device, lutra_progress progress, void *user,
                                            lutra_error *error);

/* Writes a measured device's description, whole or not at all, for lutra_device_read. Errors: ARGUMENT (one
 * that it would not take), IO, MEMORY. */
LUTRA_API lutra_status lutra_device_write(const char *path, const lutra_device *device, lutra_error *error);

/* ---- counted traffic ----------------------------------------------------------------------------- */

typedef struct lutra_counter lutra_counter;

/* Counts the lines that are read and that the last cache misses, by the processor's own counter, of this
 * process and the threads that it starts from now on: open it before a context. Errors: IO (perf_event_open
 * says why; the message says how to grant it), UNSUPPORTED (the processor does not count them, or not all the
 * time), MEMORY. */
LUTRA_API lutra_status lutra_counter_open(lutra_counter **counter, lutra_error *error);
/* Counts the bytes that the memory controllers move to and fro, for all programs of the machine. Errors: IO,
 * UNSUPPORTED (the kernel shows none), MEMORY. */
LUTRA_API lutra_status lutra_counter_open_memory(lutra_counter **counter, lutra_error *error);
/* Bytes; differences between two readings tell. Errors: IO, UNSUPPORTED (not all the time was counted). */
LUTRA_API lutra_status lutra_counter_read(lutra_counter *counter, uint64_t *bytes, lutra_error *error);
LUTRA_API void lutra_counter_close(lutra_counter *counter); /* NULL is fine */

/* ---- energy ------------------------------------------------------------------------------------- */

typedef struct lutra_meter lutra_meter;

/* The sources of energy in the order in which they are tried ("rapl", "perf", ...); NULL from `index` = their
 * number on. */
LUTRA_API const char *lutra_meter_source(size_t index);

/* Opens `source`, or the first that can be read where it is NULL. `command` prints the watts of an external
 * meter, a line each time it has measured; NULL: none. Where it is given and `source` is NULL, nothing else
 * is tried. Errors: UNSUPPORTED (there is no such meter here), IO (it may not be read; the message says how
 * to grant it), FORMAT (what it says is no energy), ARGUMENT, MEMORY (or no descriptor is left). */
LUTRA_API lutra_status lutra_meter_open(const char *source, const char *command, lutra_meter **meter,
                                        lutra_error *error);
LUTRA_API void lutra_meter_close(lutra_meter *meter);             /* NULL is fine */
LUTRA_API const char *lutra_meter_name(const lutra_meter *meter); /* "rapl" */
LUTRA_API const char *lutra_meter_what(const lutra_meter *meter); /* what is measured */

/* Joules since it was opened. To be called at least every second: counters wrap around, power is taken to
 * change evenly between two readings. Errors: IO, FORMAT, UNSUPPORTED (a battery that is not discharging),
 * MEMORY (or no descriptor is left). */
LUTRA_API lutra_status lutra_meter_read(lutra_meter *meter, double *joules, lutra_error *error);
/* Whether it has given anything yet: a program of the user's takes its time to begin, and what is drawn until
 * then is not among the joules. One that gives nothing for five seconds fails to be read. */
LUTRA_API bool lutra_meter_speaks(const lutra_meter *meter);

typedef struct lutra_energy_options {
    double idle_seconds; /* before and again behind the runs, at least half a second each; 0: 10 */
    double busy_seconds; /* of runs, at least; 0: 30 */
    size_t batch;        /* pictures of a run; 0: 1 */
    lutra_progress progress;
    void *progress_user;
    const size_t *cpus; /* [n_cpus] that the context is kept on */
    size_t n_cpus;      /* 0: it may use any, and the fastest are looked at */
} lutra_energy_options;

/* Energies in millijoules for one picture. */
typedef struct lutra_energy {
    double idle_watts, busy_watts; /* mean of the two idle times; of the runs */
    double mj, mj_raw;             /* less what the machine draws when idle; as measured */
    double mj_p10, mj_p90;         /* of `mj`, over ten parts of the runs */
    double seconds;                /* of the runs */
    size_t n_pictures;
    double celsius_before, celsius_after; /* of the hottest zone; NaN: not to be read */
    double mhz_before, mhz_after; /* of the fastest of the CPUs, at the begin and end of the runs; NaN */
    bool is_throttled;            /* the clock fell by more than a tenth, or the kernel says so */
} lutra_energy;

/* Idles, runs `pixels` [batch][input_bytes] again and again, idles; and measures. Errors: those of the meter
 * and of lutra_context_run, UNSUPPORTED (too few readings to trust), CANCELLED. */
LUTRA_API lutra_status lutra_measure_energy(lutra_meter *meter, lutra_context *context, const uint8_t *pixels,
                                            const lutra_energy_options *options, lutra_energy *energy,
                                            lutra_error *error);

/* ---- the offline job --------------------------------------------------------------------------- */

typedef enum lutra_scope { LUTRA_SCOPE_ROW, LUTRA_SCOPE_TENSOR, LUTRA_SCOPE_MODEL } lutra_scope;
typedef enum lutra_codebook_type {
    LUTRA_CODEBOOK_AUTO,
    LUTRA_CODEBOOK_I8,
    LUTRA_CODEBOOK_F32
} lutra_codebook_type;

/* In place of one number of clusters, what the model may take or lose: each matrix then gets as many as its
 * measured sensitivity is worth, all that its index width can tell apart (2, 4, 8, ..., 128; up to 256 with
 * codebooks of floats). */
typedef enum lutra_budget_unit {
    LUTRA_BUDGET_NONE,
    LUTRA_BUDGET_BYTES, /* of the file that is written */
    LUTRA_BUDGET_BITS,  /* of an index, the mean over all weights: 1 to 8 */
    LUTRA_BUDGET_KL,    /* mean KL(dense || clustered) of the classes on the validation pictures, nats */
} lutra_budget_unit;

/* The KL that comes of clustering one matrix alone, calibrated in a quick way on some of the pictures, on
 * others of them. */
#define LUTRA_N_WIDTH_LOSSES 4
typedef struct lutra_width_loss {
    size_t n_clusters;
    double kl;
} lutra_width_loss;

typedef struct lutra_cluster_options {
    size_t n_clusters; /* 2..256; of no account where there is a budget */
    lutra_budget_unit budget_unit;
    double budget;
    lutra_scope scope;
    lutra_codebook_type codebook; /* AUTO: I8 up to 128 clusters, F32 above and for scope model */
    bool exact;                   /* k-means over all sorted values instead of a fine histogram */
    size_t n_threads;
    /* Unlabelled pictures [n_calibration_pictures][height][width][3], as lutra_image_read prepares them for
     * the model: the outputs for these, rather than the weights, are then kept as they are. NULL: none. */
    const uint8_t *calibration_pixels;
    size_t n_calibration_pictures;
    /* So many pictures more lie behind them, up to 1024 in all: nothing is fitted to these, the loss is
     * measured on them. A budget of KL needs some. */
    size_t n_validation_pictures;
    /* NULL, or the report of an earlier run with a budget, with the same scope and codebook: where it is of
     * the same source, sensitivities are taken from it and not measured again. */
    const struct lutra_cluster_report *known;
    lutra_model_options model; /* arch, labels: stored in the file */
    lutra_progress progress;   /* may be NULL; with a budget `done` begins anew with each part of the work */
    void *progress_user;
} lutra_cluster_options;

typedef struct lutra_tensor_report {
    char name[256];
    size_t n, k; /* outputs, inputs */
    size_t n_clusters, bits;
    double squared_error;  /* sum over the matrix of (weight - clustered weight)^2 */
    double squared_weight; /* sum of weight^2: their ratio is the relative error */
    /* Upper bound on (k-means objective / optimum over the sorted values) - 1: before entries become integers
     * and rows get the scales that fit them best. Of squared_error itself with scope tensor or model and a
     * codebook of floats alone. */
    double optimality_gap;
    /* Calibrated: mean over the inputs of the squared error of the outputs, and of the squared outputs, both
     * about their means where a bias follows; else, and where these are too large for f32, 0. */
    double squared_output_error, squared_output;
    bool is_measured;                                   /* sensitivity: with a budget */
    lutra_width_loss sensitivity[LUTRA_N_WIDTH_LOSSES]; /* ascending n_clusters */
} lutra_tensor_report;

typedef struct lutra_budget_point {
    uint64_t bytes; /* of the file */
    double bits;    /* of an index, the mean over all weights */
    double kl;      /* mean KL(dense || clustered), nats */
} lutra_budget_point;

typedef struct lutra_cluster_report {
    uint64_t bytes_in, bytes_out; /* file sizes */
    uint64_t n_clustered;         /* weights clustered */
    double bits_per_weight;       /* of the clustered weights: indices, codebooks and scales */
    double squared_error, squared_weight;
    double optimality_gap; /* the largest over tensors */
    double seconds;
    size_t n_threads;
    char arch[128];
    char source_sha256[65]; /* of the source's file; of its files' sums where there are several */
    size_t n_tensors;
    lutra_tensor_report *tensors; /* [n_tensors]; free with lutra_cluster_report_free */
    /* With a budget: what was chosen, with the loss measured on the validation pictures, or on the
     * calibration pictures where there are none; and the best choices for all budgets, with what they would
     * lose: the sum of the sensitivities, in proportion to the loss that was measured. */
    lutra_budget_point chosen;
    size_t n_loss_pictures;
    bool loss_is_of_validation;
    size_t n_rounds; /* how often the model was clustered until its loss was right */
    size_t n_points;
    lutra_budget_point
        *curve; /* [n_points] ascending bytes, which may be a few off; freed with the tensors */
} lutra_cluster_report;

/* Clusters every weight matrix of the model at `input` and writes `output`, whole or not at all; none of the
 * model's files may be `output` (ARGUMENT). `report` may be NULL. Deterministic on any number of threads. */
LUTRA_API lutra_status lutra_cluster_file(const char *input, const char *output,
                                          const lutra_cluster_options *options, lutra_cluster_report *report,
                                          lutra_error *error);
LUTRA_API void lutra_cluster_report_free(lutra_cluster_report *report);

typedef enum lutra_dtype {
    LUTRA_F64,
    LUTRA_F32,
    LUTRA_F16,
    LUTRA_BF16,
    LUTRA_I64,
    LUTRA_I32,
    LUTRA_I16,
    LUTRA_I8,
    LUTRA_U64,
    LUTRA_U32,
    LUTRA_U16,
    LUTRA_U8,
    LUTRA_BOOL,
    LUTRA_F8_E4M3,
    LUTRA_F8_E5M2,
} lutra_dtype;
LUTRA_API const char *lutra_dtype_name(lutra_dtype dtype); /* safetensors' name: "F32" */
LUTRA_API size_t lutra_dtype_size(lutra_dtype dtype);      /* bytes per element */

/* Writes the model at `input` with dense tensors under their original names and shapes; `dtype` is F32, F16
 * or BF16. None of the model's files may be `output` (ARGUMENT). */
LUTRA_API lutra_status lutra_export_file(const char *input, const char *output, lutra_dtype dtype,
                                         lutra_progress progress, void *progress_user, lutra_error *error);

/* Writes a dense F32 model of a known architecture with seeded random weights of realistic spread. */
LUTRA_API lutra_status lutra_random_file(const char *arch, uint64_t seed, const char *output,
                                         lutra_progress progress, void *progress_user, lutra_error *error);

/* Writes `bytes` of `data` and `more_bytes` of `more` (either may have none) to `path` in the way in which
 * models are written: under a temporary name, locked, synced, renamed; an older file stays until the new one
 * is whole. For reports and tables that belong to a model. Errors: ARGUMENT ("-"), IO, MEMORY. */
LUTRA_API lutra_status lutra_write_file(const char *path, const void *data, size_t bytes, const void *more,
                                        size_t more_bytes, lutra_error *error);

/* ---- any safetensors file ---------------------------------------------------------------------- */

typedef struct lutra_tensor_file lutra_tensor_file;

#define LUTRA_MAX_RANK 8

typedef struct lutra_tensor_info {
    const char *name;
    lutra_dtype dtype; /* of the stored tensor; of the source where clustered */
    size_t rank;
    uint64_t shape[LUTRA_MAX_RANK];
    uint64_t bytes;    /* in the file; of indices, codebook and scale together where clustered */
    uint64_t offset;   /* in the file */
    size_t n_clusters; /* 0: dense */
    size_t bits;       /* of an index */
    const char *scope; /* "row", "tensor" or "model"; NULL: dense */
} lutra_tensor_info;

LUTRA_API lutra_status lutra_tensor_file_open(const char *path, lutra_tensor_file **file, lutra_error *error);
LUTRA_API void lutra_tensor_file_close(lutra_tensor_file *file);
LUTRA_API size_t lutra_tensor_file_n_tensors(const lutra_tensor_file *file);
LUTRA_API const lutra_tensor_info *lutra_tensor_file_tensor(const lutra_tensor_file *file, size_t index);
/* The value of a metadata key, or NULL; "lutra.config" is the description of a clustered file. */
LUTRA_API const char *lutra_tensor_file_metadata(const lutra_tensor_file *file, const char *key);
/* Scans a clustered file for indices beyond their codebook: FORMAT names the first tensor that has one. */
LUTRA_API lutra_status lutra_tensor_file_verify(const lutra_tensor_file *file, lutra_error *error);

#ifdef __cplusplus
}
#endif
#endif
