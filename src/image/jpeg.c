/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG through libjpeg-turbo with its defaults (the accurate integer DCT, smooth chroma upsampling), which
 * are Pillow's. Row by row; a progressive file's coefficients are held by libjpeg all the same.
 */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>

/* Which codes jerror.h has, and their numbers, hang on what jpeglib.h defines. */
#include <jpeglib.h>

#include <jerror.h>

#include "base/memory.h"
#include "image/exif.h"
#include "image/picture.h"

/* A progressive file may repeat cheap scans without end; real ones have about ten. */
#define MAX_SCANS 200

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    lutra_picture *picture;
    lutra_error *error;
    lutra_status status;
    bool ended;          /* the bytes ran out */
    const uint8_t *exif; /* [exif_size], in the picture's bytes; NULL: none */
    size_t exif_size;
    uint8_t *row;    /* [width][components] */
    uint8_t *colour; /* [width][3], CMYK only */
} decoder;

bool lutra_jpeg_recognises(const uint8_t *data, size_t size)
{
    return size >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff;
}

/* ---- errors ---- */

static uint64_t position(const decoder *d)
{
    return d->picture->size - d->source.bytes_in_buffer;
}

_Noreturn static void fail_now(decoder *d, const char *message)
{
    d->status = lutra_fail(d->error, LUTRA_ERROR_FORMAT, d->picture->name,
                           d->ended ? d->picture->size : position(d), "%s", message);
    longjmp(d->failed, 1);
}

static void on_error(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        d->status = lutra_fail(d->error, LUTRA_ERROR_MEMORY, d->picture->name, LUTRA_NO_OFFSET,
                               "not enough memory to decode it");
        longjmp(d->failed, 1);
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
        jpeg->err->format_message(jpeg, message);
        d->status = lutra_fail(d->error, LUTRA_ERROR_UNSUPPORTED, d->picture->name, position(d),
                               "not a JPEG that Lutra reads: %s", message);
        longjmp(d->failed, 1);
    default:
        jpeg->err->format_message(jpeg, message);
        fail_now(d, d->ended ? "the picture is cut short" : message);
    }
}

/* libjpeg repairs what it can and says so; where that means inventing pixels, the picture is refused. Stray
 * bytes between markers, odd version numbers and the like lose nothing. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0)
        return; /* a trace */
    switch (jpeg->err->msg_code) {
    case JWRN_HIT_MARKER:
        fail_now(jpeg->client_data, "the picture is cut short");
    case JWRN_HUFF_BAD_CODE:
#ifdef D_ARITH_CODING_SUPPORTED
    case JWRN_ARITH_BAD_CODE:
#endif
    case JWRN_MUST_RESYNC:
        fail_now(jpeg->client_data, "the picture's data is damaged");
    }
}

static void print_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

/* ---- the bytes ---- */

