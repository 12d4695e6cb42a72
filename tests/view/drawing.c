/* Labels, and the letters of pictures made of pixels. */
#include "view/drawing.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    const char *text;
    int64_t columns;
    const char *label;
} labels[] = {
    { "", 4, "" },
    { "abcd", 4, "abcd" },
    { "abcde", 4, "abc\u2026" },
    { "abcde", 1, "\u2026" },
    { "a", 0, "\u2026" },
    { " a b ", 9, "\u2423a b\u2423" },
    { " ", 9, "\u2423" },
    { "\n\t", 9, "\\n\\t" },
    { "\x1b[2J", 9, "\\u{1b}[2J" },
    { "a\u202e", 9, "a\\u{202e}" },
    { "a\u202e", 8, "a\u2026" }, /* never half an escape */
    { "\xff\xe2\x82", 9, "\ufffd\ufffd\ufffd" },
    { "\u65e5\u672c", 4, "\u65e5\u672c" },
    { "\u65e5\u672c", 3, "\u65e5\u2026" },
    { "\u65e5\u672c", 2, "\u2026" },
    { "e\u0301e\u0301", 2, "e\u0301e\u0301" },
    { "\U0001f600", 2, "\U0001f600" },
};

Test(drawing, labels_are_safe_and_cut)
{
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        char label[GRDI_LABEL];
        grdi_label(label, labels[i].text, labels[i].columns);
        cr_assert_str_eq(label, labels[i].label, "%zu: %s", i, label);
        cr_assert(grdi_columns(label) <= labels[i].columns || labels[i].columns == 0);
    }
}

Test(drawing, labels_fit_however_long)
{
    for (int size = 240; size < 270; size++) {
        char text[300] = "", label[GRDI_LABEL + 1];
        memset(text, 'x', (size_t)size);
        strcpy(text + size, "\u65e5");
        label[GRDI_LABEL] = '!';
        grdi_label(label, text, 10000);
        cr_assert_lt(strlen(label), GRDI_LABEL);
        cr_assert_eq(label[GRDI_LABEL], '!');
    }
}

/* ---- Letters ---- */

enum { SIDE = 64, SCALE = 2 };

typedef struct page {
    grdi_bitmap bitmap;
    unsigned char pixels[SIDE * SCALE * SIDE * SCALE];
} page;

static void draw(page *p, const char *text, double x, double y, bool turned)
{
    p->bitmap = (grdi_bitmap){ SIDE, SIDE, SCALE, p->pixels };
    grdi_bitmap_fill(&p->bitmap, 0, 0, SIDE, SIDE, GRDI_GROUND);
    grdi_bitmap_letter(&p->bitmap,
                       &(grdi_lettering){ text, x, y, GRDI_START, 20, turned, false, GRDI_INK });
}

static unsigned char pixel(const page *p, int x, int y)
{
    return p->pixels[y * SIDE * SCALE + x];
}

static int dark_pixels(const page *p)
{
    int count = 0;
    for (size_t i = 0; i < sizeof p->pixels; i++)
        count += p->pixels[i] == GRDI_COLOURS + 2 * GRDI_LEVELS - 1;
    return count;
}

Test(drawing, every_character_of_ascii_is_drawn_and_another)
{
    static page pages[128];
    for (int c = '!'; c <= '~'; c++) {
        draw(&pages[c], (char[]){ (char)c, '\0' }, 20, 40, false);
        cr_assert_gt(dark_pixels(&pages[c]), 4, "%c", c);
        for (int other = '!'; other < c; other++)
            cr_assert_neq(memcmp(pages[c].pixels, pages[other].pixels, sizeof pages[c].pixels), 0,
                          "%c is drawn as %c", c, other);
    }
}

/* Letters end where the next begins, stand on the line and keep below the line above. */
Test(drawing, letters_stay_in_their_place)
{
    for (int c = '!'; c <= '~'; c++) {
        static page p;
        const char text[] = { (char)c, '\0' };
        const double width = grdi_lettering_width(text, 20);
        draw(&p, text, 20, 40, false);
        for (int y = 0; y < SIDE * SCALE; y++)
            for (int x = 0; x < SIDE * SCALE; x++)
                if (pixel(&p, x, y) != GRDI_GROUND)
                    cr_assert(x >= 2 * 18 && x < 2 * (20 + width) && y >= 2 * 23 && y < 2 * 47,
                              "%c at %d, %d", c, x, y);
    }
    cr_assert_float_eq(grdi_lettering_width("ab", 20),
                       grdi_lettering_width("a", 20) + grdi_lettering_width("b", 20), 1e-9);
}

/* Turned by a quarter, to read upwards. */
Test(drawing, turned_letters_are_the_same_turned)
{
    static page straight, turned;
    draw(&straight, "Rg7\u00e9", 10, 32, false);
    draw(&turned, "Rg7\u00e9", 32, SIDE - 10, true);
    for (int y = 0; y < SIDE * SCALE; y++)
        for (int x = 0; x < SIDE * SCALE; x++)
            cr_assert_eq(pixel(&straight, x, y), pixel(&turned, y, SIDE * SCALE - 1 - x), "%d, %d",
                         x, y);
    cr_assert_gt(dark_pixels(&straight), 100);
}

Test(drawing, anchors_shift_the_text)
{
    static page start, end;
    const double width = grdi_lettering_width("abc", 20);
    draw(&start, "abc", 60 - width, 40, false);
    draw(&end, "", 0, 0, false);
    grdi_bitmap_letter(&end.bitmap,
                       &(grdi_lettering){ "abc", 60, 40, GRDI_END, 20, false, false, GRDI_INK });
    cr_assert_eq(memcmp(start.pixels, end.pixels, sizeof start.pixels), 0);
    grdi_bitmap_fill(&end.bitmap, 0, 0, SIDE, SIDE, GRDI_GROUND);
    grdi_bitmap_letter(&end.bitmap, &(grdi_lettering){ "abc", 60 - width / 2, 40, GRDI_MIDDLE, 20,
                                                       false, false, GRDI_INK });
    cr_assert_eq(memcmp(start.pixels, end.pixels, sizeof start.pixels), 0);
}

/* What lies outside is not drawn: the sanitizers watch. */
Test(drawing, letters_may_stick_out)
{
    static page p;
    draw(&p, "Far beyond all sides of it", -30, 5, false);
    draw(&p, "Far beyond all sides of it", 2, 5, true);
    draw(&p, "W", 1e6, -1e6, false);
    cr_assert_eq(dark_pixels(&p), 0);
}
