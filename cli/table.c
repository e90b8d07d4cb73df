/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/format.h"
#include "cli/table.h"

/* Columns between columns. */
#define GAP 2

struct CliTable {
        unsigned columns;
        uint64_t right;   /* bit per column: flush right */
        uint64_t hidden;  /* bit per column */
        GPtrArray *cells; /* the header is row 0 */
};

CliTable *cli_table_new(const char *header) {
        g_auto(GStrv) titles = g_strsplit(header, "|", -1);
        CliTable *t = NEW(CliTable);

        t->columns = g_strv_length(titles);
        assert(t->columns > 0 && t->columns <= 64);
        t->cells = g_ptr_array_new_with_free_func(g_free);
        for (unsigned i = 0; i < t->columns; i++) {
                bool right = titles[i][0] == '>';

                if (right)
                        t->right |= UINT64_C(1) << i;
                g_ptr_array_add(t->cells, g_strdup(titles[i] + right));
        }
        return t;
}

CliTable *cli_table_free(CliTable *t) {
        if (!t)
                return NULL;
        g_ptr_array_unref(t->cells);
        g_free(t);
        return NULL;
}

void cli_table_take(CliTable *t, char *text) {
        g_ptr_array_add(t->cells, text);
}

void cli_table_hide(CliTable *t, unsigned column) {
        t->hidden |= UINT64_C(1) << column;
}

unsigned cli_table_rows(const CliTable *t) {
        return t->cells->len / t->columns - 1;
}

static const char *cell(const CliTable *t, unsigned row, unsigned column) {
        return g_ptr_array_index(t->cells, row * t->columns + column);
}

static void row_print(const CliTable *t, unsigned row, const unsigned *widths, FILE *out) {
        unsigned owed = 0; /* blanks are written before the next text, never at the end of a line */

        for (unsigned i = 0; i < t->columns; i++) {
                const char *text = cell(t, row, i);
                unsigned fill = widths[i] - cli_text_width(text);
                bool right = t->right >> i & 1;

                if (t->hidden >> i & 1)
                        continue;
                if (*text) {
                        fprintf(out, "%*s%s", (int) (owed + (right ? fill : 0)), "", text);
                        owed = right ? 0 : fill;
                } else
                        owed += fill;
                owed += GAP;
        }
        fputc('\n', out);
}

/* What the longest word of a column's title needs, and a shortened text at least. */
#define SHORT_MIN 8U

static bool is_hidden(const CliTable *t, unsigned column) {
        return t->hidden >> column & 1;
}

/* The widest column gives way, again and again, until the line fits. Numbers are left whole: half
 * a number is another number. */
static void fit(const CliTable *t, unsigned *widths, unsigned line) {
        for (;;) {
                unsigned sum = 0, widest = 0;
                bool found = false;

                for (unsigned i = 0; i < t->columns; i++) {
                        if (is_hidden(t, i))
                                continue;
                        sum += widths[i] + (sum > 0 ? GAP : 0);
                        if (!(t->right >> i & 1) && widths[i] > SHORT_MIN &&
                            (!found || widths[i] > widths[widest])) {
                                widest = i;
                                found = true;
                        }
                }
                if (sum <= line || !found)
                        return;
                widths[widest]--;
        }
}

/* Return: newly allocated; at most @width columns, the last a mark where it was longer. */
static char *shorten(const char *text, unsigned width) {
        GString *s = g_string_new(text);

        while (s->len > 0 && cli_text_width(s->str) + 1 > width)
                g_string_truncate(s, (gsize) (g_utf8_find_prev_char(s->str, s->str + s->len) - s->str));
        g_string_append(s, "\u2026");
        return g_string_free(s, FALSE);
}

void cli_table_fit(CliTable *t, unsigned line) {
        g_autofree unsigned *widths = g_new0(unsigned, t->columns);

        for (unsigned i = 0; i < t->cells->len; i++)
                widths[i % t->columns] =
                                MAX(widths[i % t->columns],
                                    cli_text_width(g_ptr_array_index(t->cells, i)));
        fit(t, widths, line);
        for (unsigned i = 0; i < t->cells->len; i++) {
                char *text = g_ptr_array_index(t->cells, i);

                if (cli_text_width(text) <= widths[i % t->columns])
                        continue;
                t->cells->pdata[i] = shorten(text, widths[i % t->columns]);
                g_free(text);
        }
}

/* Of the terminal; 0: it is none, and what reads instead wants all of it. */
static unsigned line_width(FILE *out) {
        struct winsize size;

        if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
                return 0;
        return size.ws_col;
}

void cli_table_print(CliTable *t, FILE *out) {
        g_autofree unsigned *widths = g_new0(unsigned, t->columns);
        unsigned rows = t->cells->len / t->columns, line = line_width(out);

        assert(t->cells->len % t->columns == 0);
        if (line > 0)
                cli_table_fit(t, line);
        for (unsigned row = 0; row < rows; row++)
                for (unsigned i = 0; i < t->columns; i++)
                        widths[i] = MAX(widths[i], cli_text_width(cell(t, row, i)));
        for (unsigned row = 0; row < rows; row++)
                row_print(t, row, widths, out);
}