static void source_nothing(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* All bytes were given at the start: now comes the end marker that the file lacks. Where data was still due,
 * libjpeg warns, but not in arithmetic codes: their last zeros may be left out, so it goes on with zeros. */
static boolean source_fill(j_decompress_ptr jpeg)
{
    static const JOCTET end_marker[2] = {0xff, JPEG_EOI};
    decoder *d = jpeg->client_data;
    d->ended = true;
    if (jpeg->arith_code)
        fail_now(d, "the picture is cut short");
    d->source.next_input_byte = end_marker;
    d->source.bytes_in_buffer = sizeof end_marker;
    return TRUE;
}

static void source_skip(j_decompress_ptr jpeg, long n_bytes)
{
    decoder *d = jpeg->client_data;
    if (n_bytes <= 0)
        return;
    if ((unsigned long)n_bytes > d->source.bytes_in_buffer) {
        source_fill(jpeg);
        return;
    }
    d->source.next_input_byte += n_bytes;
    d->source.bytes_in_buffer -= (size_t)n_bytes;
}

static void on_progress(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    if (d->jpeg.input_scan_number > MAX_SCANS)
        fail_now(d, "more than 200 scans");
}

/* Notes the first APP1 segment with EXIF in it, and passes over every one. By itself libjpeg would keep all
 * of them, and in full; where it finds markers among fill and stray bytes is its business. */
static boolean on_app1(j_decompress_ptr jpeg)
{
    static const char exif[6] = "Exif\0";
    decoder *d = jpeg->client_data;
    const uint8_t *segment = d->source.next_input_byte;
    const size_t left = d->source.bytes_in_buffer;
    if (left < 2)
        return source_fill(jpeg);
    const size_t length = (size_t)segment[0] << 8 | segment[1]; /* includes itself */
    if (d->exif_size == 0 && length <= left && length > 2 + sizeof exif &&
        memcmp(segment + 2, exif, sizeof exif) == 0) {
        d->exif = segment + 2;
        d->exif_size = length - 2;
    }
    source_skip(jpeg, length < 2 ? 2 : (long)length);
    return TRUE;
}

/* ---- decoding ---- */

static void start(decoder *d)
{
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->errors.output_message = print_nothing;
    d->jpeg.client_data = d;
    jpeg_create_decompress(&d->jpeg);

    d->source.init_source = source_nothing;
    d->source.fill_input_buffer = source_fill;
    d->source.skip_input_data = source_skip;
    d->source.resync_to_restart = jpeg_resync_to_restart;
    d->source.term_source = source_nothing;
    d->source.next_input_byte = d->picture->data;
    d->source.bytes_in_buffer = d->picture->size;
    d->jpeg.src = &d->source;
    jpeg_set_marker_processor(&d->jpeg, JPEG_APP0 + 1, on_app1);
    d->progress.progress_monitor = on_progress;
    d->jpeg.progress = &d->progress;
}

static lutra_status choose_colours(decoder *d)
{
    switch (d->jpeg.num_components) {
    case 1:
    case 3:
        d->jpeg.out_color_space = JCS_RGB;
        return LUTRA_OK;
    case 4:
        d->jpeg.out_color_space = JCS_CMYK;
        return LUTRA_OK;
    default:
        return lutra_fail(d->error, LUTRA_ERROR_UNSUPPORTED, d->picture->name, LUTRA_NO_OFFSET,
                          "a JPEG of %d components", d->jpeg.num_components);
    }
}

/* (a * b) / 255, rounded to the nearest. */
static unsigned multiply_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* As Pillow: the inks are stored inverted (Adobe's way, with its marker or without), and mixed without a
 * colour profile. */
static void convert_cmyk(const uint8_t *inverted, size_t width, uint8_t *rgb)
{
    for (size_t x = 0; x < width; x++, inverted += 4, rgb += 3)
        for (size_t i = 0; i < 3; i++) {
            unsigned light = inverted[3];
            unsigned ink = multiply_255(255u - inverted[i], light);
            rgb[i] = (uint8_t)(light > ink ? light - ink : 0);
        }
}

static lutra_status decode_rows(decoder *d)
{
    lutra_picture *picture = d->picture;
    jpeg_read_header(&d->jpeg, TRUE);
    lutra_status status = choose_colours(d);
    if (!status)
        status = lutra_picture_begin(picture, d->jpeg.image_width, d->jpeg.image_height,
                                     lutra_exif_orientation(d->exif, d->exif_size), d->error);
    if (status)
        return status;
    jpeg_start_decompress(&d->jpeg);
    if (jpeg_has_multiple_scans(&d->jpeg) && d->ended)
        fail_now(d, "the picture is cut short");

    bool cmyk = d->jpeg.out_color_space == JCS_CMYK;
    status = lutra_allocate(d->jpeg.output_width, cmyk ? 4 : 3, "a row of a picture", &d->row, d->error);
    if (!status && cmyk)
        status = lutra_allocate(d->jpeg.output_width, 3, "a row of a picture", &d->colour, d->error);
    while (!status && d->jpeg.output_scanline < d->jpeg.output_height) {
        JSAMPROW row = d->row;
        jpeg_read_scanlines(&d->jpeg, &row, 1);
        if (cmyk)
            convert_cmyk(d->row, d->jpeg.output_width, d->colour);
        lutra_picture_row(picture, cmyk ? d->colour : d->row);
    }
    return status;
}

lutra_status lutra_jpeg_decode(lutra_picture *picture, lutra_error *error)
{
    decoder d = {.picture = picture, .error = error};
    /* libjpeg leaves by longjmp: `d` is reached through pointers only, so no value is lost with it. */
    if (setjmp(d.failed) == 0) {
        start(&d);
        d.status = decode_rows(&d);
    }
    jpeg_destroy_decompress(&d.jpeg);
    free(d.row);
    free(d.colour);
    return d.status;
}
