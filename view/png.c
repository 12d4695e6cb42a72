#include "nn/files.h"
#include "view/drawing.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

/* ---- libpng's world: its memory and its errors are the library's ---- */

typedef struct writer {
    jmp_buf failed;
    const char *op;
    png_structp png;
    png_infop info;
    bool out_of_memory;
    unsigned char *data; /* what is written so far, of `room` bytes */
    size_t size, room;
} writer;

/* Each block starts with its size, since libpng does not say it when it gives one back. */
typedef union block {
    size_t size;
    max_align_t align;
} block;

static png_voidp take(png_structp png, png_alloc_size_t size)
{
    writer *w = png_get_mem_ptr(png);
    block *taken = size < SIZE_MAX - sizeof(block) ? grdi_allocate(sizeof(block) + size) : NULL;
    w->out_of_memory |= !taken;
    if (!taken)
        return NULL;
    taken->size = sizeof(block) + size;
    return taken + 1;
}

static void give_back(png_structp png, png_voidp memory)
{
    (void)png;
    block *given = memory;
    if (given)
        grdi_free(given - 1, given[-1].size);
}

/* Does not return, as libpng wants it; whose words for a lack of memory are many. */
static void on_error(png_structp png, png_const_charp message)
{
    writer *w = png_get_error_ptr(png);
    grdi_fail(w->out_of_memory ? GRD_ERROR_MEMORY : GRD_ERROR_IO, w->op, "the PNG: %s", message);
    longjmp(w->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep data, size_t size)
{
    writer *w = png_get_io_ptr(png);
    if (size > w->room - w->size) {
        const size_t room = 2 * w->room + size;
        unsigned char *larger = grdi_allocate(room);
        w->out_of_memory |= !larger;
        if (!larger)
            png_error(png, "out of memory");
        if (w->size)
            memcpy(larger, w->data, w->size);
        grdi_free(w->data, w->room);
        w->data = larger;
        w->room = room;
    }
    memcpy(w->data + w->size, data, size);
    w->size += size;
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* ---- The picture ---- */

/* The palette, and after it the mixtures of the texts' colours with the ground. */
static int colours_of(png_color out[256], const grdi_rgb palette[GRDI_COLOURS])
{
    int count = 0;
    for (; count < GRDI_COLOURS; count++)
        out[count] = (png_color){ palette[count][0], palette[count][1], palette[count][2] };
    for (int ink = GRDI_QUIET; ink <= GRDI_INK; ink++)
        for (int level = 0; level < GRDI_LEVELS; level++, count++) {
            unsigned char mixed[3];
            for (int i = 0; i < 3; i++)
                mixed[i] = (unsigned char)((level * palette[ink][i] +
                                            (GRDI_LEVELS - 1 - level) * palette[GRDI_GROUND][i]) /
                                           (GRDI_LEVELS - 1));
            out[count] = (png_color){ mixed[0], mixed[1], mixed[2] };
        }
    return count;
}

static void put_words(png_structp png, png_infop info, const char *title, const char *description)
{
    const char *const words[][2] = { { "Title", title },
                                     { "Description", description },
                                     { "Software", "Gradus" } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i][1]) {
            png_text text = { .compression = PNG_ITXT_COMPRESSION_NONE,
                              .key = (char *)words[i][0],
                              .text = (char *)words[i][1],
                              .lang = (char *)"en",
                              .lang_key = (char *)words[i][0] };
            png_set_text(png, info, &text, 1);
        }
}

static void put_picture(png_structp png, png_infop info, const grdi_bitmap *b,
                        const grdi_rgb palette[GRDI_COLOURS])
{
    png_color colours[256];
    const png_uint_32 width = (png_uint_32)(b->width * b->scale);
    const png_uint_32 height = (png_uint_32)(b->height * b->scale);
    const png_uint_32 density = (png_uint_32)(3780 * b->scale); /* 96 to the inch, in a metre */
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_PLTE(png, info, colours, colours_of(colours, palette));
    png_set_pHYs(png, info, density, density, PNG_RESOLUTION_METER);
    png_set_filter(png, PNG_FILTER_TYPE_BASE,
                   PNG_FILTER_NONE); /* numbers of colours are no slope */
    png_write_info(png, info);
    for (png_uint_32 y = 0; y < height; y++)
        png_write_row(png, b->pixels + (size_t)y * width);
    png_write_end(png, info);
}

/* The one frame that libpng's errors return to; what changes meanwhile lies in *w. */
static bool write_all(writer *w, const grdi_bitmap *b, const grdi_rgb palette[GRDI_COLOURS],
                      const char *const words[2])
{
    if (setjmp(w->failed))
        return false;
    w->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning, w, take,
                                       give_back);
    w->info = w->png ? png_create_info_struct(w->png) : NULL;
    if (!w->info)
        return grdi_fail_memory(w->op, sizeof(block));
    png_set_write_fn(w->png, w, on_write, on_flush);
    put_words(w->png, w->info, words[0], words[1]);
    put_picture(w->png, w->info, b, palette);
    return true;
}

grdi_bytes *grdi_bitmap_png(const char *op, const grdi_bitmap *b,
                            const grdi_rgb palette[GRDI_COLOURS], const char *title,
                            const char *description)
{
    writer w = { .op = op };
    grdi_bytes *result = NULL;
    if (write_all(&w, b, palette, (const char *const[]){ title, description }))
        result = grdi_bytes_create(op, w.size);
    if (result)
        memcpy(result->data, w.data, w.size);
    png_destroy_write_struct(&w.png, &w.info);
    grdi_free(w.data, w.room);
    return result;
}
